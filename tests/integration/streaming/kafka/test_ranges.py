"""Ranges of partitions, on a real Kafka."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streaming.errors import Unavailable
from streaming.kafka.admin import TopicReport
from streaming.kafka.clients import consumer, producer
from streaming.kafka.ranges import Bounds, RangeReader
from streaming.kafka.topics import LOGS
from streaming.kafka.transactions import TransactionalProducer
from streaming.settings import Settings
from tests.support.platform import wait_until


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    return ("kafka",)


@pytest.fixture
def reader(settings: Settings) -> Iterator[RangeReader]:
    with RangeReader(settings, read_within_s=20.0) as found:
        yield found


def write(settings: Settings, partition: int, *values: str) -> None:
    out = producer(settings.kafka)
    for value in values:
        out.produce(settings.topic(LOGS), value, partition=partition)
    assert out.flush(20) == 0


def read(reader: RangeReader, settings: Settings, ranges: dict[int, tuple[int, int]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {p: [] for p in ranges}
    for batch in reader.read(settings.topic(LOGS), ranges):
        for message in batch:
            found[message.partition() or 0].append((message.value() or b"").decode())
    return found


def test_ranges_of_several_partitions_and_no_more(settings: Settings, topics: TopicReport, reader: RangeReader) -> None:
    logs = settings.topic(LOGS)
    write(settings, 0, *"abcdef")
    write(settings, 3, *"uvw")
    bounds = reader.bounds(logs)
    assert bounds[0] == Bounds(0, 6)
    assert bounds[3] == Bounds(0, 3)
    assert bounds[5] == Bounds(0, 0)
    assert read(reader, settings, {0: (1, 4), 3: (0, 3), 5: (0, 0)}) == {0: list("bcd"), 3: list("uvw"), 5: []}
    assert read(reader, settings, {0: (5, 6)}) == {0: ["f"]}, "a second reading"
    assert reader.records == 7


def test_marks_of_transactions_and_what_was_aborted_are_passed_over(
    settings: Settings, topics: TopicReport, reader: RangeReader
) -> None:
    logs = settings.topic(LOGS)
    transactions = TransactionalProducer(settings.kafka, settings.group("test"))
    with transactions.transaction() as out:
        out.produce(logs, "kept", partition=0)

    def fail_midway() -> None:
        with transactions.transaction() as out:
            out.produce(logs, "aborted", partition=0)
            out.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    # An abort returns a moment before its mark is written.
    end = 4
    wait_until(lambda: reader.bounds(logs)[0].end == end, 20.0, "two records and two marks")
    assert read(reader, settings, {0: (0, end)}) == {0: ["kept"]}
    assert read(reader, settings, {0: (1, end)}) == {0: []}


def test_the_end_with_and_without_what_is_open(settings: Settings, topics: TopicReport, reader: RangeReader) -> None:
    logs = settings.topic(LOGS)
    transactions = TransactionalProducer(settings.kafka, settings.group("test"))
    with transactions.transaction() as out:
        out.produce(logs, "open", partition=0)
        out.flush()
        assert reader.bounds(logs)[0].end == 0
        assert reader.bounds(logs, with_open=True)[0].end == 1


def test_what_kafka_has_deleted_is_passed_over(settings: Settings, topics: TopicReport, reader: RangeReader) -> None:
    logs = settings.topic(LOGS)
    write(settings, 0, *"abcdef")
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    for deleted in admin.delete_records([TopicPartition(logs, 0, 4)]).values():
        deleted.result(20)
    assert reader.bounds(logs)[0] == Bounds(4, 6)
    assert read(reader, settings, {0: (1, 6)}) == {0: ["e", "f"]}


def test_where_a_time_is(settings: Settings, topics: TopicReport, reader: RangeReader) -> None:
    logs = settings.topic(LOGS)
    write(settings, 0, "before")
    (before,) = next(reader.read(logs, {0: (0, 1)}))
    since_ms = before.timestamp()[1] + 1
    while time.time_ns() // 1_000_000 <= since_ms:
        pass
    write(settings, 0, "after")
    bounds = reader.bounds(logs)
    found = reader.at_time(logs, since_ms, bounds)
    assert found[0] == 1
    assert found[1] == 0, "the end, where nothing is so late"


def test_a_reading_that_was_left_does_not_disturb_the_next(settings: Settings, topics: TopicReport) -> None:
    logs = settings.topic(LOGS)
    write(settings, 0, *"abc")
    with RangeReader(settings, read_within_s=20.0) as reader:
        left = reader.read(logs, {0: (0, 3)})
        next(left)
        second = reader.read(logs, {0: (1, 2)})
        (found,) = next(second)
        left.close()
        assert found.value() == b"b"
        assert read(reader, settings, {0: (2, 3)}) == {0: ["c"]}
        last = reader.read(logs, {0: (0, 3)})
        next(last)
    last.close()


def test_what_a_group_has_committed(settings: Settings, topics: TopicReport, reader: RangeReader) -> None:
    logs, group = settings.topic(LOGS), settings.group("some")
    member = consumer(settings.kafka, group)
    member.commit(offsets=[TopicPartition(logs, 2, 17)], asynchronous=False)
    member.close()
    assert reader.committed(group, logs, [1, 2]) == {1: -1, 2: 17}


def test_a_topic_may_be_asked_about_as_soon_as_it_is_made(settings: Settings, reader: RangeReader) -> None:
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    name = f"{settings.topic_prefix}{secrets.token_hex(4)}"
    try:
        for made in admin.create_topics([NewTopic(name, 20, 1)]).values():
            made.result(20)
        assert reader.bounds_of(name) == dict.fromkeys(range(20), Bounds(0, 0))
    finally:
        for deleted in admin.delete_topics([name]).values():
            deleted.result(20)


def test_a_topic_that_is_missing(settings: Settings, reader: RangeReader) -> None:
    logs = settings.topic(LOGS)
    assert reader.bounds(logs) == {}
    assert reader.committed(settings.group("some"), logs, []) == {}
    with pytest.raises(Unavailable, match=f"no topic {logs} at .*vigil up"):
        reader.bounds_of(logs)
