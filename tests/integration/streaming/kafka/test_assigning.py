"""A member whose group's coordinator has just moved reads all the same, from what is committed."""

from __future__ import annotations

import pytest
from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition

from streaming.errors import Unavailable
from streaming.kafka.admin import ensure_topics
from streaming.kafka.assigning import at_committed
from streaming.kafka.clients import consumer, producer
from streaming.kafka.holding import HoldingConsumer
from streaming.kafka.topics import REGISTRATIONS
from streaming.settings import Settings
from tests.support.kafka_proxy import MovedCoordinator
from tests.support.platform import wait_until


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    return ("kafka",)


@pytest.fixture
def topic(settings: Settings) -> str:
    """With three records."""
    ensure_topics(settings)
    name = settings.topic(REGISTRATIONS)
    out = producer(settings.kafka)
    for number in range(3):
        out.produce(name, str(number).encode(), partition=0)
    out.flush(10)
    return name


def test_it_is_asked_again_and_nothing_is_left_unread(settings: Settings, topic: str) -> None:
    """librdkafka by itself asks once, and then never fetches (confluentinc/librdkafka#5586)."""
    group = settings.group("moved")
    before = consumer(settings.kafka, group)
    before.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    before.close()
    found: list[Message] = []

    def reads(member: HoldingConsumer) -> bool:
        found.extend(member.take(10, 0.1))
        return bool(found)

    with MovedCoordinator(settings.kafka_port, refusals=2) as moved:
        there = settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{moved.port}"})
        member = HoldingConsumer(there, "moved", [topic], lambda _: None, lambda _: None)
        wait_until(lambda: reads(member), 60, "a record is read")
        member.close()
    assert [message.value() for message in found] == [b"2"]
    assert moved.refused == 2


def test_without_a_commit_it_begins_at_the_oldest_record(settings: Settings, topic: str) -> None:
    asking = consumer(settings.kafka, settings.group("fresh"))
    wait_until(lambda: at_committed(asking, [TopicPartition(topic, 0)], 1.0), 30, "the group is known")
    (at,) = at_committed(asking, [TopicPartition(topic, 0)])
    assert at.offset == OFFSET_BEGINNING
    assert at_committed(asking, []) == []
    asking.close()


def test_who_leaves_meanwhile_is_not_held_up(settings: Settings, topic: str) -> None:
    asking = consumer(settings.kafka, settings.group("gone"))
    asking.close()
    given = TopicPartition(topic, 0)
    assert at_committed(asking, [given]) == [given]


def test_a_coordinator_that_is_not_found_ends_the_worker(settings: Settings, topic: str) -> None:
    """Its supervisor starts it again; a member that went on would read nothing."""
    with MovedCoordinator(settings.kafka_port, refusals=1_000) as moved:
        there = settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{moved.port}"})
        asking = consumer(there.kafka, settings.group("never"))
        with pytest.raises(Unavailable, match="where its group goes on"):
            at_committed(asking, [TopicPartition(topic, 0)], 1.0)
        asking.close()
