"""A health answer that means something: what is connected, and whether the worker still moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypedDict

STUCK_AFTER_S = 30.0
"""A round of work takes at most a second or two; Elasticsearch's slowest bulk time-out is 20 s. 30 is stuck."""


class Check(TypedDict):
    """One named condition of a worker."""

    ok: bool
    detail: str


class Answer(TypedDict):
    """What `GET /health` says; HTTP 200 where `healthy`, else 503."""

    worker: str
    healthy: bool
    idle_s: float
    checks: dict[str, Check]


class Health:
    """Conditions of one worker, set by its loop and read by the telemetry server's thread.

    A worker is healthy when every declared check has been set to true and its loop came round within
    `stuck_after_s`. Checks are declared first, so one that was never set counts as not healthy.
    """

    def __init__(
        self,
        worker: str,
        *checks: str,
        stuck_after_s: float = STUCK_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.worker = worker
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {name: Check(ok=False, detail="not yet known") for name in checks}
        self._last_round = clock()

    def set(self, check: str, ok: bool, detail: str = "") -> None:
        """States one condition; `detail` says why not, with a remedy where there is one."""
        with self._lock:
            self._checks[check] = Check(ok=ok, detail=detail)

    def forget(self, check: str) -> None:
        """A condition that there is no more."""
        with self._lock:
            self._checks.pop(check, None)

    def came_round(self) -> None:
        """The worker's loop did a round; called by the runner."""
        self._last_round = self._clock()

    @property
    def idle_s(self) -> float:
        """Seconds since the loop last came round."""
        return self._clock() - self._last_round

    def answer(self) -> Answer:
        """The state now."""
        idle = self.idle_s
        with self._lock:
            checks = dict(self._checks)
        checks["moving"] = Check(
            ok=idle < self._stuck_after_s,
            detail="" if idle < self._stuck_after_s else f"no round for {idle:.0f} s",
        )
        return Answer(
            worker=self.worker,
            healthy=all(c["ok"] for c in checks.values()),
            idle_s=round(idle, 3),
            checks=checks,
        )
