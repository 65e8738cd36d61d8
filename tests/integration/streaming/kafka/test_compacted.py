"""A compacted topic read whole, and transactions, on a real Kafka."""

from __future__ import annotations

import pytest

from streaming.errors import Unavailable
from streaming.kafka.admin import TopicReport
from streaming.kafka.compacted import read_all
from streaming.kafka.topics import INCIDENT_STATE, LOGS
from streaming.kafka.transactions import Fenced, TransactionalProducer
from streaming.settings import Settings


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    return ("kafka",)


def producer(settings: Settings) -> TransactionalProducer:
    return TransactionalProducer(settings.kafka, settings.group("test"))


def write(settings: Settings, transactions: TransactionalProducer, **values: str | None) -> None:
    with transactions.transaction() as out:
        for key, value in values.items():
            out.produce(settings.topic(INCIDENT_STATE), key=key, value=value)


def test_the_latest_of_each_key_without_the_deleted(settings: Settings, topics: TopicReport) -> None:
    assert read_all(settings, INCIDENT_STATE) == {}
    transactions = producer(settings)
    write(settings, transactions, a="1", b="1", c="1")
    write(settings, transactions, a="2", b=None)
    for wait in (True, False):
        assert read_all(settings, INCIDENT_STATE, wait_for_open=wait) == {b"a": b"2", b"c": b"1"}


def test_all_partitions_are_read(settings: Settings, topics: TopicReport) -> None:
    """A commit returns before the broker has marked every partition, so who wants what was just committed waits."""
    transactions = producer(settings)
    with transactions.transaction() as out:
        for number in range(20_000):
            out.produce(settings.topic(LOGS), key=f"k{number}", value=b"x" * 200)
    assert len(read_all(settings, LOGS, wait_for_open=True)) == 20_000


def test_what_is_rolled_back_is_never_seen(settings: Settings, topics: TopicReport) -> None:
    transactions = producer(settings)

    def fail_midway() -> None:
        with transactions.transaction() as out:
            out.produce(settings.topic(INCIDENT_STATE), key="a", value="1")
            out.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    assert read_all(settings, INCIDENT_STATE, wait_for_open=True) == {}
    write(settings, transactions, a="2")
    assert read_all(settings, INCIDENT_STATE, wait_for_open=True) == {b"a": b"2"}


def test_a_successor_fences_and_aborts_its_forerunner(settings: Settings, topics: TopicReport) -> None:
    first = producer(settings)
    write(settings, first, a="1")
    assert read_all(settings, INCIDENT_STATE, wait_for_open=True) == {b"a": b"1"}
    first.producer.begin_transaction()
    first.producer.produce(settings.topic(INCIDENT_STATE), key="a", value="open")
    first.producer.flush()
    assert read_all(settings, INCIDENT_STATE) == {b"a": b"1"}, "who only shows something does not wait"
    second = producer(settings)
    assert read_all(settings, INCIDENT_STATE, wait_for_open=True) == {b"a": b"1"}
    write(settings, second, a="2")
    with pytest.raises(Fenced, match="was taken over by another process"):
        write(settings, first, a="3")
    assert read_all(settings, INCIDENT_STATE, wait_for_open=True) == {b"a": b"2"}


def test_a_topic_that_is_missing_is_named(settings: Settings) -> None:
    with pytest.raises(Unavailable, match=settings.topic(INCIDENT_STATE)):
        read_all(settings, INCIDENT_STATE)
