"""OffsetTracker: never past an unfinished record, whatever the order of finishing."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from streaming.kafka.offsets import OffsetTracker, Span


def test_position_waits_for_the_gap() -> None:
    tracker = OffsetTracker()
    first, second = tracker.begin(0, 10, 19), tracker.begin(0, 20, 24)
    tracker.finish(second)
    assert tracker.committable() == {}
    tracker.finish(first)
    assert tracker.committable() == {0: 25}
    tracker.committed({0: 25})
    assert tracker.committable() == {}


def test_gaps_in_offsets_are_no_gaps_in_work() -> None:
    tracker = OffsetTracker()
    tracker.finish(tracker.begin(3, 100, 100))
    tracker.finish(tracker.begin(3, 107, 110))
    assert tracker.committable() == {3: 111}


def test_a_span_from_before_a_rebalance_does_not_count() -> None:
    tracker = OffsetTracker()
    old = tracker.begin(0, 0, 9)
    tracker.forget([0])
    tracker.begin(0, 0, 4)
    tracker.finish(old)
    assert tracker.committable() == {}


def test_going_back_is_refused() -> None:
    tracker = OffsetTracker()
    tracker.begin(0, 5, 9)
    with pytest.raises(ValueError, match="does not follow"):
        tracker.begin(0, 9, 12)


def test_only_the_given_partitions() -> None:
    tracker = OffsetTracker()
    for partition in (0, 1):
        tracker.finish(tracker.begin(partition, 0, 0))
    assert tracker.committable([1, 7]) == {1: 1}


class Model(RuleBasedStateMachine):
    """Against the plain definition: the position is the first unfinished record, where anything before is finished."""

    spans = Bundle("spans")

    def __init__(self) -> None:
        super().__init__()
        self.tracker = OffsetTracker()
        self.history: dict[int, list[Span]] = {}
        self.next: dict[int, int] = {}

    @rule(target=spans, partition=st.integers(0, 2), size=st.integers(1, 5), gap=st.integers(0, 3))
    def begin(self, partition: int, size: int, gap: int) -> Span:
        first = self.next.get(partition, 0) + gap
        self.next[partition] = first + size
        span = self.tracker.begin(partition, first, first + size - 1)
        self.history.setdefault(partition, []).append(span)
        return span

    @rule(span=spans)
    def finish(self, span: Span) -> None:
        self.tracker.finish(span)

    @rule(partition=st.integers(0, 2))
    def forget(self, partition: int) -> None:
        self.tracker.forget([partition])
        self.history.pop(partition, None)
        self.next.pop(partition, None)

    @rule()
    def commit(self) -> None:
        self.tracker.committed(self.tracker.committable())
        assert self.tracker.committable() == {}

    @invariant()
    def never_past_unfinished_work(self) -> None:
        for partition, position in self.tracker.committable().items():
            spans = self.history[partition]
            done = [span for span in spans if span.last < position]
            rest = [span for span in spans if span.last >= position]
            assert all(span.finished for span in done)
            assert position == done[-1].last + 1
            assert not rest or not rest[0].finished


TestModel = Model.TestCase
