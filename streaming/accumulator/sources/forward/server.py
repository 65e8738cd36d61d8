"""Listens for the Forward protocol: frames in, acknowledgements out when the disk has them.

One thread with an event loop serves all connections. A frame is handed to the committer; its acknowledgement is
written when the committer says that it is durable. Where it cannot be made durable the connection is closed
without one, which tells the sender at once to send again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

from streaming.accumulator.configuration.plan import ForwardSource
from streaming.accumulator.sources.forward.certificates import Certificates
from streaming.accumulator.sources.forward.connection import PENDING_LIMIT, SMALL_PENDING_LIMIT, Connection, Finished
from streaming.accumulator.sources.forward.udp_heartbeat import UdpHeartbeat
from streaming.accumulator.sources.loop_errors import LoopErrors
from streaming.accumulator.sources.open_files import OF_PROCESS
from streaming.accumulator.spool.segment import Arrived
from streaming.errors import Unavailable
from streaming.forward.frames import FRAME_LIMIT
from streaming.worker.logs import logger

log = logger(__name__)

ALL_PENDING_LIMIT = 8 * PENDING_LIMIT
"""The same of all connections together; none is read from while more are, and from half of it on only those that
have little pending."""
NOTHING = -1
UNFINISHED_LIMIT = 3 * FRAME_LIMIT
"""Bytes of frames that have not come whole, of all connections. Past it the ones that wait longest for their next byte
are closed: senders at work do not wait, and send again; what only holds memory goes first."""
ROOM_EVERY_S = 0.05
LAST_ANSWERS_S = 1.0
BACKLOG = 512
"""Connections that may wait to be accepted."""

Submit = Callable[[Arrived, Callable[[bool], None]], None]


class ForwardServer:
    """All listeners of an accumulator, in one thread.

    `has_room` is asked twenty times a second; while it says no, nothing is read (the policy "block").

    Raises:
        ConfigError: a certificate cannot be used.
        Unavailable: a port is taken.
    """

    def __init__(
        self, name: str, sources: Sequence[ForwardSource], submit: Submit, has_room: Callable[[], bool]
    ) -> None:
        self.name, self.submit, self._has_room = name, submit, has_room
        certificates = [Certificates(s.tls) if s.tls else None for s in sources]
        self.connections: set[Connection] = set()
        self.blocked = not has_room()
        self.pending_limit = PENDING_LIMIT
        """Bytes that one connection may have on their way to the disk."""
        self.places = OF_PROCESS
        self._pending = 0
        self.unfinished_bytes = 0
        """Of frames that have not come whole, of all connections."""
        largest = max((s.chunk_size_limit or FRAME_LIMIT for s in sources), default=FRAME_LIMIT)
        self._unfinished_limit = max(UNFINISHED_LIMIT, 2 * largest)
        self._finished: deque[Finished] = deque()
        self._scheduled = False
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(LoopErrors())
        self._listeners: list[asyncio.Server | asyncio.DatagramTransport] = []
        try:
            for source, of_source in zip(sources, certificates, strict=True):
                self._loop.run_until_complete(self._listen(source, of_source))
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

    async def _listen(self, source: ForwardSource, certificates: Certificates | None) -> None:
        """Takes a port's TCP for senders, and its UDP for their heartbeats."""
        bind, port = source.bind, source.port

        def connection() -> Connection:
            return Connection(self, source, certificates.current() if certificates else None)

        listener = await self._loop.create_server(connection, bind, port, backlog=BACKLOG)
        self._listeners.append(listener)
        heartbeat, _ = await self._loop.create_datagram_endpoint(UdpHeartbeat, local_addr=(bind, port))
        self._listeners.append(heartbeat)

    def finished(self, connection: Connection, answer: bytes | None, size: int, durable: bool) -> None:
        """Called by the committer, from its thread. Many that finish together wake the loop once."""
        with self._lock:
            self._finished.append(Finished(connection, answer, size, durable))
            wake, self._scheduled = not self._scheduled, True
        if wake:
            self._loop.call_soon_threadsafe(self._settle)

    def note_pending(self, size: int) -> None:
        """So much more (or less) is on its way to the disk. Only from the loop."""
        self._pending += size
        limit = self._pending_limit()
        if limit != self.pending_limit:
            self.pending_limit = limit
            for connection in self.connections:
                connection.update_flow()

    def _pending_limit(self) -> int:
        """Of each connection now. Each step is left only well below where it was entered."""
        if self._pending > ALL_PENDING_LIMIT * (0.75 if self.pending_limit == NOTHING else 1):
            return NOTHING
        if self._pending > ALL_PENDING_LIMIT * (0.5 if self.pending_limit == PENDING_LIMIT else 0.25):
            return SMALL_PENDING_LIMIT
        return PENDING_LIMIT

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
