"""Notices that the wall clock was set: by NTP, by hand, or by a virtual machine that was resumed."""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST_STEP_MS = 1_000
"""NTP slews at most 0.5 ms a second; what moves a second between two looks was set."""


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _steady_ms() -> int:
    # Unlike the monotonic clock it goes on while the machine sleeps, so that sleep is no step.
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class StepWatch:
    """Compares the wall clock with one that nobody sets. Ask often: a slow drift adds up between two looks."""

    def __init__(self, wall_ms: Callable[[], int] = _wall_ms, steady_ms: Callable[[], int] = _steady_ms) -> None:
        self._wall_ms, self._steady_ms = wall_ms, steady_ms
        self._ahead = wall_ms() - steady_ms()

    def stepped_ms(self) -> int:
        """How far the wall clock was set since the last call, in milliseconds, back is negative; 0 if it was not."""
        before, self._ahead = self._ahead, self._wall_ms() - self._steady_ms()
        step = self._ahead - before
        return step if abs(step) >= LEAST_STEP_MS else 0
