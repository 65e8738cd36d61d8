"""What retention deleted unread is found, and nothing else is taken for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.kafka.gaps import Gap, GapWatch


def never() -> int:
    raise AssertionError("asked without a jump")


def test_a_jump_to_where_the_log_begins_is_a_loss() -> None:
    watch = GapWatch()
    watch.begin_at(1, 100)
    assert watch.read(1, 100, 199, never) is None
    assert watch.read(1, 350, 360, lambda: 350) == Gap(1, 200, 150)
    assert watch.read(1, 361, 361, never) is None


def test_a_jump_within_the_log_is_none() -> None:
    watch = GapWatch()
    watch.begin_at(1, 100)
    assert watch.read(1, 103, 110, lambda: 40) is None


def test_what_was_deleted_between_two_runs_counts_from_the_committed_offset() -> None:
    watch = GapWatch()
    assert watch.unknown([1, 2]) == [1, 2]
    watch.begin_at(1, 100)
    watch.begin_at(2, -1001)  # nothing committed: whatever is gone was never ours to read
    assert watch.unknown([1, 2]) == []
    assert watch.read(1, 120, 130, lambda: 110) == Gap(1, 100, 10)
    assert watch.read(2, 5_000, 5_001, never) is None


def test_a_log_that_was_emptied_shows_without_a_record() -> None:
    watch = GapWatch()
    watch.begin_at(1, 100)
    assert watch.idle(1, 100) is None
    assert watch.idle(1, 180) == Gap(1, 100, 80)
    assert watch.idle(1, 180) is None
    watch.forget([1])
    assert watch.idle(1, 500) is None
    assert watch.unknown([1]) == [1]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), st.booleans()), max_size=30))
def test_it_counts_exactly_what_was_deleted(steps: list[tuple[int, int, bool]]) -> None:
    """Each step: so many offsets are jumped over (deleted, or mere marks), then so many are read."""
    watch, at, log_start, deleted, counted = GapWatch(), 0, 0, 0, 0
    watch.begin_at(0, 0)
    for jump, count, gone in steps:
        if gone:
            deleted += jump
            log_start = at + jump
        gap = watch.read(0, at + jump, at + jump + count - 1, lambda start=log_start: start)  # type: ignore[misc]
        counted += gap.lost if gap else 0
        at += jump + count
    assert counted == deleted
