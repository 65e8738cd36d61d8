"""What groups have committed, asked of a real Kafka that is only just there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaException, TopicPartition

from infra.gates import probe
from infra.services import catalogue
from streaming.kafka.admin import ensure_topics
from streaming.kafka.clients import consumer
from streaming.kafka.committed import CommittedOffsets
from streaming.kafka.topics import LOGS
from streaming.kafka.transactions import TransactionalProducer
from streaming.settings import Settings
from tests.support.platform import wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Launch


@pytest.fixture
def own(
    empty_home: Path,
    free_port: Callable[[int], int],
    launch: Launch,
    as_environment: Callable[[Settings], dict[str, str]],
) -> Settings:
    """A Kafka of the test's own, that nobody has asked for a group yet."""
    first = free_port(2)
    settings = Settings(home=empty_home, bind_host="127.0.0.1", kafka_port=first, kafka_controller_port=first + 1)
    launch("infra.local.kafka", environment=as_environment(settings))
    (kafka,) = (service for service in catalogue(settings) if service.name == "kafka")
    wait_until(lambda: probe(kafka, settings).ok, 60, "Kafka answers")
    ensure_topics(settings)
    return settings


@pytest.fixture
def groups(own: Settings) -> Iterator[CommittedOffsets]:
    asking = CommittedOffsets(own.kafka)
    yield asking
    asking.close()


def test_a_broker_that_keeps_no_group_yet_is_waited_for(own: Settings, groups: CommittedOffsets) -> None:
    """The broker says "not coordinator" until its topic of offsets is made; librdkafka's admin client dies of that."""
    logs = own.topic(LOGS)
    asked = [(logs, 0), (logs, 1)]
    found: list[dict[tuple[str, int], int]] = []

    def answered() -> bool:
        try:
            found.append(groups.of("one", asked, 1.0))
        except KafkaException:
            return False
        return True

    wait_until(answered, 30, "the group is known")
    assert found == [{}]
    member = consumer(own.kafka, "one")
    member.commit(offsets=[TopicPartition(logs, 1, 0)], asynchronous=False)
    assert groups.of("one", asked, 10.0) == {(logs, 1): 0}
    assert groups.of("two", asked, 10.0) == groups.of("one", [], 10.0) == {}
    member.close()


def test_a_transaction_that_is_open_does_not_hide_what_was_committed_before(
    own: Settings, groups: CommittedOffsets
) -> None:
    logs = own.topic(LOGS)
    member = consumer(own.kafka, "open")
    writer = TransactionalProducer(own.kafka, "open")
    with writer.transaction():
        writer.send_offsets(member, [TopicPartition(logs, 0, 1)])
    with writer.transaction():
        writer.send_offsets(member, [TopicPartition(logs, 0, 2)])
        assert groups.of("open", [(logs, 0)], 2.0) == {(logs, 0): 1}
    wait_until(lambda: groups.of("open", [(logs, 0)], 2.0) == {(logs, 0): 2}, 10, "the second is committed")
    member.close()
