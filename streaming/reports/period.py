"""The periods that reports are of: local days and weeks of a zone, also where its clocks are put forward or back.

Pure. A local day begins at the first moment of its date, so it lasts 23, 24 or 25 hours (half an hour more or less on
Lord Howe), may begin at 01:00 where a zone changes its clocks at midnight, and lies on two UTC days but in UTC itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

HOUR_MS = 60 * 60 * 1000


class Kind(StrEnum):
    """Of a report."""

    DAILY = "daily"
    WEEKLY = "weekly"
    """Monday to Sunday."""


class Slot(msgspec.Struct, frozen=True):
    """A part of a period: an hour of a day, or a day of a week. `label` is its local time, by which slots of two
    periods are compared; the hour that comes twice in autumn bears its offset from UTC."""

    label: str
    start_ms: int
    end_ms: int


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A local day or week; moments in ms since the epoch, `end_ms` exclusive."""

    kind: Kind
    zone: str
    first_day: str
    """ISO date; of a week its Monday."""
    start_ms: int
    end_ms: int
    cutoff_ms: int
    """What was received at this moment or later is not counted."""

    @property
    def name(self) -> str:
        """What identifies it beside its zone, and its folder: `daily/2026-11-25`."""
        return f"{self.kind}/{self.first_day}"

    @property
    def day(self) -> date:
        """Its first day."""
        return date.fromisoformat(self.first_day)

    @property
    def last_day(self) -> date:
        """Its last day."""
        return self.day + timedelta(days=_days(self.kind) - 1)

    @property
    def title(self) -> str:
        """As people call it: `Wednesday, 25 November 2026`, or `week 48 of 2026 (23 to 29 November)`."""
        if self.kind is Kind.DAILY:
            return f"{self.day:%A}, {self.day.day} {self.day:%B %Y}"
        year, week, _ = self.day.isocalendar()
        first = f"{self.day.day} {self.day:%B}" if self.day.month != self.last_day.month else str(self.day.day)
        return f"week {week} of {year} ({first} to {self.last_day.day} {self.last_day:%B})"

    @property
    def hours(self) -> float:
        """How long it lasts."""
        return (self.end_ms - self.start_ms) / HOUR_MS

    def slots(self) -> list[Slot]:
        """Its hours, or its days."""
        return [*(_hours(self) if self.kind is Kind.DAILY else _days_of(self))]


def period_of(kind: Kind, day: date, zone: str, late_h: float) -> Period:
    """The period that `day` belongs to, closed `late_h` hours after its end."""
    first = day if kind is Kind.DAILY else day - timedelta(days=day.weekday())
    start_ms, end_ms = midnight_ms(first, zone), midnight_ms(first + timedelta(days=_days(kind)), zone)
    return Period(
        kind=kind,
        zone=zone,
        first_day=first.isoformat(),
        start_ms=start_ms,
        end_ms=end_ms,
        cutoff_ms=end_ms + round(late_h * HOUR_MS),
    )


def back(period: Period, periods: int) -> Period:
    """The one so many days or weeks before, closed as long after its end."""
    late_h = (period.cutoff_ms - period.end_ms) / HOUR_MS
    return period_of(period.kind, period.day - timedelta(days=periods * _days(period.kind)), period.zone, late_h)


def last_closed(kind: Kind, zone: str, late_h: float, now_ms: int) -> Period:
    """The latest period whose cut-off is over."""
    latest = period_of(kind, local_day(now_ms, zone), zone, late_h)
    while latest.cutoff_ms > now_ms:
        latest = back(latest, 1)
    return latest


def local_day(at_ms: int, zone: str) -> date:
    """The date there at a moment."""
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)).date()


def local_text(at_ms: int, zone: str, form: str = "%Y-%m-%d %H:%M") -> str:
    """A moment as clocks there show it, with the zone's abbreviation and offset: `2026-11-25 01:00 CET (UTC+01:00)`."""
    when = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone))
    if zone == "UTC":
        return f"{when:{form}} UTC"
    name = when.tzname() or ""
    # Zones without an abbreviation of their own bear their offset as one (`+1030`).
    known = f"{name} " if name[:1].isalpha() else ""
    return f"{when:{form}} {known}(UTC{_offset(when)})"


def midnight_ms(day: date, zone: str) -> int:
    """The first moment of a date. Where clocks are put forward at midnight that is 01:00; where they are put back to
    before midnight, it is the first time that the date begins."""
    here = ZoneInfo(zone)
    wall = datetime(day.year, day.month, day.day, tzinfo=here)
    moment = round(wall.timestamp()) * 1000
    if datetime.fromtimestamp(moment / 1000, here).date() != day:
        # Midnight does not exist: read with the offset from before the gap, it falls on the other side of it.
        moment = round(wall.replace(fold=1).timestamp()) * 1000
    return moment


def _days(kind: Kind) -> int:
    return 1 if kind is Kind.DAILY else 7


def _hours(period: Period) -> Iterator[Slot]:
    """From each full hour of the local clock to the next; shorter where clocks change by half an hour."""
    here, start_ms = ZoneInfo(period.zone), period.start_ms
    seen: set[str] = set()
    while start_ms < period.end_ms:
        when = datetime.fromtimestamp(start_ms / 1000, here)
        to_full_ms = HOUR_MS - (when.minute * 60 + when.second) * 1000
        end_ms = min(_hour_end(start_ms, to_full_ms, here), period.end_ms)
        label = f"{when:%H:%M}"
        yield Slot(f"{label} {_offset(when)}" if label in seen else label, start_ms, end_ms)
        seen.add(label)
        start_ms = end_ms


def _hour_end(start_ms: int, to_full_ms: int, here: ZoneInfo) -> int:
    """When the hour of the local clock is over: at the next full hour, or when the clocks change before it."""
    offset = datetime.fromtimestamp(start_ms / 1000, here).utcoffset()
    for quarter_ms in range(HOUR_MS // 4, to_full_ms, HOUR_MS // 4):
        if datetime.fromtimestamp((start_ms + quarter_ms) / 1000, here).utcoffset() != offset:
            return start_ms + quarter_ms
    return start_ms + to_full_ms


def _days_of(period: Period) -> Iterator[Slot]:
    for number in range(7):
        day = period.day + timedelta(days=number)
        following = day + timedelta(days=1)
        yield Slot(f"{day:%a} {day.day}", midnight_ms(day, period.zone), midnight_ms(following, period.zone))


def _offset(when: datetime) -> str:
    minutes = round((when.utcoffset() or timedelta()).total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def parse_day(text: str, zone: str, now_ms: int) -> date:
    """`2026-11-25`, `today` or `yesterday` there.

    Raises:
        ValueError: it is none of these.
    """
    if text in ("today", "yesterday"):
        return local_day(now_ms, zone) - timedelta(days=text == "yesterday")
    return date.fromisoformat(text)
