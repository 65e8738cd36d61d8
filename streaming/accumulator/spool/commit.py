"""Group commit: one fsync for all connections that wait, and a resend recognised before it is spooled again."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from streaming.accumulator.admission.gate import Gate, State
from streaming.accumulator.admission.room import Limit
from streaming.accumulator.spool.condition import SpoolCondition
from streaming.accumulator.spool.segment import SMALLEST, Arrived, Checked, checked
from streaming.accumulator.spool.spool import Spool
from streaming.worker.logs import logger
from streaming.worker.metrics import (
    ACCUMULATOR_CHUNKS,
    ACCUMULATOR_EVENTS,
    ACCUMULATOR_REFUSED,
    ACCUMULATOR_RESENDS,
)

log = logger(__name__)

Done = Callable[[bool], None]
"""Called once for each chunk, from the committing thread: true when it is durable, false when it is not and
must be sent again."""

FAILURE_PAUSE_S = 0.2
"""After a failed write, so that a full disk is not hammered. What arrives meanwhile is refused with the rest: its
sender sends all of it again, in order."""
HELD_LOOK_S = 0.01
"""How often what is held is looked at again: a tenth of what is waited for at full speed."""
HANGS_AFTER_S = 1.0
"""A commit that takes so long is no commit that is on its way: usual ones take milliseconds."""
SETTLED_AFTER_S = 10.0
"""After trouble senders send again what was refused, or wait for their turn: until then a beat that is missing proves
nothing. As long as the usual deadline of a node."""


@dataclass
class _Waiting:
    entry: Checked
    done: list[Done] = field(default_factory=list)


class Committer:
    """A thread that appends to the spool what the gate admits of what has arrived while it was writing."""

    def __init__(
        self,
        spool: Spool,
        name: str,
        condition: SpoolCondition,
        limit: Limit,
        latency_target_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool, self._name, self._condition, self._clock = spool, name, condition, clock
        self._events = ACCUMULATOR_EVENTS.labels(name)
        self._chunks = ACCUMULATOR_CHUNKS.labels(name)
        self._resends = ACCUMULATOR_RESENDS.labels(name)
        self._changed = threading.Condition()
        self._gate: Gate[_Waiting] = Gate(limit, latency_target_s, clock())
        self._by_key: dict[bytes, _Waiting] = {}
        self._began: float | None = None
        """When the batch that is being committed was taken."""
        self._accepts_from = -math.inf
        self._accepted_to_ns = 0
        self._closing = False
        self._failed = False
        self._full = False
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def has_room(self) -> bool:
        """Whether senders should be read from: not while the spool is full and the policy is to block."""
        return self._gate.limit.overflow != "block" or not self._gate.full(self._state())

    def accepted_to_ns(self, now_ns: int) -> int:
        """The receive time up to which what was sent could be taken in: `now_ns` where all is well. It stands still
        while the disk fails or hangs, while the spool is full, and for a little longer. What the gate makes wait for
        its turn does not count. To be asked about once a second."""
        with self._changed:
            now = self._clock()
            hangs = self._began is not None and now - self._began > HANGS_AFTER_S
            if self._failed or self._full or hangs:
                self._accepts_from = now + SETTLED_AFTER_S
            if now >= self._accepts_from:
                self._accepted_to_ns = now_ns
            return self._accepted_to_ns

    def look(self) -> None:
        """Tells whether the spool is full, and what was lost. Once in a while, also when nothing arrives."""
        with self._changed:
            self._tell_whether_full(self._gate.full(self._state()))
        self._condition.log_losses(self._clock())

    def submit(self, chunk: Arrived, done: Done) -> None:
        """Takes a chunk in; `done` follows. A known chunk is done at once, one under way when that is durable."""
        entry = checked(chunk)
        with self._changed:
            if self._closing:
                known = under_way = None
            elif self._spool.knows(entry.key):
                known, under_way = True, None
            else:
                known, under_way = False, self._by_key.get(entry.key)
                if under_way:
                    under_way.done.append(done)
                else:
                    self._enqueue(_Waiting(entry, [done]))
        if known is None:
            done(False)
        elif known:
            done(True)
        if known or under_way:
            self._resends.inc()

    def _enqueue(self, waiting: _Waiting) -> None:
        chunk = waiting.entry.chunk
        self._gate.offer((chunk.label, chunk.flow or chunk.tag), waiting, len(chunk.body) + SMALLEST, self._clock())
        if waiting.entry.key:
            self._by_key[waiting.entry.key] = waiting
        self._changed.notify()

    def close(self) -> None:
        """Commits what has arrived, refuses what comes after, and returns."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._gate) or self._closing)
                if not len(self._gate):
                    return
                admitted, refused = self._decide()
                if not admitted and not refused:
                    self._changed.wait(HELD_LOOK_S)
                    continue
            if refused:
                ACCUMULATOR_REFUSED.labels(self._name, "spool-full").inc(len(refused))
            self._finish(refused, durable=False)
            if admitted:
                self._commit(admitted)

    def _decide(self) -> tuple[list[_Waiting], list[_Waiting]]:
        state = self._state()
        self._tell_whether_full(self._gate.full(state))
        if self._closing:
            everything = self._gate.take_all()
            return ([], everything) if self._gate.full(state) else (everything, [])
        return self._gate.decide(state, self._clock())

    def _commit(self, batch: list[_Waiting]) -> None:
        size = sum(len(waiting.entry.chunk.body) for waiting in batch)
        limit = self._gate.limit
        if limit.overflow == "drop_oldest_chunk":
            while self._spool.backlog_bytes + size > limit.bytes and self._spool.drop_oldest():
                pass
        self._began = self._clock()
        try:
            self._spool.append_checked([waiting.entry for waiting in batch])
            self._began = None
        except OSError as error:
            self._report(error)
            self._began = None
            time.sleep(FAILURE_PAUSE_S)
            with self._changed:
                batch += self._gate.take_all()
            self._finish(batch, durable=False)
            return
        if self._failed:
            self._failed = False
            self._condition.set("writing", "")
            log.info("spool writes again")
        self._chunks.inc(len(batch))
        self._events.inc(sum(waiting.entry.chunk.events for waiting in batch))
        self._finish(batch, durable=True)

    def _finish(self, batch: list[_Waiting], *, durable: bool) -> None:
        with self._changed:
            for waiting in batch:
                self._by_key.pop(waiting.entry.key, None)
        for waiting in batch:
            for done in waiting.done:
                done(durable)

    def _state(self) -> State:
        spool = self._spool
        return State(spool.backlog_bytes, spool.waiting_bytes, spool.settled_bytes)

    def _tell_whether_full(self, full: bool) -> None:
        if full == self._full:
            return
        self._full = full
        limit = self._gate.limit
        what = "senders wait" if limit.overflow == "block" else "senders are refused"
        text = f"full ({limit.bytes} bytes): {what} until Kafka takes events"
        self._condition.set("room", text if full else "")
        log.warning(f"spool is full: {what}") if full else log.info("spool has room again")

    def _report(self, error: OSError) -> None:
        self._condition.set("writing", f"cannot be written: {error.strerror or error}; events are refused until it can")
        if not self._failed:
            log.error("spool cannot be written", error=str(error))
        self._failed = True
