"""Group commit: one fsync for all connections that wait, and a resend recognised before it is spooled again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from streaming.accumulator.spool.segment import Arrived, resend_key
from streaming.accumulator.spool.spool import Spool
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import ACCUMULATOR_CHUNKS, ACCUMULATOR_EVENTS, ACCUMULATOR_RESENDS

log = logger(__name__)

Done = Callable[[bool], None]
"""Called once for each chunk, from the committing thread: true when it is durable, false when it is not and
must be sent again."""

FAILURE_PAUSE_S = 0.2
"""After a failed write, so that a full disk is not hammered; senders are refused meanwhile."""


@dataclass
class _Waiting:
    chunk: Arrived
    key: bytes
    done: list[Done] = field(default_factory=list)


class Committer:
    """A thread that appends to the spool whatever has arrived while it was writing."""

    def __init__(self, spool: Spool, name: str, health: Health) -> None:
        self._spool, self._health = spool, health
        self._events = ACCUMULATOR_EVENTS.labels(name)
        self._chunks = ACCUMULATOR_CHUNKS.labels(name)
        self._resends = ACCUMULATOR_RESENDS.labels(name)
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._by_key: dict[bytes, _Waiting] = {}
        self._closing = False
        self._failed = False
        health.set("spool", True)
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def submit(self, chunk: Arrived, done: Done) -> None:
        """Takes a chunk in; `done` follows. A known chunk is done at once, one under way when that is durable."""
        key = resend_key(chunk)
        with self._changed:
            if self._closing:
                known = under_way = None
            elif self._spool.knows(key):
                known, under_way = True, None
            else:
                known, under_way = False, self._by_key.get(key)
                if under_way:
                    under_way.done.append(done)
                else:
                    self._enqueue(_Waiting(chunk, key, [done]))
        if known is None:
            done(False)
        elif known:
            done(True)
        if known or under_way:
            self._resends.inc()

    def _enqueue(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        if waiting.key:
            self._by_key[waiting.key] = waiting
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
                self._changed.wait_for(lambda: self._waiting or self._closing)
                batch, self._waiting = self._waiting, []
                if not batch:
                    return
            durable = self._commit([w.chunk for w in batch])
            with self._changed:
                for waiting in batch:
                    self._by_key.pop(waiting.key, None)
            for waiting in batch:
                for done in waiting.done:
                    done(durable)

    def _commit(self, chunks: list[Arrived]) -> bool:
        try:
            self._spool.append(chunks)
        except OSError as error:
            self._report(error)
            time.sleep(FAILURE_PAUSE_S)
            return False
        if self._failed:
            self._failed = False
            self._health.set("spool", True)
            log.info("spool writes again")
        self._chunks.inc(len(chunks))
        self._events.inc(sum(c.events for c in chunks))
        return True

    def _report(self, error: OSError) -> None:
        detail = f"cannot be written: {error.strerror or error}; events are refused until it can"
        self._health.set("spool", False, detail)
        if not self._failed:
            log.error("spool cannot be written", error=str(error))
        self._failed = True
