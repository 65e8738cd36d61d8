"""HaltGuard: stops on a share and on a run, not on a few, and not for one bad node."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.dead_letters.halt import HaltGuard, TooManyDeadLetters
from streaming.dead_letters.letters import Letter
from streaming.events import coordinates
from tests.support.fake_message import fake_message


def dead(count: int, reason: str = "a", keys: tuple[bytes | None, ...] = (b"n1", b"n2")) -> list[Letter]:
    return [Letter(fake_message(b"", key=keys[i % len(keys)]), reason, "") for i in range(count)]


def test_a_few_at_the_start_do_not_stop() -> None:
    guard = HaltGuard(0.5)
    for _ in range(999):
        guard.observe(1, dead(1))


def test_over_the_share_stops_and_names_the_reasons_and_the_remedy() -> None:
    guard = HaltGuard(0.5)
    with pytest.raises(TooManyDeadLetters, match=r"501 of the last 1000 records.*a \(500\), b \(1\).*RATIO=1"):
        guard.observe(1000, dead(500) + dead(1, "b"))


def test_exactly_the_share_passes_and_a_share_of_one_never_stops() -> None:
    HaltGuard(0.5).observe(1000, dead(500))
    HaltGuard(1.0).observe(5000, dead(5000))


def test_old_records_do_not_hide_new_trouble() -> None:
    guard = HaltGuard(0.5)
    for _ in range(100):
        guard.observe(1000, [])
    with pytest.raises(TooManyDeadLetters):
        guard.observe(1000, dead(501))


def test_a_run_of_one_reason_stops_and_names_the_remedy() -> None:
    guard = HaltGuard(0.5, run=100)
    guard.observe(99, dead(99))
    with pytest.raises(TooManyDeadLetters, match=r"100 records in a row.*a \(100\).*HALT_RUN=0"):
        guard.observe(1, dead(1))


def test_what_succeeds_or_fails_otherwise_ends_a_run() -> None:
    guard = HaltGuard(0.5, run=100)
    guard.observe(99, dead(99))
    guard.observe(2, dead(1))
    guard.observe(99, dead(99))
    guard.observe(99, dead(99, "b"))
    guard.observe(200, dead(100) + dead(100, "b"))
    with pytest.raises(TooManyDeadLetters):
        guard.observe(100, dead(100, "b"))


def test_a_run_of_zero_is_not_watched() -> None:
    HaltGuard(1.0, run=0).observe(5000, dead(5000))


@pytest.mark.parametrize("run", [0, 100])
def test_one_bad_node_stops_nothing(run: int) -> None:
    guard = HaltGuard(0.5, run)
    for _ in range(10):
        guard.observe(1000, dead(1000, keys=(b"n1",)))
    with pytest.raises(TooManyDeadLetters):
        guard.observe(1000, dead(1000))


@pytest.mark.parametrize(("reason", "key"), [("elasticsearch:x", b"n1"), ("a", None)])
def test_what_may_be_ours_or_of_anybody_stops_though_the_key_is_one(reason: str, key: bytes | None) -> None:
    with pytest.raises(TooManyDeadLetters):
        HaltGuard(0.5).observe(1000, dead(1000, reason, (key,)))


def test_a_replay_that_fails_again_stops_nothing() -> None:
    back = [(coordinates.REPLAY_HEADER, coordinates.encode_replay(coordinates.Replay("r", 1)))]
    letters = [Letter(fake_message(b"", back, key=b"%d" % n), "elasticsearch:x", "") for n in range(2000)]
    HaltGuard(0.5, run=100).observe(2000, letters)


@given(st.lists(st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=30))
def test_the_share_against_the_plain_definition(batches: list[tuple[int, int]]) -> None:
    guard = HaltGuard(0.5)
    some = dead(400, keys=(None,))
    for end in range(1, len(batches) + 1):
        read = bad = 0
        for n, failed in reversed(batches[:end]):
            if read >= 1000:
                break
            read, bad = read + n, bad + failed
        n, failed = batches[end - 1]
        if read >= 1000 and bad > 0.5 * read:
            with pytest.raises(TooManyDeadLetters):
                guard.observe(n, some[:failed])
        else:
            guard.observe(n, some[:failed])
