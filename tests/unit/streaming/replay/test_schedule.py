"""The pace of a file's own times: in order, no faster, no slower, no longer than the longest pause."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.replay.schedule import NS, Timeline


def due(times: list[float | None], speed: float = 1.0, longest_pause_s: float = 5.0) -> list[float]:
    timeline = Timeline(speed, longest_pause_s)
    return [round(timeline.due_s(None if t is None else round(t * NS)), 6) for t in times]


def test_lines_come_as_they_came_only_faster() -> None:
    assert due([100, 101, 103.5]) == [0, 1, 3.5]
    assert due([100, 101, 103.5], speed=10) == [0, 0.1, 0.35]


def test_a_line_without_a_time_goes_with_the_one_before() -> None:
    assert due([None, 100, None, 102, None]) == [0, 0, 0, 2, 2]


def test_a_night_is_not_waited_for() -> None:
    assert due([0, 30_000, 30_001]) == [0, 5, 6]
    assert due([0, 30_000], longest_pause_s=0) == [0, 0]


def test_a_line_that_comes_late_holds_nobody_up() -> None:
    assert due([10, 12, 11, 12, 13]) == [0, 2, 2, 2, 3]


def test_after_a_leap_back_time_goes_on_from_there() -> None:
    assert due([1_000, 1_001, 20, 21, 22]) == [0, 1, 1, 2, 3]


@given(
    st.lists(st.none() | st.floats(0, 1e6), max_size=40),
    st.sampled_from([0.5, 1, 10, 1_000]),
    st.sampled_from([0, 0.5, 5]),
)
def test_any_times_keep_the_order_and_the_longest_pause(
    times: list[float | None], speed: float, longest_pause_s: float
) -> None:
    found = due(times, speed, longest_pause_s)
    assert all(0 <= later - earlier <= longest_pause_s + 1e-6 for earlier, later in itertools.pairwise(found))


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40).map(sorted), st.sampled_from([1, 2, 100]))
def test_without_a_long_pause_the_whole_takes_what_it_took(times: list[int], speed: float) -> None:
    found = due([float(t) for t in times], speed, longest_pause_s=1e9)
    assert found[-1] == pytest.approx((times[-1] - times[0]) / speed)
