"""What a configuration asks for, typed and checked: sources, filters, routes, outputs.

Whatever the file says that is not done here is refused with its line, never ignored. What is accepted and has no
effect here is listed where it is read, with the reason.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.filters import FilterRule
from streaming.accumulator.configuration.parse import Parse
from streaming.accumulator.configuration.tag_pattern import TagPattern
from streaming.kafka.access import KafkaAccess

MIB = 1024 * 1024

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
    max_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ciphers: str | None = None
    """In OpenSSL's words, for TLS 1.2; None: Fluentd's default, ALL:!aNULL:!eNULL:!SSLv2."""


@dataclass(frozen=True)
class User:
    """One `<user>` of a `<security>` section."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Client:
    """One `<client>`: what holds for connections from an address or network.

    `shared_key` None: that of the section; `users` empty: all.
    """

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
    decompression_size_limit: int = 256 * MIB
    """Most bytes of a body sent with `Content-Encoding: gzip` or `deflate`, unpacked."""
    add_tag_prefix: str | None = None
    """Before the tag, parted by a dot."""
    add_query_params: bool = False
    """Puts the query's parameters into each record, as QUERY_NAME."""
    use_204_response: bool = False
    """Answers 204 in place of 200."""
    time_key: str = "time"
    """The record's field with its time in seconds, taken out of the record unless `keep_time_key`; without it, or the
    query's parameter `time`, the time is now."""
    keep_time_key: bool = False


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
    """Follows files. A line that `parse` cannot read becomes {"message": line}.

    Paths with `*` are patterns. One `*` in `tag` stands for the file's path with dots.
    """

    place: Place
    label: str | None
    paths: tuple[str, ...]
    exclude_paths: tuple[str, ...]
    tag: str
    parse: Parse
    read_from_head: bool
    rotate_wait_s: float
    multiline_flush_interval_s: float | None = None
    """After which an event of several lines is taken whole though no next one has begun; None: never."""


ListeningSource = ForwardSource | HttpSource | SyslogSource | OtlpSource
Source = ListeningSource | TailSource


@dataclass(frozen=True)
class Buffer:
    """`<buffer>`, with Fluentd's defaults. `total_limit_size` (bytes) is this output's part of the one spool."""

    total_limit_size: int = 64 * 1024**3
    """Default of Fluentd's file buffer."""
    overflow_action: Literal["throw_exception", "block", "drop_oldest_chunk"] = "throw_exception"
    retry_type: Literal["exponential_backoff", "periodic"] = "exponential_backoff"
    retry_forever: bool = False
    """Neither `retry_timeout_s` nor `retry_max_times` then counts."""
    retry_timeout_s: float = 72 * 3600.0
    """How long one chunk is tried before it is given up."""
    retry_max_times: int | None = None
    """How often it is tried again; None: only the time counts."""
    retry_secondary_threshold: float = 0.8
    """The part of `retry_timeout_s` after which `<secondary>`, where there is one, takes the chunk."""
    retry_wait_s: float = 1.0
    """Before the first retry; periodic: before each."""
    retry_exponential_backoff_base: float = 2.0
    """By which each wait is longer than the last."""
    retry_max_interval_s: float | None = None
    """No wait is longer."""
    retry_randomize: bool = True
    """Waits vary by an eighth either way."""


@dataclass(frozen=True)
class KafkaOutput:
    """Writes to one topic, keyed by the record's `key_field`.

    `secondary` is the folder for what Kafka does not take and what is too large even for the dead letters. `access` is
    None where nothing is said of TLS and users: the installation's settings then say it.
    """

    place: Place
    brokers: str
    access: KafkaAccess | None
    topic: str
    key_field: str
    compression: str | None
    buffer: Buffer
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


FileFormat = Literal["out_file", "json", "single_value"]


@dataclass(frozen=True)
class FileOutput:
    """Appends each event as a line to a file, synced before the spool's cursor passes it; after a crash some lines can
    stand there twice.

    The file is `path`, then, where `timekey_s` is given, a dot and the event's time as far as one file of that many
    seconds needs it, then `suffix`. `format` out_file is time, tag and JSON parted by tabs; json the record alone;
    single_value the text of its `message_key`.
    """

    place: Place
    path: str
    suffix: str
    timekey_s: int | None
    utc: bool
    format: FileFormat
    message_key: str = "message"


Output = KafkaOutput | NullOutput | StdoutOutput | FileOutput
Action = Output | Relabel | Copy


RedactionKind = Literal["card", "email", "bearer", "url_password", "pattern"]


@dataclass(frozen=True)
class RedactionRule:
    """One `<rule>`: what is found in texts is replaced by `replacement`, as it stands.

    `name` is the rule's own in the configuration, for its counter. `pattern` is given for kind "pattern" alone.
    `fields` are the paths of keys whose values are searched, with all that is below them; none: every value.
    """

    place: Place
    name: str
    kind: RedactionKind
    pattern: re.Pattern[str] | None
    fields: tuple[tuple[str, ...], ...]
    replacement: str


@dataclass(frozen=True)
class Redaction:
    """`@type vigil_redact`: rewrites events of these tags at admission, before the disk, whatever their label.

    Rules apply in their order. Vigil's own; Fluentd has none of it.
    """

    place: Place
    tags: TagPattern
    rules: tuple[RedactionRule, ...]


@dataclass(frozen=True)
class Filter:
    """Events whose tag matches pass this filter, those of other tags go by."""

    tags: TagPattern
    does: FilterRule


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
    redactions: tuple[Redaction, ...] = ()

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
