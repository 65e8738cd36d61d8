"""Local days and weeks, also where clocks are put forward or back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.reports.due import CATCH_UP, closed_between, due, next_cutoff_ms
from streaming.reports.period import HOUR_MS, Kind, Period, back, last_closed, local_day, local_text, period_of
from tests.support.stored_logs import moment

ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo",
     "Asia/Kathmandu", "Pacific/Kiritimati", "America/St_Johns", "Asia/Beirut"]
)  # fmt: skip
DAYS = st.dates(date(2015, 1, 1), date(2035, 12, 31))


def day_of(text: str, zone: str) -> Period:
    return period_of(Kind.DAILY, date.fromisoformat(text), zone, 1.0)


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("UTC", "2026-11-25", "2026-11-25T00:00Z", 24),
        ("Europe/Berlin", "2026-11-25", "2026-11-24T23:00Z", 24),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00Z", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00Z", 25),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00Z", 23),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00Z", 25),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00Z", 24.5),
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-03T13:30Z", 23.5),
        # Midnight does not exist: the day begins at one o'clock.
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00Z", 23),
        # One o'clock becomes midnight: it comes twice.
        ("America/Havana", "2026-11-01", "2026-11-01T04:00Z", 25),
        ("Asia/Kathmandu", "2026-11-25", "2026-11-24T18:15Z", 24),
    ],
)
def test_a_day_is_as_long_as_clocks_make_it(zone: str, day: str, start: str, hours: float) -> None:
    found = day_of(day, zone)
    assert (found.start_ms, found.hours) == (moment(start), hours)
    assert found.cutoff_ms == found.end_ms + HOUR_MS


@pytest.mark.parametrize(
    ("zone", "day", "labels"),
    [
        ("Europe/Berlin", "2026-03-29", ["00:00", "01:00", "03:00", "04:00"]),
        ("Europe/Berlin", "2026-10-25", ["00:00", "01:00", "02:00", "02:00 +01:00", "03:00"]),
        ("America/New_York", "2026-11-01", ["00:00", "01:00", "01:00 -05:00", "02:00"]),
        ("Australia/Lord_Howe", "2026-04-05", ["00:00", "01:00", "01:30", "02:00"]),
        ("Australia/Lord_Howe", "2026-10-04", ["00:00", "01:00", "02:30", "03:00"]),
    ],
)
def test_hours_are_named_as_clocks_show_them(zone: str, day: str, labels: list[str]) -> None:
    assert [slot.label for slot in day_of(day, zone).slots()][: len(labels)] == labels


@given(kind=st.sampled_from(Kind), day=DAYS, zone=ZONES)
def test_periods_follow_each_other_without_gap_and_their_slots_fill_them(kind: Kind, day: date, zone: str) -> None:
    found = period_of(kind, day, zone, 2.0)
    assert back(found, 1).end_ms == found.start_ms
    slots = found.slots()
    assert (slots[0].start_ms, slots[-1].end_ms) == (found.start_ms, found.end_ms)
    assert all(one.end_ms == other.start_ms for one, other in pairwise(slots))
    assert all(0 < slot.end_ms - slot.start_ms <= 25 * HOUR_MS for slot in slots)
    assert len({slot.label for slot in slots}) == len(slots)
    assert local_day(found.start_ms, zone) == found.day
    assert local_day(found.end_ms - 1, zone) == found.last_day
    assert local_day(found.start_ms - 1, zone) < found.day


@given(at=st.datetimes(datetime(2020, 1, 1), datetime(2034, 1, 1)), kind=st.sampled_from(Kind), zone=ZONES)
def test_the_last_closed_period_is_the_one_whose_cutoff_was_last(at: datetime, kind: Kind, zone: str) -> None:
    now_ms = round(at.replace(tzinfo=UTC).timestamp() * 1000)
    found = last_closed(kind, zone, 1.0, now_ms)
    assert found.cutoff_ms <= now_ms < back(found, -1).cutoff_ms == next_cutoff_ms(kind, zone, 1.0, now_ms)


@settings(max_examples=30)
@given(at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)), kind=st.sampled_from(Kind), zone=ZONES)
def test_each_period_belongs_to_one_run_of_an_hourly_schedule(at: datetime, kind: Kind, zone: str) -> None:
    begin = round(at.replace(minute=5, second=0, microsecond=0, tzinfo=UTC).timestamp() * 1000)
    runs = [closed_between(kind, zone, 1.0, begin + n * HOUR_MS, begin + (n + 1) * HOUR_MS) for n in range(8 * 24)]
    days = [period.day for run in runs for period in run]
    step = timedelta(days=1 if kind is Kind.DAILY else 7)
    assert days == [days[0] + step * n for n in range(len(days))]
    assert len(days) in ((7, 8, 9) if kind is Kind.DAILY else (1, 2))


def test_what_is_due_is_what_was_not_built() -> None:
    now_ms = moment("2026-11-25T01:05Z")

    def days(*built: str) -> list[str]:
        return [p.first_day for p in due(Kind.DAILY, "UTC", 1.0, now_ms, [date.fromisoformat(b) for b in built])]

    assert days() == ["2026-11-24"]
    assert days("2026-11-24") == []
    assert days("2026-11-21") == ["2026-11-22", "2026-11-23", "2026-11-24"]
    assert len(days("2025-01-01")) == CATCH_UP
    assert [p.first_day for p in due(Kind.DAILY, "UTC", 1.0, now_ms - 10 * 60_000, [])] == ["2026-11-23"]


def test_moments_show_their_zone() -> None:
    at_ms = moment("2026-10-25T01:30Z")
    assert local_text(at_ms, "UTC") == "2026-10-25 01:30 UTC"
    assert local_text(at_ms, "Europe/Berlin") == "2026-10-25 02:30 CET (UTC+01:00)"
    assert local_text(at_ms - HOUR_MS, "Europe/Berlin") == "2026-10-25 02:30 CEST (UTC+02:00)"
    assert local_text(at_ms, "Asia/Kathmandu") == "2026-10-25 07:15 (UTC+05:45)"


def test_titles_say_which_day_or_week() -> None:
    assert day_of("2026-11-05", "UTC").title == "Thursday, 5 November 2026"
    assert period_of(Kind.WEEKLY, date(2026, 11, 25), "UTC", 1).title == "week 48 of 2026 (23 to 29 November)"
    assert period_of(Kind.WEEKLY, date(2027, 1, 1), "UTC", 1).title == "week 53 of 2026 (28 December to 3 January)"


def test_every_zone_of_the_data_base_has_days() -> None:
    for zone in sorted(available_timezones())[::7]:
        assert 22 <= day_of("2026-03-29", zone).hours <= 26
