"""How far time has come, by what the matchers tell."""

from __future__ import annotations

import pytest

from streaming.alerting.memory.watermark import SETTLE_MS, Watermark
from streaming.alerting.messages import Progress

NOW = 1_700_000_000_000


def told(watermark: Watermark, partitions: dict[int, int], now: int = NOW, version: str = "v") -> int | None:
    watermark.take(Progress(matcher="m", partitions=partitions, rules_version=version), now)
    return watermark.at_ms


def test_it_is_the_least_of_all_partitions_and_never_goes_back() -> None:
    watermark = Watermark(partitions=3)
    assert told(watermark, {0: 10, 1: 20}) is None
    assert told(watermark, {2: 5}) == 5
    assert told(watermark, {2: 30}) == 10
    assert told(watermark, {0: 7, 1: 25}) == 10, "a new owner reads something again"
    assert told(watermark, {0: 40}) == 25


def test_a_partition_whose_matcher_is_away_holds_it_back_until_another_tells_of_it() -> None:
    watermark = Watermark(partitions=4)
    told(watermark, {0: 10, 1: 10})
    assert told(watermark, {2: 10, 3: 10}) == 10
    for at in range(20, 100, 10):
        assert told(watermark, {0: at, 1: at}) == 10
    assert told(watermark, {0: 100, 1: 100, 2: 60, 3: 11}) == 11


def test_partitions_that_nobody_told_of_are_waited_for() -> None:
    watermark = Watermark()
    assert told(watermark, {0: 10, 1: 10}) is None
    assert told(watermark, {2: 20, 3: 20}, NOW + SETTLE_MS - 1) is None
    assert told(watermark, {2: 20, 3: 20}, NOW + SETTLE_MS) is None, "the second matcher has only begun"
    assert told(watermark, {0: 30}, NOW + 2 * SETTLE_MS) == 10


def test_partitions_are_numbered_without_gaps() -> None:
    watermark = Watermark()
    told(watermark, {2: 10, 3: 10})
    assert told(watermark, {2: 20, 3: 20}, NOW + 100 * SETTLE_MS) is None, "there must be 0 and 1"
    assert told(watermark, {0: 15, 1: 15}, NOW + 100 * SETTLE_MS) is None
    assert told(watermark, {0: 15, 1: 15}, NOW + 101 * SETTLE_MS) == 15


def test_a_partition_that_was_added_is_caught_up_with_first() -> None:
    watermark = Watermark(partitions=2)
    assert told(watermark, {0: 100, 1: 100}) == 100
    assert told(watermark, {0: 200, 1: 200, 2: 50}) == 100
    assert told(watermark, {2: 180}) == 180


def test_a_matcher_whose_clock_is_ahead_is_taken_at_ours() -> None:
    watermark = Watermark(partitions=1)
    assert told(watermark, {0: NOW + 10**9}) == NOW


@pytest.mark.parametrize(("by", "then"), [(-1_000, NOW - 1_000), (1_000, NOW)])
def test_it_goes_on_when_the_clock_was_set_back(by: int, then: int) -> None:
    watermark = Watermark(partitions=1)
    told(watermark, {0: NOW})
    watermark.clock_was_set(by)
    assert watermark.at_ms == then
    assert told(watermark, {0: NOW + by + 1}, NOW + by + 1) == NOW + by + 1


def test_it_knows_by_which_rules_all_was_evaluated() -> None:
    watermark = Watermark(partitions=2)
    assert not watermark.agrees("v")
    told(watermark, {0: 1, 1: 1})
    assert watermark.agrees("v")
    told(watermark, {0: 2}, version="w")
    assert not watermark.agrees("v")
    assert not watermark.agrees("w")
    again = Watermark(partitions=2)
    again.restore(watermark.record())
    assert told(again, {1: 2}, version="w") == 2
    assert again.agrees("w")


def test_partitions_that_are_no_more_are_forgotten() -> None:
    """Topic `logs` was made anew with fewer of them."""
    before, after = Watermark(partitions=3), Watermark(partitions=2)
    told(before, {0: 10, 1: 10, 2: 10})
    after.restore(before.record())
    assert told(after, {0: 20, 1: 30}) == 20
    unknown = Watermark()
    unknown.restore(before.record())
    assert told(unknown, {0: 20, 1: 30}) == 10, "all that were told of, where nobody says how many there are"
