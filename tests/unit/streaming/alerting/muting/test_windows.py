"""When a maintenance window opens and closes: against a look at every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.muting.windows import DAY_MS, Windows, next_change_ms
from streaming.alerting.rules.muting import Maintenance
from streaming.alerting.rules.weekly import DAYS

MINUTE_MS = 60_000

times = st.integers(0, 24 * 4 - 1).map(lambda n: f"{n // 4:02}:{n % 4 * 15:02}")
weekly = st.fixed_dictionaries(
    {
        "days": st.lists(st.sampled_from(DAYS), min_size=1, max_size=7, unique=True),
        "from": times,
        "to": times | st.just("24:00"),
        "timezone": st.sampled_from(
            ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
        ),
    }
)
# Days around the changes of summer time in these zones (29 March and 25 October 2026 in Berlin), and others.
moments = st.sampled_from(
    [
        datetime(2026, month, day, tzinfo=UTC)
        for month, day in ((3, 7), (3, 28), (4, 4), (6, 1), (10, 3), (10, 24), (10, 31))
    ]
).flatmap(lambda day: st.integers(0, 3 * 24 * 60).map(lambda minute: day + timedelta(minutes=minute)))


def window(**given: object) -> Maintenance:
    return Maintenance.model_validate({"name": "w", "reason": "r", "where": {"rule": {"equals": "a"}}} | given)


@settings(max_examples=60, deadline=None)
@given(weekly, moments)
def test_it_changes_exactly_when_the_clock_on_the_wall_says_so(time: dict[str, object], after: datetime) -> None:
    one = window(weekly=[time])
    start_ms = round(after.timestamp() * 1000)
    change_ms = next_change_ms(one, start_ms)
    holds = one.holds(start_ms)
    assert start_ms < change_ms <= start_ms + DAY_MS
    assert all(one.holds(at) == holds for at in range(start_ms, change_ms, 5 * MINUTE_MS))
    assert one.holds(change_ms - 1) == holds
    if change_ms < start_ms + DAY_MS:
        assert one.holds(change_ms) != holds


def test_one_that_comes_once() -> None:
    one = window(**{"from": "2026-12-01T22:00:00+01:00", "to": "2026-12-01T23:30:00+01:00"})
    begins = round(datetime(2026, 12, 1, 21, tzinfo=UTC).timestamp() * 1000)
    ends = begins + 90 * MINUTE_MS
    assert next_change_ms(one, begins - MINUTE_MS) == begins
    assert next_change_ms(one, begins) == ends
    assert next_change_ms(one, ends) == ends + DAY_MS
    assert next_change_ms(one, begins - 10 * DAY_MS) == begins - 9 * DAY_MS, "it looks again a day later"


def test_those_that_opened_or_closed_are_told_once() -> None:
    night = window(weekly=[{"from": "22:00", "to": "23:00"}])
    windows = Windows([night])
    noon = round(datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp() * 1000)
    assert windows.crossed(noon) == []
    opens = windows.next_ms(noon)
    assert opens == noon + 10 * 60 * MINUTE_MS
    assert windows.crossed(opens) == [night]
    assert windows.crossed(opens + 1) == []
    closes = windows.next_ms(opens)
    assert closes == opens + 60 * MINUTE_MS
    assert windows.crossed(closes) == [night]
    assert windows.crossed(noon) == [], "the clock was set back"
    assert Windows([]).next_ms(noon) is None
