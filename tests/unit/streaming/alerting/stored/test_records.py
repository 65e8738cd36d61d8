"""Ranges of Kafka's logs are read in slices that memory can hold, in the order of time."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.stored.records import sliced

TIMES = st.lists(st.integers(0, 200), max_size=60).map(sorted)


@given(st.lists(TIMES, min_size=1, max_size=4), st.integers(1, 20))
def test_slices_hold_everything_once_in_order_and_no_more_than_they_may(partitions: list[list[int]], most: int) -> None:
    def offsets_at(at_ms: int) -> dict[int, int]:
        return {p: bisect_left(times, at_ms) for p, times in enumerate(partitions)}

    start, end = offsets_at(0), offsets_at(201)
    reached, latest = start, -1
    for ranges in sliced(offsets_at, start, end, 0, 201, most):
        assert {p: bound.start for p, bound in ranges.items()} == reached
        reached = {p: bound.end for p, bound in ranges.items()}
        times = [partitions[p][at] for p, bound in ranges.items() for at in range(bound.start, bound.end)]
        if times:
            assert min(times) >= latest
            latest = max(times)
        assert len(times) <= most or len(set(times)) == 1
    assert reached == end
