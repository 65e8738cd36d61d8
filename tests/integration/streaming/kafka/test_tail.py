"""Compacted topics followed as they are written, on a real Kafka."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing

import pytest

from streaming.errors import Unavailable
from streaming.kafka.admin import TopicReport
from streaming.kafka.tail import CompactedTail
from streaming.kafka.topics import INCIDENT_STATE, RULE_STATE
from streaming.kafka.transactions import TransactionalProducer
from streaming.settings import Settings


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    return ("kafka",)


class Latest:
    """Keeps the latest of each key."""

    def __init__(self) -> None:
        self.of: defaultdict[str, dict[bytes, bytes]] = defaultdict(dict)

    def take(self, name: str, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.of[name].pop(key, None)
        else:
            self.of[name][key] = value

    def forget(self, name: str) -> None:
        self.of[name].clear()


def test_it_follows_several_topics_past_what_is_rolled_back(settings: Settings, topics: TopicReport) -> None:
    transactions = TransactionalProducer(settings.kafka, settings.group("test"))

    def write(topic: str, **values: str | None) -> None:
        with transactions.transaction() as out:
            for key, value in values.items():
                out.produce(settings.topic(topic), key=key, value=value)

    latest = Latest()
    with closing(CompactedTail(settings, (INCIDENT_STATE, RULE_STATE), latest)) as tail:
        tail.follow()
        assert latest.of[INCIDENT_STATE] == latest.of[RULE_STATE] == {}
        write(INCIDENT_STATE, a="1", b="1")
        write(RULE_STATE, r="1")
        tail.follow(wait_for_open=True)
        assert latest.of[INCIDENT_STATE] == {b"a": b"1", b"b": b"1"}
        assert latest.of[RULE_STATE] == {b"r": b"1"}
        write(INCIDENT_STATE, a="2", b=None)
        transactions.producer.begin_transaction()
        transactions.producer.produce(settings.topic(INCIDENT_STATE), key="a", value="open")
        transactions.producer.flush()
        transactions.producer.abort_transaction(10)
        tail.follow(wait_for_open=True)
        assert latest.of[INCIDENT_STATE] == {b"a": b"2"}
        tail.follow(wait_for_open=True)
        assert latest.of[INCIDENT_STATE] == {b"a": b"2"}, "nothing new is nothing lost"


def test_a_topic_that_is_missing_is_named(settings: Settings) -> None:
    with (
        closing(CompactedTail(settings, (RULE_STATE,), Latest())) as tail,
        pytest.raises(Unavailable, match=RULE_STATE),
    ):
        tail.follow()
