"""A wall clock that is set."""

from __future__ import annotations

from streaming.worker.clock import StepWatch


def test_only_a_clock_that_is_set_counts_as_stepped() -> None:
    wall, steady = 1_000_000, 5_000
    watch = StepWatch(lambda: wall, lambda: steady)
    assert watch.stepped_ms() == 0
    wall, steady = wall + 60_010, steady + 60_000
    assert watch.stepped_ms() == 0
    wall += 3_600_000
    assert watch.stepped_ms() == 3_600_000
    assert watch.stepped_ms() == 0
    wall, steady = wall - 7_200_000 + 500, steady + 500
    assert watch.stepped_ms() == -7_200_000


def test_this_machines_clocks_agree() -> None:
    assert StepWatch().stepped_ms() == 0
