"""Builds, renders and stores a report: what the command line and Airflow call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from streaming.errors import VigilError
from streaming.reports.build import build
from streaming.reports.model import Report
from streaming.reports.period import Kind, Period, last_closed, parse_day, period_of
from streaming.reports.rendering import rendered
from streaming.reports.store import ReportStore
from streaming.settings import Settings


class BadDay(VigilError):
    """What was given is no day of which a report could be built."""

    exit_code = 64  # EX_USAGE of sysexits.h


@dataclass(frozen=True)
class Made:
    """A report that was built and stored. `is_first`: it was not stored before."""

    report: Report
    folder: Path
    is_first: bool


def make(settings: Settings, period: Period, now_ms: int, *, afresh: bool = False) -> Made:
    """Builds the report of a period, or builds it again: its numbers stay then, and what came since is shown as a
    correction. `afresh` counts all anew, and forgets what was told.

    Raises:
        NotOver: it is too early.
        Unavailable: Elasticsearch or Kafka does not answer.
        Refused: Elasticsearch will not answer.
        OSError: the disk does not take the files.
    """
    store = ReportStore(settings)
    stored = store.stored(period)
    report = build(settings, period, now_ms, None if afresh else stored)
    return Made(report, store.save(report, rendered(report)), stored is None)


def wanted_period(settings: Settings, kind: Kind, day: str, now_ms: int) -> Period:
    """The period of a day (ISO date, `today` or `yesterday`); empty: the last that is closed.

    Raises:
        BadDay: it is no day.
    """
    zone, late_h = settings.report_zone, settings.report_late_h
    if not day:
        return last_closed(kind, zone, late_h, now_ms)
    return period_of(kind, wanted_day(settings, day, now_ms), zone, late_h)


def wanted_day(settings: Settings, day: str, now_ms: int) -> date:
    """A day as people write it, in the zone of reports.

    Raises:
        BadDay: it is no day.
    """
    try:
        return parse_day(day, settings.report_zone, now_ms)
    except (ValueError, OverflowError):
        raise BadDay(f"{day!r} is no day; write 2026-11-25, today or yesterday") from None
