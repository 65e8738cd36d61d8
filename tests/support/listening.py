"""A loop of sources with a queue in the committer's place, for tests of what listens."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import HttpSource, OtlpSource, SyslogSource, Tls
from streaming.accumulator.delivery.events import Event, read_events
from streaming.accumulator.sources.network import NetworkSource, NetworkSources
from streaming.accumulator.spool.segment import Arrived

WITHIN_S = 10.0
PLACE = Place(Path("x.conf"), 1)
MIB = 1024 * 1024


class Submitted(NamedTuple):
    """A chunk on its way to the disk; `done(durable)` is what the committer would call."""

    chunk: Arrived
    done: Callable[[bool], None]

    @property
    def events(self) -> list[Event]:
        """Its entries, all of which must be readable."""
        found = list(read_events(self.chunk.body))
        assert len(found) == self.chunk.events
        assert all(isinstance(event, Event) for event in found)
        return [event for event in found if isinstance(event, Event)]

    @property
    def records(self) -> list[object]:
        return [event.record for event in self.events]


class Disk:
    """Takes chunks: at once while `durable` is not None, else when the test settles what it finds in `submitted`."""

    def __init__(self) -> None:
        self.submitted: queue.Queue[Submitted] = queue.Queue()
        self.durable: bool | None = True
        self.room = True

    def submit(self, chunk: Arrived, done: Callable[[bool], None]) -> None:
        durable = self.durable
        if durable is not None:
            done(durable)
        self.submitted.put(Submitted(chunk, done))

    def next(self) -> Submitted:
        """The next chunk."""
        return self.submitted.get(timeout=WITHIN_S)


@contextmanager
def listening(source: NetworkSource) -> Iterator[Disk]:
    """The source's server until the block ends."""
    disk = Disk()
    sources = NetworkSources("accumulator1", [source], disk.submit, lambda: disk.room)
    try:
        yield disk
    finally:
        sources.stop_accepting()
        while not disk.submitted.empty():
            disk.submitted.get()
        sources.close()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nothing listens on."""
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Looks every 10 ms."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def http_source(
    *,
    label: str | None = None,
    body_size_limit: int = MIB,
    keepalive_timeout_s: float = 10.0,
    add_http_headers: bool = False,
    add_remote_addr: bool = False,
    tls: Tls | None = None,
    decompression_size_limit: int = 256 * MIB,
    add_tag_prefix: str | None = None,
    add_query_params: bool = False,
    use_204_response: bool = False,
    keep_time_key: bool = False,
) -> HttpSource:
    """As a configuration gives it."""
    return HttpSource(
        PLACE,
        label,
        "127.0.0.1",
        free_port(),
        body_size_limit,
        keepalive_timeout_s,
        add_http_headers,
        add_remote_addr,
        tls,
        decompression_size_limit,
        add_tag_prefix,
        add_query_params,
        use_204_response,
        "time",
        keep_time_key,
    )


def otlp_source(*, body_size_limit: int = MIB) -> OtlpSource:
    """As a configuration gives it."""
    return OtlpSource(PLACE, None, "127.0.0.1", free_port(), "otlp", body_size_limit, None)


def syslog_source(
    *,
    tcp: bool = False,
    octet_count: bool = False,
    message_length_limit: int = 2048,
    severity_key: str | None = None,
    facility_key: str | None = None,
    source_address_key: str | None = None,
    source_hostname_key: str | None = None,
    tls: Tls | None = None,
) -> SyslogSource:
    """As a configuration gives it."""
    return SyslogSource(
        PLACE,
        None,
        "127.0.0.1",
        free_port(socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM),
        "sys",
        "tcp" if tcp else "udp",
        "auto",
        octet_count,
        message_length_limit,
        severity_key,
        facility_key,
        source_address_key,
        source_hostname_key,
        tls,
    )
