"""What is learned of intervals, and what a silence is worth by it."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.heartbeat.rhythm import (
    DOWN_PHI,
    LEARNED_AFTER,
    LEAST_DOWN_MS,
    LONGEST_HALVED_MS,
    MARGIN,
    SUSPECT_PHI,
    Rhythm,
)

DEADLINE_MS = 10_000
T0 = 1_700_000_000_000
INTERVALS = st.lists(st.floats(0, 1e7), min_size=LEARNED_AFTER, max_size=60)


def learned(intervals: list[float]) -> Rhythm:
    rhythm, now = Rhythm(), T0
    for interval in intervals:
        now += int(interval)
        rhythm.learn(interval, now)
    return rhythm


@given(INTERVALS, st.floats(0.1, 30))
def test_phi_and_silence_are_each_others_inverse(intervals: list[float], phi: float) -> None:
    rhythm = learned(intervals)
    silent = rhythm.silence(phi)
    if silent < math.exp(39) and phi > 2:  # the closed form leaves the 1 out, which is nothing there
        assert rhythm.phi(silent) == pytest.approx(phi, rel=0.01)


@given(INTERVALS, st.floats(1, 1e9), st.floats(1, 1e9))
def test_a_longer_silence_is_never_more_probable(intervals: list[float], one: float, other: float) -> None:
    rhythm = learned(intervals)
    first, second = rhythm.phi(min(one, other)), rhythm.phi(max(one, other))
    assert first is not None
    assert second is not None
    assert 0 <= first <= second


@given(INTERVALS)
def test_suspicion_comes_before_death_and_death_within_the_deadline(intervals: list[float]) -> None:
    rhythm = learned(intervals)
    down = rhythm.down_ms(DEADLINE_MS, T0)
    assert rhythm.suspect_ms(DEADLINE_MS) <= DEADLINE_MS
    assert LEAST_DOWN_MS <= down <= DEADLINE_MS
    assert all(map(math.isfinite, (rhythm.middle, rhythm.variance, rhythm.longest_ms)))
    again = msgspec.json.decode(msgspec.json.encode(rhythm), type=Rhythm)
    assert again.down_ms(DEADLINE_MS, T0) == down


def test_nothing_is_said_before_enough_was_learned() -> None:
    rhythm = learned([1_000.0] * (LEARNED_AFTER - 1))
    assert rhythm.phi(1e9) is None
    assert rhythm.down_ms(DEADLINE_MS, T0) == rhythm.suspect_ms(DEADLINE_MS) == DEADLINE_MS
    rhythm.learn(1_000.0, T0)
    assert (rhythm.suspect_ms(DEADLINE_MS), rhythm.down_ms(DEADLINE_MS, T0)) == (2_141, 4_587)
    assert SUSPECT_PHI < DOWN_PHI


def test_a_pause_that_was_survived_is_borne_from_then_on_and_fades() -> None:
    rhythm = learned([1_000.0] * 100)
    before = rhythm.down_ms(DEADLINE_MS, T0)
    rhythm.learn(6_000.0, T0)
    assert rhythm.down_ms(DEADLINE_MS, T0) > MARGIN * 6_000, "perhaps it is slow from now on"
    for _ in range(100):
        rhythm.learn(1_000.0, T0)
    assert rhythm.down_ms(DEADLINE_MS, T0) == MARGIN * 6_000 > before
    later = T0 + 5 * LONGEST_HALVED_MS
    assert rhythm.longest(later) == pytest.approx(6_000 / 32)


def test_another_process_is_learned_anew_and_its_hosts_pauses_are_kept() -> None:
    rhythm = learned([1_000.0] * 50)
    rhythm.survived(5_000.0, T0)
    rhythm.begin()
    assert not rhythm.known
    assert rhythm.longest(T0) == 5_000
