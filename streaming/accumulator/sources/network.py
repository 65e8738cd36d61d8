"""The sources that listen beside the Forward protocol (http, syslog, vigil_otlp), in one thread."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence

from streaming.accumulator.configuration.plan import (
    HttpSource,
    ListeningSource,
    OtlpSource,
    Source,
    SyslogSource,
    Tls,
)
from streaming.accumulator.sources.forward import Submit
from streaming.accumulator.sources.forward.certificates import Certificates
from streaming.accumulator.sources.http import HttpEndpoint
from streaming.accumulator.sources.loop import Listener, SourceLoop
from streaming.accumulator.sources.otlp import OtlpEndpoint
from streaming.accumulator.sources.syslog import TcpSyslog, UdpSyslog
from streaming.accumulator.sources.tls import server_context
from streaming.accumulator.sources.web import WebServer

NetworkSource = HttpSource | SyslogSource | OtlpSource


class NetworkSources:
    """Listens on the ports of all http, syslog and vigil_otlp sources.

    Raises:
        ConfigError: a TLS file cannot be used.
        Unavailable: a port is taken.
    """

    def __init__(
        self, name: str, sources: Sequence[NetworkSource], submit: Submit, has_room: Callable[[], bool]
    ) -> None:
        self._loop = SourceLoop(name, submit, has_room)
        self._loop.start([_listener(self._loop, source) for source in sources])

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._loop.alive

    def stop_accepting(self) -> None:
        """Takes nothing new; what was read is still answered. Call before the committer closes."""
        self._loop.stop_accepting()

    def close(self) -> None:
        """Gives the last answers and ends the thread. Call after the committer has closed."""
        self._loop.close()


def of(sources: Sequence[Source]) -> list[NetworkSource]:
    """Those of a plan's sources that are listened for here."""
    return [s for s in sources if isinstance(s, HttpSource | SyslogSource | OtlpSource)]


def described(source: ListeningSource) -> str:
    """What a source listens for and where, for people: `syslog/udp 0.0.0.0:5140`."""
    kind = type(source).__name__.removesuffix("Source").lower()
    if isinstance(source, SyslogSource):
        kind = f"{kind}/{source.protocol}"
    return f"{kind} {source.bind}:{source.port}" + (" (TLS)" if source.tls else "")


def _listener(loop: SourceLoop, source: NetworkSource) -> Listener:
    tls = _context(source.tls) if source.tls else None
    if isinstance(source, HttpSource):
        return WebServer(loop, HttpEndpoint(source), source.bind, source.port, tls)
    if isinstance(source, OtlpSource):
        return WebServer(loop, OtlpEndpoint(source), source.bind, source.port, tls)
    return UdpSyslog(loop, source) if source.protocol == "udp" else TcpSyslog(loop, source, tls)


def _context(tls: Tls) -> ssl.SSLContext:
    """Whose handshakes use the certificate that the files hold then. (A renewed authority counts after a restart.)"""
    certificates = Certificates(tls)
    context = server_context(tls)

    def take_current(connection: ssl.SSLSocket | ssl.SSLObject, *_: object) -> None:
        connection.context = certificates.current()

    # Called in each handshake, also where the client names no server.
    context.set_servername_callback(take_current)
    return context
