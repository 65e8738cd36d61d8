"""Turns: equal bytes for each flow, order within it, nothing lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.accumulator.admission.fair_queues import QUANTUM, FairQueues

KB = 1024


def test_a_flow_with_little_passes_one_with_much() -> None:
    queues: FairQueues[str] = FairQueues()
    for n in range(100):
        queues.put("loud", f"loud-{n}", 256 * KB)
    queues.put("quiet", "quiet", 1 * KB)
    taken = queues.take(1024 * KB)
    assert "quiet" in taken
    assert taken[0] == "loud-0"


def test_flows_that_want_all_get_the_same_bytes_whatever_their_chunks() -> None:
    queues: FairQueues[str] = FairQueues()
    sizes = {"small": 1 * KB, "middle": 100 * KB, "large": 3000 * KB}
    got: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for _ in range(300):
        for flow, size in sizes.items():
            while waiting[flow] < 4000 * KB:
                queues.put(flow, flow, size)
                waiting[flow] += size
        for flow in queues.take(500 * KB):
            got[flow] += sizes[flow]
            waiting[flow] -= sizes[flow]
    assert max(got.values()) - min(got.values()) <= 4 * 3000 * KB, got


def test_a_large_chunk_is_paid_for_later_even_if_nothing_waits_behind_it() -> None:
    queues: FairQueues[str] = FairQueues()
    got: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for _ in range(2000):
        if not waiting["large"]:
            queues.put("large", "large", 2000 * KB)
            waiting["large"] = 1
        while waiting["steady"] < 50:
            queues.put("steady", "steady", 10 * KB)
            waiting["steady"] += 1
        for flow in queues.take(100 * KB):
            got[flow] += 2000 * KB if flow == "large" else 10 * KB
            waiting[flow] -= 1
    assert 0.8 < got["large"] / got["steady"] < 1.25


def test_what_may_not_stays() -> None:
    queues: FairQueues[int] = FairQueues()
    for n in range(5):
        queues.put(n % 2, n, QUANTUM * 3)
    assert queues.take(10**9, lambda flow, _: flow == 1) == [1, 3]
    assert len(queues) == 3
    assert queues.take_all() == [0, 2, 4]
    assert (len(queues), queues.bytes) == (0, 0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 5), st.integers(1, 10**6)),
            st.tuples(st.just("take"), st.integers(1, 10**6), st.just(0)),
        ),
        max_size=60,
    )
)
def test_each_flow_keeps_its_order_and_nothing_is_lost(steps: list[tuple[str, int, int]]) -> None:
    queues: FairQueues[tuple[int, int]] = FairQueues()
    put: list[tuple[int, int]] = []
    taken: list[tuple[int, int]] = []
    for number, (what, first, size) in enumerate(steps):
        if what == "put":
            queues.put(first, (first, number), size)
            put.append((first, number))
        else:
            waiting = len(queues)
            got = queues.take(first)
            assert bool(got) == bool(waiting)
            taken += got
    taken += queues.take(float("inf"))
    assert len(queues) == queues.bytes == 0
    assert sorted(taken) == sorted(put)
    for flow in range(6):
        assert [n for f, n in taken if f == flow] == [n for f, n in put if f == flow]
