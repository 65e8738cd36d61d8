"""What rounds of contenders say of them."""

from __future__ import annotations

import pytest

from benchmarks.rounds import Rounds, Run


@pytest.fixture
def rounds() -> Rounds:
    """Two contenders on a machine that was slow in its second round, and in the third for one of them alone."""
    found = Rounds()
    for ours, other in (
        (Run(30_000, 8, 200), Run(10_000, 20)),
        (Run(15_000, 16, 240), Run(5_000, 40)),
        (Run(15_000, 16, 210), Run(10_000, 20)),
    ):
        found.add("ours", ours)
        found.add("other", other)
    return found


def test_only_runs_of_one_round_are_compared(rounds: Rounds) -> None:
    assert rounds.speed_against("ours", "other") == 3.0
    assert rounds.cost_against("other", "ours") == 2.5


def test_the_typical_run_has_the_median_of_each_figure_and_the_most_memory(rounds: Rounds) -> None:
    assert rounds.typical("ours") == Run(15_000, 16, 240)
    assert rounds.best("ours") == Run(30_000, 8, 240)


def test_a_contender_that_missed_a_round_is_not_compared(rounds: Rounds) -> None:
    rounds.add("ours", Run(1, 1))
    with pytest.raises(ValueError, match="shorter"):
        rounds.speed_against("ours", "other")
