"""Fluentd's rule of waits, and an end to every retry."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.configuration.plan import Buffer
from streaming.accumulator.delivery.retries import LONGEST_WAIT_S, REFUSALS, SIZE, is_given_up, wait_s


@pytest.mark.parametrize(("refusals", "wait"), [(1, 1.0), (2, 2.0), (3, 4.0), (10, 300.0), (10**6, 300.0)])
def test_waits_double_up_to_the_longest(refusals: int, wait: float) -> None:
    assert wait_s(Buffer(retry_max_interval_s=300.0, retry_randomize=False), refusals, 0.9) == wait


def test_waits_have_an_end_where_none_is_configured() -> None:
    assert wait_s(Buffer(retry_randomize=False), 10**6, 0.0) == LONGEST_WAIT_S


def test_periodic_waits_stay() -> None:
    assert {wait_s(Buffer(retry_type="periodic", retry_wait_s=7, retry_randomize=False), n, 0) for n in (1, 9)} == {7}


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_jitter_is_an_eighth_either_way(refusals: int, random: float) -> None:
    plain = wait_s(Buffer(retry_randomize=False), refusals, random)
    assert 0.875 * plain <= wait_s(Buffer(), refusals, random) <= 1.125 * plain


def test_an_end_by_number_by_time_or_never() -> None:
    twice = Buffer(retry_max_times=2, retry_timeout_s=100)
    assert [is_given_up(twice, n, 0, has_secondary=False) for n in (1, 2, 3)] == [False, False, True]
    assert [is_given_up(twice, 1, s, has_secondary=False) for s in (99, 100)] == [False, True]
    assert [is_given_up(twice, 1, s, has_secondary=True) for s in (79, 80)] == [False, True]
    assert not is_given_up(Buffer(retry_forever=True, retry_max_times=1), 10**9, 10**9, has_secondary=True)


def test_kafka_being_away_is_no_refusal() -> None:
    away = {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._PURGE_QUEUE,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.REQUEST_TIMED_OUT,
    }
    assert not away & REFUSALS
    assert SIZE <= REFUSALS
