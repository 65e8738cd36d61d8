"""When a matcher commits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.matcher.pace import COMMIT_EVERY_S, LONGEST_S, PARTIAL_COUNT_INTERVAL_S, Pace


def test_what_fires_is_committed_at_once() -> None:
    pace = Pace(0)
    assert pace.is_due(0.001, fires=True, counts=True)
    pace.committed(0.001, 0.008, 1)
    assert not pace.is_due(0.010, fires=True, counts=True)
    assert pace.is_due(0.023, fires=True, counts=True)
    assert not pace.is_due(0.023, fires=True, counts=True, behind=True)
    assert pace.is_due(0.065, fires=True, counts=True, behind=True)


def test_what_fires_right_after_a_commit_says_how_long_it_waits() -> None:
    pace = Pace(0)
    pace.committed(0.001, 0.008, 1)
    assert pace.due_s(0.010, fires=True, counts=True) == pytest.approx(0.022)
    assert pace.due_s(0.010, fires=False, counts=True) == pytest.approx(0.510)
    assert pace.due_s(0.010, fires=False, counts=False) == pytest.approx(1.008)


def test_counts_wait_from_the_first_of_them() -> None:
    pace = Pace(0)
    assert not pace.is_due(0.3, fires=False, counts=True)
    assert not pace.is_due(0.79, fires=False, counts=True)
    assert pace.is_due(0.8, fires=False, counts=True)


def test_where_nothing_was_found_offsets_are_committed_once_a_second() -> None:
    pace = Pace(0)
    assert not pace.is_due(COMMIT_EVERY_S - 0.01, fires=False, counts=False)
    assert pace.is_due(COMMIT_EVERY_S, fires=False, counts=False)
    pace.committed(1.0, 1.01, 0)
    assert not pace.is_due(2.0, fires=False, counts=False)
    assert pace.is_due(2.02, fires=False, counts=False)


@given(st.floats(0, 60), st.integers(0, 10**6))
def test_however_much_there_was_to_tell_nothing_waits_for_long(took_s: float, findings: int) -> None:
    pace = Pace(0)
    pace.committed(0, took_s, findings)
    assert pace.is_due(took_s + PARTIAL_COUNT_INTERVAL_S + 0.001, fires=True, counts=True)
    pace.is_due(took_s, fires=False, counts=True)
    assert pace.is_due(took_s + LONGEST_S + 0.001, fires=False, counts=True)


def test_many_findings_are_told_less_often() -> None:
    pace = Pace(0)
    pace.committed(0, 0.1, 8_000)
    pace.is_due(0.1, fires=False, counts=True)
    assert not pace.is_due(4.0, fires=False, counts=True)
    assert pace.is_due(4.2, fires=False, counts=True)
