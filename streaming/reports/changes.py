"""Puts the counts of a period beside those of the periods it is compared with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from streaming.reports.counting import NOTHING, Counted
from streaming.reports.model import Line, SlotLine, Tally
from streaming.reports.period import Period, Slot

Tallies = Mapping[str, Tally]


def lines(now: Tallies, before: Tallies | None, week_ago: Tallies | None) -> list[Line]:
    """A line for each name that has something in the period or in the one before it: the most errors first, then the
    most documents."""
    names = [*now, *(name for name in before or {} if name not in now)]
    found = [
        Line(
            name=name,
            now=now.get(name, NOTHING),
            before=None if before is None else before.get(name, NOTHING),
            week_ago=None if week_ago is None else week_ago.get(name, NOTHING),
        )
        for name in names
    ]
    return sorted(found, key=lambda line: (-line.now.errors, -line.now.documents, line.name))


def total_line(now: Counted, before: Counted | None, week_ago: Counted | None) -> Line:
    """Of everything."""
    return Line(
        name="all",
        now=now.total,
        before=None if before is None else before.total,
        week_ago=None if week_ago is None else week_ago.total,
    )


def level_lines(now: Counted, before: Counted | None, week_ago: Counted | None) -> list[Line]:
    """One for each level, the gravest first; what is counted are documents."""
    order = ("FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE")
    names = [*order, *sorted({*now.levels} - {*order})]
    found = [
        Line(
            name=name,
            now=Tally(now.levels.get(name, 0)),
            before=None if before is None else Tally(before.levels.get(name, 0)),
            week_ago=None if week_ago is None else Tally(week_ago.levels.get(name, 0)),
        )
        for name in names
    ]
    return [line for line in found if line.now.documents or (line.before and line.before.documents)]


def slot_lines(period: Period, now: Counted, earlier: Period | None, before: Counted | None) -> list[SlotLine]:
    """Each slot beside the one of the same local time (of a week: the same weekday) in the earlier period."""
    then = {} if earlier is None or before is None else _by_time(earlier.slots(), before.slots)
    return [
        SlotLine(label=slot.label, start_ms=slot.start_ms, now=tally, errors_before=then.get(_time_of(slot)))
        for slot, tally in zip(period.slots(), now.slots, strict=True)
    ]


def minus(now: Tallies, then: Tallies) -> dict[str, Tally]:
    """What there is more of, by name."""
    more = {name: _less(tally, then.get(name, NOTHING)) for name, tally in now.items()}
    return {name: tally for name, tally in more.items() if tally != NOTHING}


def sum_of(tallies: Iterable[Tally]) -> Tally:
    """All together."""
    found = [*tallies]
    return Tally(sum(tally.documents for tally in found), sum(tally.errors for tally in found))


def joined(one: Tallies, other: Tallies) -> dict[str, Tally]:
    """Both, by name."""
    return {
        name: sum_of((one.get(name, NOTHING), other.get(name, NOTHING)))
        for name in [*one, *(n for n in other if n not in one)]
    }


def percent(now: float, before: float) -> float | None:
    """By how many percent it rose; None where there was nothing to rise from."""
    return (now - before) / before * 100 if before else None


def _less(now: Tally, then: Tally) -> Tally:
    return Tally(max(0, now.documents - then.documents), max(0, now.errors - then.errors))


def _by_time(slots: Sequence[Slot], tallies: Sequence[Tally]) -> dict[str, int]:
    return {_time_of(slot): tally.errors for slot, tally in zip(slots, tallies, strict=True)}


def _time_of(slot: Slot) -> str:
    """`02:00`, or `Mon`."""
    return slot.label[:3] if slot.label[:1].isalpha() else slot.label
