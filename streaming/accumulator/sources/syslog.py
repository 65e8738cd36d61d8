"""`@type syslog`: listens by UDP or TCP. Messages become chunks as they come, a run of one tag a chunk.

Syslog has no acknowledgement: what the kernel has taken its sender takes for delivered. So what was read and cannot be
made durable is kept and tried again until it is, and nothing more is read meanwhile; a TCP sender then waits, of UDP
the kernel drops what its buffer does not hold and counts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from streaming.accumulator.configuration.plan import SyslogSource
from streaming.accumulator.sources.entries import packed
from streaming.accumulator.sources.loop import SourceLoop
from streaming.accumulator.sources.syslog_frames import Piece, SyslogDecoder
from streaming.accumulator.sources.syslog_messages import Message, continuation, is_blank, parse
from streaming.accumulator.sources.web import BACKLOG, TLS_HANDSHAKE_S
from streaming.accumulator.spool.segment import Arrived
from streaming.worker.logs import logger
from streaming.worker.metrics import ACCUMULATOR_DATAGRAMS_LOST, ACCUMULATOR_REFUSED

log = logger(__name__)

CONNECTIONS_LIMIT: Final = 1_000
LAST_ROUNDS: Final = 20
"""Of the loop, before TCP connections are closed at the end. What the kernel holds their senders take for delivered;
each round reads up to 256 KiB of each connection, and the largest receive buffer is 6 MiB (`net.ipv4.tcp_rmem`)."""
RETRY_S: Final = 0.5
"""Between two attempts at a disk that takes nothing."""
RECEIVE_BUFFER: Final = 8 * 1024 * 1024
"""Asked of the kernel for datagrams: 30,000 of 280 bytes. It gives what `net.core.rmem_max` allows."""
DATAGRAM_LIMIT: Final = 65_536
DATAGRAMS_AT_ONCE: Final = 1_000
"""Read before other sockets have their turn: 20 ms."""
COLLECT_S: Final = 0.005
"""Between two looks, so that a chunk holds more than the one datagram that woke the loop: 36 us of CPU a datagram at
20,000/s instead of 66. A receive buffer of 208 KiB (Linux's default limit) holds 270 of them, which is 54,000/s."""
_RXQ_OVFL: Final = 40
"""SO_RXQ_OVFL of Linux: each datagram comes with how many the socket has dropped so far."""
_COUNT: Final = struct.Struct("=I")
NAMES_KEPT: Final = 1_000
NAME_GOOD_FOR_S: Final = 300.0


class _Told(NamedTuple):
    message: Message
    received_ns: int


class Intake:
    """From messages to durable chunks, for one source."""

    def __init__(self, loop: SourceLoop, source: SyslogSource) -> None:
        self._loop, self._source = loop, source
        self._names = HostNames(loop) if source.source_hostname_key else None
        self._again: deque[Arrived] = deque()
        self._pending = 0
        self.on_change: Callable[[], None] = lambda: None

    @property
    def paused(self) -> bool:
        """Nothing should be read now."""
        return self._loop.paused or bool(self._again)

    @property
    def quiet(self) -> bool:
        """All that was read is durable."""
        return self._pending == 0

    def read(self, raw: bytes, peer: str, received_ns: int) -> Message:
        """A message with what the configuration adds to it."""
        message = parse(raw, self._source.message_format, received_ns=received_ns, peer=peer)
        record, source = message.record, self._source
        if source.severity_key:
            record[source.severity_key] = message.severity
        if source.facility_key:
            record[source.facility_key] = message.facility
        if source.source_address_key:
            record[source.source_address_key] = peer
        if source.source_hostname_key and self._names:
            record[source.source_hostname_key] = self._names.of(peer)
        return message

    def take(self, messages: Iterable[_Told]) -> None:
        """Sends messages on, in order; each run of one tag is a chunk."""
        for chunk in self._chunks(messages):
            self._send(chunk)

    def drop(self) -> None:
        """Gives up what is not durable, at the end."""
        if lost := sum(chunk.events for chunk in self._again):
            log.error("syslog messages lost: the disk did not take them before the end", messages=lost)
        self._pending -= len(self._again)
        self._again.clear()

    def _chunks(self, messages: Iterable[_Told]) -> Iterator[Arrived]:
        run: list[bytes] = []
        tag, received_ns = "", 0
        for message, at_ns in messages:
            its = f"{self._source.tag}.{message.facility}.{message.severity}"
            if run and its != tag:
                yield self._chunk(tag, run, received_ns)
                run = []
            tag, received_ns = its, at_ns
            run.append(packed(message.time_ns, message.record))
        if run:
            yield self._chunk(tag, run, received_ns)

    def _chunk(self, tag: str, entries: list[bytes], received_ns: int) -> Arrived:
        # A host's messages differ in tag, by their severity, and stay in order all the same.
        return Arrived(
            tag, b"".join(entries), len(entries), False, b"", received_ns, self._source.label or "", self._source.tag
        )

    def _send(self, chunk: Arrived) -> None:
        self._pending += 1
        self._loop.submit(chunk, lambda durable: self._settle(chunk, durable))

    def _settle(self, chunk: Arrived, durable: bool) -> None:
        if durable:
            self._pending -= 1
            return
        if not self._again:
            self._loop.loop.call_later(RETRY_S, self._retry)
        self._again.append(chunk)
        self.on_change()

    def _retry(self) -> None:
        if self._loop.closing:
            return
        chunks, self._again = self._again, deque()
        for chunk in chunks:
            self._pending -= 1
            self._send(chunk)
        self.on_change()


class HostNames:
    """Names of addresses, looked up beside the loop. Until one is known its address stands in."""

    def __init__(self, loop: SourceLoop) -> None:
        self._loop = loop
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._asked: set[asyncio.Task[None]] = set()

    def of(self, address: str) -> str:
        """The name of an address, or the address."""
        now = self._loop.loop.time()
        name, asked_at = self._known.get(address, (address, -NAME_GOOD_FOR_S))
        if now - asked_at >= NAME_GOOD_FOR_S:
            self._known[address] = name, now
            task = self._loop.loop.create_task(self._look_up(address))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
            while len(self._known) > NAMES_KEPT:
                self._known.popitem(last=False)
        return name

    async def _look_up(self, address: str) -> None:
        with contextlib.suppress(OSError):
            name, _ = await self._loop.loop.getnameinfo((address, 0))
            self._known[address] = name, self._loop.loop.time()


class UdpSyslog:
    """One UDP port. A `Listener`."""

    def __init__(self, loop: SourceLoop, source: SyslogSource) -> None:
        self._loop, self._source = loop, source
        self._intake = Intake(loop, source)
        self._intake.on_change = self.update_flow
        self._socket: socket.socket | None = None
        self._reading = False
        self._collecting = False
        self._lost = 0
        self._told_lost = 0
        self._metric = ACCUMULATOR_DATAGRAMS_LOST.labels(loop.name)

    async def listen(self) -> None:
        self._socket = _datagram_socket(self._source.bind, self._source.port)
        size = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        # Linux tells twice what it gives, the other half being its own.
        log.info("listening for syslog by UDP", port=self._source.port, receive_buffer_bytes=size // 2)
        self.update_flow()

    def update_flow(self) -> None:
        read = not (self._intake.paused or self._loop.closing or self._collecting)
        if self._socket and read != self._reading:
            if read:
                self._loop.loop.add_reader(self._socket, self._read)
            else:
                self._loop.loop.remove_reader(self._socket)
            self._reading = read

    def tick(self, now_s: float) -> None:  # noqa: ARG002
        if self._lost != self._told_lost:
            log.warning("the kernel dropped datagrams", count=self._lost - self._told_lost, port=self._source.port)
            self._told_lost = self._lost

    async def stop_accepting(self) -> None:
        if self._socket and not self._intake.paused:
            self._read(limit=20 * DATAGRAMS_AT_ONCE)  # what the kernel holds would be lost with the socket
        self.update_flow()

    @property
    def quiet(self) -> bool:
        return self._intake.quiet

    def abort(self) -> None:
        self._intake.drop()
        if self._socket:
            self._loop.loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self, limit: int = DATAGRAMS_AT_ONCE) -> None:
        received_ns = time.time_ns()
        messages: list[_Told] = []
        for raw, peer in self._datagrams(limit):
            if not is_blank(raw):
                messages.append(_Told(self._intake.read(raw, peer, received_ns), received_ns))
        self._intake.take(messages)
        if not self._collecting:
            self._collecting = True
            self._loop.loop.call_later(COLLECT_S, self._look_again)
            self.update_flow()

    def _look_again(self) -> None:
        self._collecting = False
        self.update_flow()

    def _datagrams(self, limit: int) -> Iterator[tuple[bytes, str]]:
        assert self._socket is not None
        for _ in range(limit):
            try:
                raw, extra, _, address = self._socket.recvmsg(DATAGRAM_LIMIT, socket.CMSG_SPACE(_COUNT.size))
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # an error that an earlier answer would have had; the socket goes on
                log.warning("receiving a datagram failed", reason=str(error))
                return
            for level, kind, data in extra:
                if level == socket.SOL_SOCKET and kind == _RXQ_OVFL and len(data) == _COUNT.size:
                    self._note_lost(_COUNT.unpack(data)[0])
            yield raw, str(address[0])

    def _note_lost(self, total: int) -> None:
        """The kernel counts modulo 2**32."""
        grown = (total - self._lost) % 2**32
        if grown:
            self._metric.inc(grown)
            self._lost += grown


def _datagram_socket(bind: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        bind, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        with contextlib.suppress(OSError):  # a kernel without it drops uncounted
            made.setsockopt(socket.SOL_SOCKET, _RXQ_OVFL, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


class TcpSyslog:
    """One TCP port, with TLS or without. A `Listener`."""

    def __init__(self, loop: SourceLoop, source: SyslogSource, tls: ssl.SSLContext | None) -> None:
        self.loop, self.source, self._tls = loop, source, tls
        self.intake = Intake(loop, source)
        self.intake.on_change = self.update_flow
        self.connections: set[_Connection] = set()
        self._listener: asyncio.Server | None = None

    async def listen(self) -> None:
        self._listener = await self.loop.loop.create_server(
            lambda: _Connection(self),
            self.source.bind,
            self.source.port,
            ssl=self._tls,
            ssl_handshake_timeout=TLS_HANDSHAKE_S if self._tls else None,
            backlog=BACKLOG,
        )

    def update_flow(self) -> None:
        for connection in self.connections:
            connection.update_flow()

    def tick(self, now_s: float) -> None:
        """Idle senders are welcome: a quiet machine says nothing for days."""

    async def stop_accepting(self) -> None:
        if self._listener:
            self._listener.close()
        for _ in range(LAST_ROUNDS):
            await asyncio.sleep(0)
        for connection in list(self.connections):
            connection.close()

    @property
    def quiet(self) -> bool:
        return self.intake.quiet and not self.connections

    def abort(self) -> None:
        self.intake.drop()
        if self._listener:
            self._listener.close()
        for connection in list(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    """One sender. All methods run in the loop."""

    def __init__(self, server: TcpSyslog) -> None:
        self._server = server
        self._decoder = SyslogDecoder(server.source.message_length_limit, octet_count=server.source.octet_count)
        self._first: Message | None = None
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        crowded = self._server.loop.closing or len(self._server.connections) >= CONNECTIONS_LIMIT
        if crowded or not self._server.loop.places.take():
            ACCUMULATOR_REFUSED.labels(self._server.loop.name, "too-many-connections").inc()
            transport.abort()
            return
        # A sender that vanished without a word must not hold one of the connections for ever.
        if raw := transport.get_extra_info("socket"):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._server.connections.add(self)
        self.update_flow()

    def data_received(self, data: bytes) -> None:
        self._take(self._decoder.feed(data))

    def eof_received(self) -> None:
        self._take(self._decoder.finish())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._take(self._decoder.finish())
        if self in self._server.connections:
            self._server.connections.remove(self)
            self._server.loop.places.give_back()

    def update_flow(self) -> None:
        """Reads on or pauses."""
        if self._transport is None or self._transport.is_closing():
            return
        pause = self._server.intake.paused
        if pause and not self._paused:
            self._transport.pause_reading()
        elif self._paused and not pause:
            self._transport.resume_reading()
        self._paused = pause

    def close(self) -> None:
        """Takes what has come, whole or not, and closes."""
        self._take(self._decoder.finish())
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Closes at once."""
        if self._transport:
            self._transport.abort()

    def _take(self, pieces: Iterator[Piece]) -> None:
        received_ns = time.time_ns()
        told = (_Told(self._message(p, received_ns), received_ns) for p in pieces if not is_blank(p.raw))
        self._server.intake.take(told)

    def _message(self, piece: Piece, received_ns: int) -> Message:
        if piece.continued and self._first:
            return continuation(piece.raw, self._first)
        self._first = self._server.intake.read(piece.raw, self._peer, received_ns)
        return self._first
