"""What a configuration asks for, typed and checked: sources, filters, routes, outputs.

Whatever the file says that is not done here is refused with its line, never ignored. What is accepted and has no
effect here is listed where it is read, with the reason.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Literal

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.tag_pattern import TagPattern

if TYPE_CHECKING:
    from streaming.events.model import Json

ROOT = "@ROOT"
"""Fluentd's name for the top level, where a `@label` may send events too."""


@dataclass(frozen=True)
class Tls:
    """`<transport tls>`: paths of PEM files. With `ca_path` and `client_cert_auth` a client must show a certificate
    that this authority signed."""

    place: Place
    cert_path: str
    private_key_path: str
    private_key_passphrase: str | None = field(repr=False)
    ca_path: str | None
    client_cert_auth: bool
    min_version: ssl.TLSVersion


@dataclass(frozen=True)
class User:
    """One `<user>` of a `<security>` section."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Client:
    """One `<client>`: what holds for connections from an address or network. `users` empty: all."""

    network: IPv4Network | IPv6Network
    shared_key: str | None = field(repr=False)
    users: tuple[str, ...]


@dataclass(frozen=True)
class Security:
    """`<security>`: who may send. The handshake is HELO, PING, PONG of the Forward protocol, version 1."""

    place: Place
    self_hostname: str
    shared_key: str = field(repr=False)
    user_auth: bool
    allow_anonymous_source: bool
    users: tuple[User, ...]
    clients: tuple[Client, ...]


@dataclass(frozen=True)
class ForwardSource:
    """Listens for the Forward protocol. `label` is where its events go; None: the top level."""

    place: Place
    label: str | None
    bind: str
    port: int
    tag: str | None
    """Given to every event instead of its own."""
    add_tag_prefix: str | None
    chunk_size_limit: int | None
    """Frames past this many bytes are refused."""
    tls: Tls | None = None
    security: Security | None = None


@dataclass(frozen=True)
class HttpSource:
    """Listens for events by HTTP: `POST /TAG` with one event or an array of them, as JSON or msgpack."""

    place: Place
    label: str | None
    bind: str
    port: int
    body_size_limit: int
    keepalive_timeout_s: float
    add_http_headers: bool
    add_remote_addr: bool
    tls: Tls | None


@dataclass(frozen=True)
class SyslogSource:
    """Listens for syslog. The tag of an event is `tag`.facility.severity, as in Fluentd."""

    place: Place
    label: str | None
    bind: str
    port: int
    tag: str
    protocol: Literal["udp", "tcp"]
    message_format: Literal["rfc3164", "rfc5424", "auto"]
    octet_count: bool
    """TCP frames begin with their length (RFC 6587, 3.4.1); else each ends with a line feed."""
    message_length_limit: int
    severity_key: str | None
    facility_key: str | None
    source_address_key: str | None
    source_hostname_key: str | None
    tls: Tls | None


@dataclass(frozen=True)
class OtlpSource:
    """Listens for OTLP/HTTP logs: `POST /v1/logs` as protobuf or JSON. Vigil's own; Fluentd has none of it."""

    place: Place
    label: str | None
    bind: str
    port: int
    tag: str
    body_size_limit: int
    tls: Tls | None


@dataclass(frozen=True)
class TailSource:
    """Follows files. `parse` is "json" (a line that is not JSON becomes its `message_key`) or "none".

    Paths with `*` are patterns. One `*` in `tag` stands for the file's path with dots.
    """

    place: Place
    label: str | None
    paths: tuple[str, ...]
    exclude_paths: tuple[str, ...]
    tag: str
    parse: str
    message_key: str
    read_from_head: bool
    rotate_wait_s: float


ListeningSource = ForwardSource | HttpSource | SyslogSource | OtlpSource
Source = ListeningSource | TailSource


@dataclass(frozen=True)
class Condition:
    """The text of the value at `keys` matches `pattern`. No value is the empty text, as in Fluentd."""

    keys: tuple[str, ...]
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class Grep:
    """Lets an event pass that meets all of `regexps` and none of `excludes`."""

    regexps: tuple[Condition, ...]
    excludes: tuple[Condition, ...]

    def passes(self, record: dict[str, Json]) -> bool:
        """Whether this event goes on."""
        return all(c.pattern.search(text_at(record, c.keys)) for c in self.regexps) and not any(
            c.pattern.search(text_at(record, c.keys)) for c in self.excludes
        )


def text_at(record: Json, keys: tuple[str, ...]) -> str:
    """A value of a record as text; a map or list as JSON."""
    value = record
    for key in keys:
        if not isinstance(value, dict):
            return ""
        value = value.get(key)
    if value.__class__ is str:
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False, default=repr) if isinstance(value, dict | list) else str(value)


@dataclass(frozen=True)
class KafkaOutput:
    """Writes to one topic, keyed by the record's `key_field`.

    `buffer_limit_bytes` is this output's part of the spool; `secondary` is the folder for what is too large
    even for the dead letters.
    """

    place: Place
    brokers: str
    topic: str
    key_field: str
    compression: str | None
    buffer_limit_bytes: int
    secondary: str | None


@dataclass(frozen=True)
class NullOutput:
    """Drops, on purpose."""


@dataclass(frozen=True)
class StdoutOutput:
    """Writes each event as a line to standard output."""


@dataclass(frozen=True)
class Relabel:
    """Goes on in another label; None: at the top level."""

    place: Place
    label: str | None


@dataclass(frozen=True)
class Copy:
    """Goes to each of these."""

    stores: tuple[Action, ...]


Output = KafkaOutput | NullOutput | StdoutOutput
Action = Output | Relabel | Copy


@dataclass(frozen=True)
class Filter:
    """Events whose tag matches pass this filter, those of other tags go by."""

    tags: TagPattern
    grep: Grep


@dataclass(frozen=True)
class Match:
    """Events whose tag matches end here."""

    tags: TagPattern
    action: Action


Pipeline = tuple[Filter | Match, ...]


@dataclass(frozen=True)
class Plan:
    """All that a configuration says. Pipelines are in the order of the file, which decides."""

    sources: tuple[Source, ...]
    top: Pipeline
    labels: dict[str, Pipeline]

    def pipeline(self, label: str | None) -> Pipeline:
        """What events of a label pass (None: the top level); nothing where there is no such label."""
        return self.top if label is None else self.labels.get(label, ())

    def kafka_outputs(self) -> list[KafkaOutput]:
        """Every Kafka output, wherever it stands."""
        return [a for p in (self.top, *self.labels.values()) for a in actions(p) if isinstance(a, KafkaOutput)]


def actions(pipeline: Pipeline) -> Iterator[Action]:
    """Every action of a pipeline in the order of the file, those within a copy too."""
    waiting = [step.action for step in pipeline if isinstance(step, Match)]
    while waiting:
        action = waiting.pop(0)
        yield action
        if isinstance(action, Copy):
            waiting = [*action.stores, *waiting]
