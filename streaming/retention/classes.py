"""Which class a log is of, and how long a class is kept: a pure function of the versions that were ever declared.

A version is in force from the beginning of a day (UTC) on, for logs received then. So the class, and with it the index,
follows from the record alone, whenever it is asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import msgspec

DEFAULT_CLASS: Final = "default"
"""Of logs that no class takes."""

HISTORY_DAYS: Final = 365
"""For how long after its last day an index of a month of audits, incidents or changes of nodes is kept: small, and
looked at when the logs are long gone."""

_EPOCH: Final = date(1970, 1, 1)


def date_of(day: int) -> date:
    """Of a day in days since the epoch."""
    return _EPOCH + timedelta(days=day)


class Class(msgspec.Struct, frozen=True):
    """As declared (streaming/alerting/rules/retention.py): no levels or no services means any; `audit-*` is all
    services whose names begin so."""

    name: str
    days: int
    levels: tuple[str, ...] = ()
    services: tuple[str, ...] = ()

    def takes(self, level: str, service: str) -> bool:
        """Whether a log is of this class, if none before it took it."""
        return (not self.levels or level in self.levels) and (
            not self.services or any(_fits(pattern, service) for pattern in self.services)
        )


class Version(msgspec.Struct, frozen=True):
    """A list of classes, in force for logs received from the beginning of day `since` (UTC) on; first match wins."""

    since: date
    classes: tuple[Class, ...]

    @property
    def first_day(self) -> int:
        """Its first day, in days since the epoch."""
        return (self.since - _EPOCH).days


class Retention:
    """All versions in the order in which they were declared, and the days that class `default` is kept.

    Days are in days since the epoch, UTC.
    """

    def __init__(self, default_days: int, versions: Sequence[Version] = ()) -> None:
        self.default_days = default_days
        self.declared = tuple(versions)
        # Of two that begin on one day the later declared one counts: sorting keeps it behind the other.
        self._versions = sorted(versions, key=lambda version: version.first_day)
        self._first_days = [version.first_day for version in self._versions]

    def on(self, day: int) -> tuple[Class, ...]:
        """The classes in force for logs received on a day."""
        begun = bisect_right(self._first_days, day)
        return self._versions[begun - 1].classes if begun else ()

    def class_of(self, day: int, level: str, service: str) -> str:
        """The class of a log."""
        return next((one.name for one in self.on(day) if one.takes(level, service)), DEFAULT_CLASS)

    def days_of(self, name: str, today: int) -> int | None:
        """How long a class is kept, by the version in force today; one that it has no more, by the last that had it.
        None: no version until today had it."""
        if name == DEFAULT_CLASS:
            return self.default_days
        return next((one.days for one in self._newest_first(today) if one.name == name), None)

    def is_expired(self, name: str, day: int, today: int) -> bool:
        """The index of the class and day is past its retention: it is deleted, or about to be, and must not come back.
        Of a class that nobody has declared until today it never is."""
        days = self.days_of(name, today)
        return days is not None and day < today - days

    def longest_days(self) -> int:
        """What the longest kept class of any version is kept."""
        return max([self.default_days, *(one.days for version in self._versions for one in version.classes)])

    def _newest_first(self, today: int) -> Iterator[Class]:
        begun = bisect_right(self._first_days, today)
        for version in reversed(self._versions[:begun]):
            yield from version.classes


def _fits(pattern: str, service: str) -> bool:
    return service.startswith(pattern[:-1]) if pattern.endswith("*") else service == pattern
