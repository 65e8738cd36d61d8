"""HaltGuard: stops on a share, not on a few."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.dead_letters.halt import HaltGuard, TooManyDeadLetters


def test_a_few_at_the_start_do_not_stop() -> None:
    guard = HaltGuard(0.5)
    for _ in range(999):
        guard.observe(1, Counter(a=1))


def test_over_the_share_stops_and_names_the_reasons() -> None:
    guard = HaltGuard(0.5)
    with pytest.raises(TooManyDeadLetters, match=r"501 of the last 1000 records.*not-json \(500\), empty \(1\)"):
        guard.observe(1000, Counter({"not-json": 500, "empty": 1}))


def test_exactly_the_share_passes_and_a_share_of_one_never_stops() -> None:
    HaltGuard(0.5).observe(1000, Counter(a=500))
    HaltGuard(1.0).observe(5000, Counter(a=5000))


def test_old_records_do_not_hide_new_trouble() -> None:
    guard = HaltGuard(0.5)
    for _ in range(100):
        guard.observe(1000, Counter())
    with pytest.raises(TooManyDeadLetters):
        guard.observe(1000, Counter(a=501))


@given(st.lists(st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=30))
def test_against_the_plain_definition(batches: list[tuple[int, int]]) -> None:
    guard = HaltGuard(0.5)
    for end in range(1, len(batches) + 1):
        read = dead = 0
        for n, bad in reversed(batches[:end]):
            if read >= 1000:
                break
            read, dead = read + n, dead + bad
        n, bad = batches[end - 1]
        if read >= 1000 and dead > 0.5 * read:
            with pytest.raises(TooManyDeadLetters):
                guard.observe(n, Counter(a=bad))
        else:
            guard.observe(n, Counter(a=bad))
