"""Which reports are to be built: of periods whose cut-off is over and that have none. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from streaming.reports.period import Kind, Period, back, last_closed

CATCH_UP = 7
"""Periods at most that are built afterwards, when nobody built any for a while."""


def due(kind: Kind, zone: str, late_h: float, now_ms: int, built: Collection[date]) -> list[Period]:
    """The last period that is closed, and those before it back to the last that was built, the earliest first. Where
    none was ever built, the last one alone: what was before Vigil was installed is of no interest."""
    period = last_closed(kind, zone, late_h, now_ms)
    found: list[Period] = []
    while period.day not in built and len(found) < (CATCH_UP if built else 1):
        found.append(period)
        period = back(period, 1)
    return found[::-1]


def closed_between(kind: Kind, zone: str, late_h: float, after_ms: int, until_ms: int) -> list[Period]:
    """The periods whose cut-off lies after the one moment and not after the other, the earliest first: what a run of a
    schedule is for, also when it is made up for later."""
    period, found = last_closed(kind, zone, late_h, until_ms), []
    while period.cutoff_ms > after_ms:
        found.append(period)
        period = back(period, 1)
    return found[::-1]


def next_cutoff_ms(kind: Kind, zone: str, late_h: float, now_ms: int) -> int:
    """When the next period will be closed."""
    return back(last_closed(kind, zone, late_h, now_ms), -1).cutoff_ms
