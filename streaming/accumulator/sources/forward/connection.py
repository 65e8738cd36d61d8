"""One sender's connection: TLS, handshake and frames in turn, then chunks in and acknowledgements out.

Whatever is wrong with its bytes closes this connection, with a line in the log and a count by reason, and no other.
What one can make this process hold is bounded: a frame that is not whole (`FRAME_LIMIT`), what is on its way to the
disk (`PENDING_LIMIT`), answers it does not read (`ANSWERS_LIMIT`); before it has shown who it is, 8 KiB of a PING.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from streaming.accumulator.configuration.plan import ForwardSource
from streaming.accumulator.sources.forward.handshake import ServerHandshake
from streaming.accumulator.sources.forward.tls_layer import TlsError, TlsLayer, begins_as_tls
from streaming.accumulator.spool.segment import Arrived
from streaming.forward.frames import FRAME_LIMIT, Frame, FrameDecoder, FrameError, acknowledgement
from streaming.forward.handshake import HandshakeError, salt
from streaming.worker.logs import logger
from streaming.worker.metrics import ACCUMULATOR_CONNECTIONS, ACCUMULATOR_REFUSED

if TYPE_CHECKING:
    from streaming.accumulator.sources.forward.server import ForwardServer

log = logger(__name__)

MIB = 1024 * 1024
PENDING_LIMIT = 8 * MIB
"""Bytes of one connection on their way to the disk; it is not read from while more are."""
SMALL_PENDING_LIMIT = 64 * 1024
"""The same while the server is crowded: who sends little is read from, so that who sends much delays only himself."""
FRAME_COST = 1024
"""Counted for each frame beside its bytes, roughly what the objects around it take: a million small ones count."""
ANSWERS_LIMIT = 64 * 1024
"""Bytes of acknowledgements that a sender may leave unread; it is not read from while there are more."""
HANDSHAKE_WITHIN_S = 10.0
"""From connecting to the end of TLS and PING. They take five ways over the network, some 2 s on the worst of them."""


class Finished(NamedTuple):
    """What the committer has to say of a frame."""

    connection: Connection
    answer: bytes | None
    size: int
    durable: bool


class Connection(asyncio.Protocol):
    """One sender. All methods run in the server's loop."""

    def __init__(self, server: ForwardServer, source: ForwardSource, tls: ssl.SSLContext | None) -> None:
        self._server, self._source = server, source
        self._tls = TlsLayer(tls) if tls else None
        self._handshake: ServerHandshake | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._decoder = FrameDecoder(source.chunk_size_limit or FRAME_LIMIT)
        self._transport: asyncio.Transport | None = None
        self._heard = False
        self._pending = 0
        self._frames_pending = 0
        self.unfinished = 0
        """Bytes of a frame that has not come whole."""
        self.heard_at = 0.0
        self._unread_answers = False
        self._paused = False
        self._ending = False
        self._peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = str(peer)
        if not self._server.places.take():
            ACCUMULATOR_REFUSED.labels(self._server.name, "too-many-connections").inc()
            transport.abort()
            return
        transport.set_write_buffer_limits(high=ANSWERS_LIMIT)
        # A sender that vanished without a word must not hold its place for ever.
        if raw := transport.get_extra_info("socket"):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._server.connections.add(self)
        ACCUMULATOR_CONNECTIONS.labels(self._server.name).set(len(self._server.connections))
        if self._source.security:
            self._handshake = ServerHandshake(self._source.security, str(peer[0]), salt(), salt())
        if self._tls or self._handshake:
            self._deadline = asyncio.get_running_loop().call_later(HANDSHAKE_WITHIN_S, self._too_late)
        if self._handshake and not self._tls:
            self._write(self._handshake.hello())
        self.update_flow()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._forget_deadline()
        self._note_unfinished(0)
        if self in self._server.connections:
            self._server.connections.remove(self)
            self._server.places.give_back()
        ACCUMULATOR_CONNECTIONS.labels(self._server.name).set(len(self._server.connections))

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        try:
            self._take(data)
        except (FrameError, HandshakeError, TlsError) as error:
            ACCUMULATOR_REFUSED.labels(self._server.name, error.reason).inc()
            what = "not the Forward protocol" if isinstance(error, FrameError) else "not let in"
            log.warning(f"connection closed: {what}", peer=self._peer, reason=str(error))
            if isinstance(error, HandshakeError):
                self._write(error.answer)
            self._ending = True
        self.heard_at = time.monotonic()
        held = self._handshake.unfinished if self._handshake else self._decoder.unfinished
        self._note_unfinished(0 if self._ending else held)
        if self._ending:
            self.end()
        self.update_flow()

    def eof_received(self) -> bool:
        """The sender sends no more. It may have closed its half alone, and gets the answers that are due."""
        if self.unfinished:
            ACCUMULATOR_REFUSED.labels(self._server.name, "cut-off").inc()
            self._note_unfinished(0)
        self.end()
        return True

    # ------------------------------------------------------------------------------------- bytes in

    def _take(self, data: bytes) -> None:
        data = self._decrypted(data)
        if self._handshake and data:
            data = self._after_handshake(self._handshake, data)
        if data:
            self._read_frames(data)
        if self._tls and self._tls.ended:
            self._ending = True

    def _decrypted(self, data: bytes) -> bytes:
        if self._tls is None:
            if not self._heard and begins_as_tls(data):
                raise TlsError("unexpected-tls", "it speaks TLS; this port does not (it has no <transport tls>)")
            self._heard = True
            return data
        before = self._tls.established
        try:
            plain = self._tls.receive(data)
        finally:
            self._flush_tls()
        if self._tls.established and not before:
            if self._handshake:
                self._write(self._handshake.hello())
            else:
                self._forget_deadline()
        return plain

    def _after_handshake(self, handshake: ServerHandshake, data: bytes) -> bytes:
        welcome = handshake.receive(data)
        if welcome is None:
            return b""
        self._handshake = None
        self._forget_deadline()
        self._write(welcome.pong)
        return welcome.rest

    def _read_frames(self, data: bytes) -> None:
        received_ns = time.time_ns()
        run: list[Frame] = []
        try:
            for frame in self._decoder.feed(data):
                if run and not _joins(run[0], frame):
                    self._admit(_joined(run), received_ns)
                    run = []
                run.append(frame)
        finally:
            if run:
                self._admit(_joined(run), received_ns)

    def _note_unfinished(self, size: int) -> None:
        grown, self.unfinished = size - self.unfinished, size
        self._server.note_unfinished(grown)

    def crowd_out(self) -> None:
        """Closes for what it holds unfinished; it has waited longest."""
        ACCUMULATOR_REFUSED.labels(self._server.name, "crowded-out").inc()
        log.warning("connection closed: too much unfinished", peer=self._peer, bytes=self.unfinished)
        self._ending = True
        self._note_unfinished(0)
        self.abort()

    def _too_late(self) -> None:
        self._deadline = None
        ACCUMULATOR_REFUSED.labels(self._server.name, "handshake-timeout").inc()
        what = "no TLS handshake" if self._tls and not self._tls.established else "no PING"
        log.warning("connection closed: not let in", peer=self._peer, reason=f"{what} within {HANDSHAKE_WITHIN_S:g} s")
        self.abort()

    def _forget_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    # ------------------------------------------------------------------------------------ chunks in

    def _admit(self, frame: Frame, received_ns: int) -> None:
        answer = None if frame.chunk is None else acknowledgement(frame.chunk)
        if not frame.events:
            if answer:
                self._write(answer)
            return
        source = self._source
        tag = source.tag or frame.tag
        if source.add_tag_prefix:
            tag = f"{source.add_tag_prefix}.{tag}"
        arrived = Arrived(tag, frame.body, frame.events, frame.gzip, frame.chunk_id, received_ns, source.label or "")
        size = len(frame.body) + FRAME_COST
        self._pending += size
        self._frames_pending += 1
        self._server.note_pending(size)
        self._server.submit(arrived, partial(self._server.finished, self, answer, size))

    def settle(self, finished: Finished) -> None:
        """A frame has become durable, or could not."""
        self._pending -= finished.size
        self._frames_pending -= 1
        self._server.note_pending(-finished.size)
        if not finished.durable:
            self.abort()
        elif finished.answer:
            self._write(finished.answer)
        if self._ending:
            self.end()

    # ----------------------------------------------------------------------------- flow and answers

    def pause_writing(self) -> None:
        self._unread_answers = True
        self.update_flow()

    def resume_writing(self) -> None:
        self._unread_answers = False
        self.update_flow()

    def update_flow(self) -> None:
        """Reads on or pauses, by what is pending and whether the spool has room."""
        if self._transport is None or self._transport.is_closing():
            return
        server = self._server
        over = self._unread_answers or self._pending > server.pending_limit
        pause = self._ending or server.blocked or over
        if pause and not self._paused:
            self._transport.pause_reading()
        elif self._paused and not pause:
            self._transport.resume_reading()
        self._paused = pause

    def end(self) -> None:
        """Reads no more, and closes when all that was read is acknowledged."""
        self._ending = True
        self.update_flow()
        if self._frames_pending == 0 and self._transport and not self._transport.is_closing():
            if self._tls:
                self._tls.close()
                self._flush_tls()
            self._transport.close()

    def abort(self) -> None:
        """Closes at once."""
        if self._transport:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if not data or self._transport is None or self._transport.is_closing():
            return
        if self._tls is None:
            self._transport.write(data)
        else:
            self._tls.send(data)
            self._flush_tls()

    def _flush_tls(self) -> None:
        if self._tls and self._transport and (data := self._tls.outgoing()):
            self._transport.write(data)


def _joins(first: Frame, frame: Frame) -> bool:
    """Whether two frames that came together can be one chunk: single events of senders that ask for no answer."""
    return first.tag == frame.tag and first.chunk is None and frame.chunk is None and not first.gzip and not frame.gzip


def _joined(run: Sequence[Frame]) -> Frame:
    if len(run) == 1:
        return run[0]
    return Frame(run[0].tag, b"".join(f.body for f in run), sum(f.events for f in run))
