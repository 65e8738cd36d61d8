"""When each line of a file is due, by the times that the lines themselves say. Pure: no clock, no waiting."""

from __future__ import annotations

NS = 1_000_000_000


class Timeline:
    """Turns the lines' own times into seconds since the beginning, `speed` times as fast.

    The order of the lines is kept. A line without a time, or with one before that of the line before, is due at once.
    No pause is longer than `longest_pause_s` (of real waiting): a night without logs is not waited for. After a leap
    back of more than that pause (of the lines' time) time goes on from there, as where one file holds two runs.
    """

    def __init__(self, speed: float, longest_pause_s: float) -> None:
        self._speed, self._longest_pause_s = speed, longest_pause_s
        self._due_s = 0.0
        self._last_ns: int | None = None

    def due_s(self, time_ns: int | None) -> float:
        """When the next line is due, in seconds since the first; never less than for the line before."""
        if time_ns is None:
            return self._due_s
        if self._last_ns is None:
            self._last_ns = time_ns
        ahead_s = (time_ns - self._last_ns) / NS / self._speed
        if ahead_s > 0:
            self._due_s += min(ahead_s, self._longest_pause_s)
        if ahead_s > 0 or ahead_s < -self._longest_pause_s:
            self._last_ns = time_ns
        return self._due_s
