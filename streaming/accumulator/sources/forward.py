"""Listens for the Forward protocol: frames in, acknowledgements out when the disk has them.

One thread with an event loop serves all connections. A frame is handed to the committer; its acknowledgement is
written when the committer says that it is durable. Where it cannot be made durable the connection is closed
without one, which tells the sender at once to send again.
"""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from streaming.accumulator.configuration.plan import ForwardSource
from streaming.accumulator.spool.segment import Arrived
from streaming.errors import Unavailable
from streaming.forward.frames import FRAME_LIMIT, Frame, FrameDecoder, FrameError, acknowledgement
from streaming.worker.logs import logger
from streaming.worker.metrics import ACCUMULATOR_CONNECTIONS, ACCUMULATOR_REFUSED

log = logger(__name__)

MIB = 1024 * 1024
PENDING_LIMIT = 8 * MIB
"""Bytes of one connection on their way to the disk; it is not read from while more are."""
ALL_PENDING_LIMIT = 8 * PENDING_LIMIT
"""The same of all connections together; none is read from while more are."""
FRAME_COST = 1024
"""Counted for each frame beside its bytes, roughly what the objects around it take: a million small ones count."""
UNFINISHED_LIMIT = 3 * FRAME_LIMIT
"""Bytes of frames that have not come whole, of all connections. Past it the ones that wait longest for their next byte
are closed: senders at work do not wait, and send again; what only holds memory goes first."""
ANSWERS_LIMIT = 64 * 1024
"""Bytes of acknowledgements that a sender may leave unread; it is not read from while there are more."""
FILES_KEPT = 128
"""Of the process's open files, kept from connections for the spool, Kafka and the health port."""
ROOM_EVERY_S = 0.05
LAST_ANSWERS_S = 1.0
BACKLOG = 512
"""Connections that may wait to be accepted."""

Submit = Callable[[Arrived, Callable[[bool], None]], None]


class _Finished(NamedTuple):
    connection: _Connection
    answer: bytes | None
    size: int
    durable: bool


