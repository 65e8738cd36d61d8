"""Maintenance windows: which are open, when that changes next, and which one mutes an incident."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from streaming.alerting.messages import Incident
from streaming.alerting.rules.muting import Maintenance
from streaming.alerting.rules.weekly import WeeklyTime, minutes, zone

DAY_MS = 24 * 60 * 60 * 1000


class Windows:
    """The maintenance windows of a rule set, in the order of its files."""

    def __init__(self, windows: Sequence[Maintenance]) -> None:
        self._windows = tuple(windows)
        self._open: tuple[Maintenance, ...] = ()
        self._from_ms = self._until_ms = 0
        """`_open` are those that are open within this time."""
        self._were_open: tuple[Maintenance, ...] = ()

    def mute_of(self, incident: Incident, now_ms: int) -> str:
        """`maintenance NAME` of the first that means this incident now; empty: none does."""
        for window in self._open_at(now_ms):
            if window.fits(incident):
                return f"maintenance {window.name}"
        return ""

    def crossed(self, now_ms: int) -> list[Maintenance]:
        """Those that opened or closed since this was last asked."""
        before, self._were_open = self._were_open, self._open_at(now_ms)
        return [window for window in self._windows if (window in before) != (window in self._were_open)]

    def next_ms(self, now_ms: int) -> int | None:
        """When the next one may open or close: exactly then, or at most a day ahead."""
        self._open_at(now_ms)
        return self._until_ms if self._windows else None

    def _open_at(self, now_ms: int) -> tuple[Maintenance, ...]:
        if self._windows and not self._from_ms <= now_ms < self._until_ms:
            self._open = tuple(window for window in self._windows if window.holds(now_ms))
            self._from_ms = now_ms
            self._until_ms = min(next_change_ms(window, now_ms) for window in self._windows)
        return self._open


def next_change_ms(window: Maintenance, after_ms: int) -> int:
    """The first moment after this one at which `window.holds` changes, if it comes within a day; else a day later."""
    times = [moment for time in window.weekly for moment in _moments(time, after_ms)]
    times += [round(at.timestamp() * 1000) for at in (window.begins, window.ends) if at is not None]
    ahead = sorted({at for at in times if after_ms < at < after_ms + DAY_MS})
    holds = window.holds(after_ms)
    return next((at for at in ahead if window.holds(at) != holds), after_ms + DAY_MS)


def _moments(time: WeeklyTime, after_ms: int) -> Iterator[int]:
    """All moments of the next day at which the clock on the wall may come to a weekly time's begin or end: by either
    reading of an hour that comes twice, and when the clock is set."""
    there = zone(time.timezone)
    today = datetime.fromtimestamp(after_ms / 1000, UTC).astimezone(there).date()
    for days in (-1, 0, 1, 2):
        midnight = datetime.combine(today + timedelta(days=days), datetime.min.time())
        for at in (minutes(time.begins), minutes(time.ends)):
            for fold in (0, 1):
                wall = (midnight + timedelta(minutes=at)).replace(tzinfo=there, fold=fold)
                yield round(wall.timestamp() * 1000)
    yield from _clock_set(time, after_ms, after_ms + DAY_MS)


def _clock_set(time: WeeklyTime, start_ms: int, end_ms: int) -> Iterator[int]:
    """When between two moments the clock on the wall is set, if it is. No zone sets it twice within a day."""

    def offset(at_ms: int) -> timedelta | None:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone(time.timezone)).utcoffset()

    before = offset(start_ms)
    if offset(end_ms) == before:
        return
    while end_ms - start_ms > 1:
        middle = (start_ms + end_ms) // 2
        if offset(middle) == before:
            start_ms = middle
        else:
            end_ms = middle
    yield end_ms
