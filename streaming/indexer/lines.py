"""Beginnings of bulk items: of each receive day, by the retention class of the log."""

from __future__ import annotations

from typing import Final, NamedTuple

from streaming.elastic import bulk
from streaming.indexer import identity
from streaming.retention.classes import DEFAULT_CLASS, Retention

MOST_ROUTES: Final = 10_000
"""Pairs of level and service that are remembered for a day; past that all are looked up anew. 4 MB at most with names
of `LONGEST_NAME` characters, longer ones are not remembered."""
LONGEST_NAME: Final = 200


class Routes(dict[tuple[str, str], str | None]):
    """By level and service: the beginning of the item; None where the day of that class is past retention.

    A dictionary, for the sake of the straight way (direct.py): what is known costs it 0.05 us.
    """

    def __init__(self, retention: Retention, day: int, lines: dict[str, str | None]) -> None:
        super().__init__()
        self._retention, self._day, self._lines = retention, day, lines

    def __missing__(self, key: tuple[str, str]) -> str | None:
        level, service = key
        line = self._lines[self._retention.class_of(self._day, str(level), service)]
        if len(service) <= LONGEST_NAME:
            if len(self) >= MOST_ROUTES:
                self.clear()
            self[key] = line
        return line


class DayLines(NamedTuple):
    """Of one receive day. Without `routes` all its logs are of class `default`."""

    default: str | None
    routes: Routes | None = None

    def of(self, level: str, service: str) -> str | None:
        """The beginning of a log's item; None where its day is past retention."""
        return self.default if self.routes is None else self.routes[level, service]


class Lines:
    """All days that were asked for since the day turned or the retention changed: two or three, and while a backlog
    is read as many as it spans."""

    def __init__(self, index_prefix: str, retention: Retention) -> None:
        self._index_prefix = index_prefix
        self.retention = retention
        self._today = 0
        self._days: dict[int, DayLines] = {}

    def renew(self, retention: Retention) -> None:
        """From now on these are the classes."""
        self.retention = retention
        self._days.clear()

    def turn_to(self, today: int) -> None:
        """Lets days expire."""
        if today != self._today:
            self._today = today
            self._days.clear()

    def of(self, day: int) -> DayLines:
        """The lines of a receive day."""
        try:
            return self._days[day]
        except KeyError:
            found = self._days[day] = self._made(day)
            return found

    def is_kept(self, index: str) -> bool:
        """Whether an index is still within its retention."""
        found = identity.class_and_day(self._index_prefix, index)
        return found is None or not self.retention.is_expired(*found, self._today)

    def _made(self, day: int) -> DayLines:
        names = [one.name for one in self.retention.on(day)]
        lines = {name: self._line(name, day) for name in (*names, DEFAULT_CLASS)}
        return DayLines(lines[DEFAULT_CLASS], Routes(self.retention, day, lines) if names else None)

    def _line(self, name: str, day: int) -> str | None:
        if self.retention.is_expired(name, day, self._today):
            return None
        return bulk.create_line(identity.index_name(self._index_prefix, day, name)).decode()