class _Connection(asyncio.Protocol):
    """One sender. All methods run in the server's loop."""

    def __init__(self, server: ForwardServer, source: ForwardSource) -> None:
        self._server, self._source = server, source
        self._decoder = FrameDecoder(source.chunk_size_limit or FRAME_LIMIT)
        self._transport: asyncio.Transport | None = None
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
        self._peer = str(transport.get_extra_info("peername"))
        if len(self._server.connections) >= self._server.connections_limit:
            ACCUMULATOR_REFUSED.labels(self._server.name, "too-many-connections").inc()
            transport.abort()
            return
        transport.set_write_buffer_limits(high=ANSWERS_LIMIT)
        self._server.connections.add(self)
        ACCUMULATOR_CONNECTIONS.labels(self._server.name).set(len(self._server.connections))
        self.update_flow()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._note_unfinished(0)
        self._server.connections.discard(self)
        ACCUMULATOR_CONNECTIONS.labels(self._server.name).set(len(self._server.connections))

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        received_ns = time.time_ns()
        run: list[Frame] = []
        try:
            for frame in self._decoder.feed(data):
                if run and not _joins(run[0], frame):
                    self._admit(_joined(run), received_ns)
                    run = []
                run.append(frame)
        except FrameError as error:
            ACCUMULATOR_REFUSED.labels(self._server.name, error.reason).inc()
            log.warning("connection closed: not the Forward protocol", peer=self._peer, reason=str(error))
            self._ending = True
        if run:
            self._admit(_joined(run), received_ns)
        self.heard_at = time.monotonic()
        self._note_unfinished(0 if self._ending else self._decoder.unfinished)
        if self._ending:
            self.end()
        self.update_flow()

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

    def pause_writing(self) -> None:
        self._unread_answers = True
        self.update_flow()

    def resume_writing(self) -> None:
        self._unread_answers = False
        self.update_flow()

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

    def settle(self, finished: _Finished) -> None:
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

    def update_flow(self) -> None:
        """Reads on or pauses, by what is pending and whether the spool has room."""
        if self._transport is None or self._transport.is_closing():
            return
        server = self._server
        over = self._unread_answers or self._pending > PENDING_LIMIT
        pause = self._ending or server.blocked or server.crowded or over
        if pause and not self._paused:
            self._transport.pause_reading()
        elif self._paused and not pause:
            self._transport.resume_reading()
        self._paused = pause

    def end(self) -> None:
        """Reads no more, and closes when all that was read is acknowledged."""
        self._ending = True
        self.update_flow()
        if self._frames_pending == 0 and self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Closes at once."""
        if self._transport:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)


def _joins(first: Frame, frame: Frame) -> bool:
    """Whether two frames that came together can be one chunk: single events of senders that ask for no answer."""
    return first.tag == frame.tag and first.chunk is None and frame.chunk is None and not first.gzip and not frame.gzip


def _joined(run: Sequence[Frame]) -> Frame:
    if len(run) == 1:
        return run[0]
    return Frame(run[0].tag, b"".join(f.body for f in run), sum(f.events for f in run))


class ForwardServer:
    """All listeners of an accumulator, in one thread.

    `has_room` is asked twenty times a second; while it says no, nothing is read (the policy "block").

    Raises:
        Unavailable: a port is taken.
    """

    def __init__(
        self, name: str, sources: Sequence[ForwardSource], submit: Submit, has_room: Callable[[], bool]
    ) -> None:
        self.name, self.submit, self._has_room = name, submit, has_room
        self.connections: set[_Connection] = set()
        self.blocked = not has_room()
        self.crowded = False
        self.connections_limit = max(FILES_KEPT, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES_KEPT)
        self._pending = 0
        self.unfinished_bytes = 0
        """Of frames that have not come whole, of all connections."""
        largest = max((s.chunk_size_limit or FRAME_LIMIT for s in sources), default=FRAME_LIMIT)
        self._unfinished_limit = max(UNFINISHED_LIMIT, 2 * largest)
        self._finished: deque[_Finished] = deque()
        self._scheduled = False
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._listeners: list[asyncio.Server] = []
        try:
            for source in sources:
                self._listeners.append(self._loop.run_until_complete(self._listen(source)))
        except OSError as error:
            self._loop.run_until_complete(self._stop_listening())
            self._loop.close()
            raise Unavailable(f"accumulator {name} cannot listen: {error.strerror or error}") from error
        self._loop.call_later(ROOM_EVERY_S, self._watch_room)
        self._thread = threading.Thread(target=self._loop.run_forever, name="forward", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    async def _listen(self, source: ForwardSource) -> asyncio.Server:
        return await self._loop.create_server(
            lambda: _Connection(self, source), source.bind, source.port, backlog=BACKLOG
        )

    def finished(self, connection: _Connection, answer: bytes | None, size: int, durable: bool) -> None:
        """Called by the committer, from its thread. Many that finish together wake the loop once."""
        with self._lock:
            self._finished.append(_Finished(connection, answer, size, durable))
            wake, self._scheduled = not self._scheduled, True
        if wake:
            self._loop.call_soon_threadsafe(self._settle)

    def note_pending(self, size: int) -> None:
        """So much more (or less) is on its way to the disk. Only from the loop."""
        self._pending += size
        crowded = self._pending > (ALL_PENDING_LIMIT // 2 if self.crowded else ALL_PENDING_LIMIT)
        if crowded != self.crowded:
            self.crowded = crowded
            for connection in self.connections:
                connection.update_flow()

    def note_unfinished(self, grown: int) -> None:
        """Unfinished frames have become so much longer (or shorter). Only from the loop."""
        self.unfinished_bytes += grown
        while self.unfinished_bytes > self._unfinished_limit:
            min((c for c in self.connections if c.unfinished), key=lambda c: c.heard_at).crowd_out()

    def stop_accepting(self) -> None:
        """Takes no more connections and no more data; what was read is still answered."""
        self._call(self._stop_accepting)

    def close(self) -> None:
        """Ends the thread. Call after the committer has closed."""
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _settle(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, deque()
            self._scheduled = False
        for one in finished:
            one.connection.settle(one)
        for connection in {one.connection for one in finished}:
            connection.update_flow()

    def _watch_room(self) -> None:
        blocked = not self._has_room()
        if blocked != self.blocked:
            self.blocked = blocked
            log.warning("spool is full: senders wait") if blocked else log.info("spool has room again")
            for connection in self.connections:
                connection.update_flow()
        self._loop.call_later(ROOM_EVERY_S, self._watch_room)

    def _call(self, work: Callable[[], object]) -> None:
        """Runs something in the loop and waits for it."""
        done = threading.Event()

        def run() -> None:
            try:
                work()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait()

    def _stop_accepting(self) -> None:
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.end()

    async def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()

    async def _finish(self) -> None:
        """Writes the last acknowledgements, and gives senders a moment to take them."""
        self._settle()
        deadline = self._loop.time() + LAST_ANSWERS_S
        while self.connections and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
