"""Who is on call: by the clock on the wall, whatever is done to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.on_call import duties, on_call
from streaming.alerting.rules.people import Override, Rotation

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def rotation(**given: object) -> Rotation:
    plain: dict[str, object] = {
        "name": "ops",
        "people": ["ann", "ben", "cem"],
        "starts": "2026-03-02T09:00:00+01:00",
        "every": "7d",
        "timezone": "Europe/Berlin",
    }
    return Rotation.model_validate(plain | given)


def test_shifts_end_at_the_same_time_of_day_also_over_the_change_to_summer_time() -> None:
    ops = rotation()
    assert on_call(ops, ms("2026-03-02T08:59:59+01:00")) is None
    assert on_call(ops, ms("2026-03-02T09:00:00+01:00")) == "ann"
    # Summer time begins on 29 March in ben's second shift, which is an hour shorter.
    assert on_call(ops, ms("2026-03-30T08:59:59+02:00")) == "ann"
    assert on_call(ops, ms("2026-03-30T09:00:00+02:00")) == "ben"
    assert on_call(ops, ms("2026-10-26T08:59:59+01:00")) == "ann"
    assert on_call(ops, ms("2026-10-26T09:00:00+01:00")) == "ben"


def test_a_time_that_is_skipped_or_comes_twice_begins_one_shift() -> None:
    at_half_past_two = rotation(starts="2026-03-28T02:30:00+01:00", every="1d")
    # 02:30 is skipped: the shift begins when it is, at 03:00 summer time.
    assert on_call(at_half_past_two, ms("2026-03-29T01:59:59+01:00")) == "ann"
    assert on_call(at_half_past_two, ms("2026-03-29T03:00:00+02:00")) == "ben"
    twice = rotation(starts="2026-10-24T02:30:00+02:00", every="1d")
    # 02:30 comes twice: the shift begins the first time, and nobody has it back the second.
    assert on_call(twice, ms("2026-10-25T02:29:59+02:00")) == "ann"
    assert on_call(twice, ms("2026-10-25T02:30:00+02:00")) == "ben"
    assert on_call(twice, ms("2026-10-25T02:10:00+01:00")) == "ben"
    assert on_call(twice, ms("2026-10-25T02:40:00+01:00")) == "ben"


def test_of_overrides_the_last_that_fits_counts_also_before_the_start() -> None:
    stand_ins = [
        {"person": "dee", "from": "2026-03-01T00:00:00Z", "to": "2026-03-10T00:00:00Z"},
        {"person": "eva", "from": "2026-03-05T00:00:00Z", "to": "2026-03-06T00:00:00Z"},
    ]
    ops = rotation(overrides=stand_ins)
    assert on_call(ops, ms("2026-02-28T23:59:59Z")) is None
    assert on_call(ops, ms("2026-03-01T00:00:00Z")) == "dee"
    assert on_call(ops, ms("2026-03-05T12:00:00Z")) == "eva"
    assert on_call(ops, ms("2026-03-06T00:00:00Z")) == "dee"
    assert on_call(ops, ms("2026-03-10T00:00:00Z")) == "ben"


def test_a_listing_says_who_stands_in_and_joins_what_goes_on() -> None:
    ops = rotation(overrides=[{"person": "dee", "from": "2026-03-05T00:00:00Z", "to": "2026-03-06T00:00:00Z"}])
    found = duties(ops, ms("2026-03-01T00:00:00Z"), ms("2026-03-17T00:00:00Z"))
    assert [(d.person, d.stands_in) for d in found] == [
        ("ann", False),
        ("dee", True),
        ("ann", False),
        ("ben", False),
        ("cem", False),
    ]
    assert found[0].begins_ms == ms("2026-03-02T09:00:00+01:00")
    assert found[-1].ends_ms == ms("2026-03-17T00:00:00Z")
    alone = rotation(people=["ann"])
    assert len(duties(alone, ms("2026-03-02T09:00:00+01:00"), ms("2026-12-01T00:00:00Z"))) == 1


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
STARTS = st.datetimes(datetime(2011, 11, 1), datetime(2011, 12, 31)) | st.datetimes(
    datetime(2026, 1, 1),
    datetime(2026, 11, 1),
)


def walked(ops: Rotation, at: datetime) -> str | None:
    """By walking through time in steps of five minutes and looking at the clock on the wall."""
    there = ZoneInfo(ops.timezone)
    if at < ops.starts:
        return None
    start = ops.starts.astimezone(there).replace(tzinfo=None)
    moment, passed = ops.starts, 0
    while moment <= at:
        wall = moment.astimezone(there).replace(tzinfo=None)
        # A clock that is set back takes no shift back.
        passed = max(passed, (wall - start) // timedelta(seconds=ops.every))
        moment += timedelta(minutes=5)
    return ops.people[passed % len(ops.people)]


@settings(max_examples=60, deadline=None)
@given(
    STARTS,
    st.sampled_from(ZONES),
    st.sampled_from(["1h", "90m", "8h", "1d", "36h", "7d"]),
    st.integers(1, 4),
    st.integers(0, 70 * 24 * 12),
)
def test_it_is_what_a_walk_through_time_finds(
    starts: datetime, there: str, every: str, people: int, steps: int
) -> None:
    # On whole five minutes, as clocks are set on.
    whole = starts.replace(minute=starts.minute // 5 * 5, second=0, microsecond=0, tzinfo=UTC)
    names = ["ann", "ben", "cem", "dee"][:people]
    ops = rotation(people=names, starts=whole, every=every, timezone=there)
    at = whole + timedelta(minutes=5 * steps)
    assert on_call(ops, round(at.timestamp() * 1000)) == walked(ops, at)


@settings(max_examples=60, deadline=None)
@given(
    STARTS,
    st.sampled_from(ZONES),
    st.sampled_from(["1h", "8h", "7d"]),
    st.lists(st.tuples(st.integers(-50, 500), st.integers(1, 100)), max_size=4),
    st.integers(-100, 400),
    st.integers(1, 24 * 10),
)
def test_a_listing_says_at_every_moment_who_is_on_call(
    starts: datetime, there: str, every: str, stand_ins: list[tuple[int, int]], first: int, hours: int
) -> None:
    begin = starts.replace(tzinfo=UTC, microsecond=0)
    overrides = tuple(
        Override.model_validate(
            {"person": f"p{number}", "from": begin + timedelta(hours=at), "to": begin + timedelta(hours=at + length)}
        )
        for number, (at, length) in enumerate(stand_ins)
    )
    ops = rotation(starts=begin, every=every, timezone=there, overrides=overrides)
    begins_ms = round(begin.timestamp() * 1000) + first * HOUR_MS
    ends_ms = begins_ms + hours * HOUR_MS
    listed = duties(ops, begins_ms, ends_ms)
    assert all(one.ends_ms <= two.begins_ms for one, two in pairwise(listed))
    for at in range(begins_ms, ends_ms, 20 * 60_000):
        said = [duty.person for duty in listed if duty.begins_ms <= at < duty.ends_ms]
        who = on_call(ops, at)
        assert said == ([] if who is None else [who])
