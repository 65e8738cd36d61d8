"""One thread with an event loop for the listeners that share it, and their way to the disk and back.

The Forward protocol has a thread of its own (forward.py): it carries most, and must not wait behind a body that is
being parsed.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from streaming.accumulator.sources.forward import Submit
from streaming.accumulator.sources.loop_errors import LoopErrors
from streaming.accumulator.sources.open_files import OF_PROCESS
from streaming.accumulator.spool.segment import Arrived
from streaming.errors import Unavailable
from streaming.worker.logs import logger

log = logger(__name__)

MIB = 1024 * 1024
PENDING_LIMIT = 64 * MIB
"""Bytes of all chunks on their way to the disk; nothing is read while there are more."""
CHUNK_COST = 1024
"""Counted for each chunk beside its bytes, roughly what the objects around it take."""
TICK_S = 0.05
LAST_ANSWERS_S = 1.0

Settled = Callable[[bool], None]
"""Called once for each chunk, in the loop: true when it is durable, false when it is not."""


class Listener(Protocol):
    """What listens on a port. All methods are called in the loop's thread, `listen` before it runs."""

    async def listen(self) -> None:
        """Takes its port; OSError where it cannot."""

    def update_flow(self) -> None:
        """`SourceLoop.blocked` or `crowded` has changed."""

    def tick(self, now_s: float) -> None:
        """Twenty times a second, with the loop's clock: time-outs."""

    async def stop_accepting(self) -> None:
        """Takes nothing new; what was read is still answered."""

    @property
    def quiet(self) -> bool:
        """Whether, after `stop_accepting`, all is answered."""

    def abort(self) -> None:
        """Closes whatever is open, at once."""


class _Finished(NamedTuple):
    settled: Settled
    size: int
    durable: bool


class SourceLoop:
    """The thread. `has_room` is asked twenty times a second: while it says no, the spool is full."""

    def __init__(self, name: str, submit: Submit, has_room: Callable[[], bool]) -> None:
        self.name, self._submit, self._has_room = name, submit, has_room
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(LoopErrors())
        self.places = OF_PROCESS
        self.blocked = not has_room()
        """The spool is full."""
        self.crowded = False
        """The disk is behind: what is read now would pile up in memory."""
        self.closing = False
        self._pending = 0
        self._finished: deque[_Finished] = deque()
        self._scheduled = False
        self._lock = threading.Lock()
        self._listeners: Sequence[Listener] = ()
        self._thread = threading.Thread(target=self.loop.run_forever, name="sources", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    @property
    def paused(self) -> bool:
        """Nothing should be read that cannot be refused."""
        return self.blocked or self.crowded

    def start(self, listeners: Sequence[Listener]) -> None:
        """Lets all of them listen, or none.

        Raises:
            Unavailable: a port is taken.
        """
        self._listeners = listeners
        try:
            for listener in listeners:
                self.loop.run_until_complete(listener.listen())
        except OSError as error:
            self.loop.run_until_complete(self._finish())
            self.loop.close()
            raise Unavailable(f"accumulator {self.name} cannot listen: {error.strerror or error}") from error
        self.loop.call_later(TICK_S, self._tick)
        self._thread.start()

    def submit(self, chunk: Arrived, settled: Settled) -> None:
        """Sends a chunk to the disk. Only from the loop."""
        size = len(chunk.body) + CHUNK_COST
        self._note_pending(size)
        self._submit(chunk, lambda durable: self._hear(_Finished(settled, size, durable)))

    def stop_accepting(self) -> None:
        """Takes nothing new; what was read is still answered. Call before the committer closes."""
        asyncio.run_coroutine_threadsafe(self._stop_accepting(), self.loop).result()

    def close(self) -> None:
        """Answers what is left and ends the thread. Call after the committer has closed."""
        asyncio.run_coroutine_threadsafe(self._finish(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _hear(self, finished: _Finished) -> None:
        """From the committer's thread. Many that finish together wake the loop once."""
        with self._lock:
            self._finished.append(finished)
            wake, self._scheduled = not self._scheduled, True
        if wake:
            self.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, deque()
            self._scheduled = False
        for one in finished:
            self._note_pending(-one.size)
            one.settled(one.durable)

    def _note_pending(self, size: int) -> None:
        self._pending += size
        crowded = self._pending > (PENDING_LIMIT // 2 if self.crowded else PENDING_LIMIT)
        if crowded != self.crowded:
            self.crowded = crowded
            self._update_flow()

    def _update_flow(self) -> None:
        for listener in self._listeners:
            listener.update_flow()

    def _tick(self) -> None:
        blocked = not self._has_room()
        if blocked != self.blocked:
            self.blocked = blocked
            log.warning("spool is full: nothing is taken") if blocked else log.info("spool has room again")
            self._update_flow()
        now_s = self.loop.time()
        for listener in self._listeners:
            listener.tick(now_s)
        self.loop.call_later(TICK_S, self._tick)

    async def _stop_accepting(self) -> None:
        self.closing = True
        for listener in self._listeners:
            await listener.stop_accepting()

    async def _finish(self) -> None:
        """Gives the last answers, and their readers a moment to take them."""
        self._settle()
        deadline = self.loop.time() + LAST_ANSWERS_S
        while not all(listener.quiet for listener in self._listeners) and self.loop.time() < deadline:
            await asyncio.sleep(0.01)
        for listener in self._listeners:
            listener.abort()
        await asyncio.sleep(0)  # an aborted transport closes its socket in the next round
        await self.loop.shutdown_default_executor()
