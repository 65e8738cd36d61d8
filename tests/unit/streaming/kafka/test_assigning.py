"""Where a member begins to read: the answers of a coordinator that come late, or not at all."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from streaming.errors import Unavailable
from streaming.kafka import assigning
from streaming.kafka.assigning import at_committed

AT = TopicPartition("logs", 0)


class Coordinator:
    """Gives these answers: an error's code, or an offset."""

    def __init__(self, *answers: KafkaError | int) -> None:
        self.answers = list(answers)

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        answer = self.answers.pop(0)
        if isinstance(answer, KafkaError):
            raise KafkaException(answer)
        return [TopicPartition(at.topic, at.partition, answer) for at in asked]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assigning, "AGAIN_S", 0.0)


def asked(*answers: KafkaError | int) -> list[TopicPartition]:
    return at_committed(cast(Consumer, Coordinator(*answers)), [AT])


@pytest.mark.parametrize(
    "code", [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError._TIMED_OUT]
)
def test_what_passes_is_asked_again(code: int) -> None:
    (found,) = asked(KafkaError(code), KafkaError(code), 7)
    assert (found.topic, found.partition, found.offset) == ("logs", 0, 7)


def test_where_nothing_is_committed_it_begins_at_the_oldest() -> None:
    (found,) = asked(OFFSET_INVALID)
    assert found.offset == OFFSET_BEGINNING


def test_what_does_not_pass_ends_the_worker_at_once() -> None:
    with pytest.raises(Unavailable, match="where its group goes on"):
        asked(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))


def test_nothing_is_asked_for_no_partition() -> None:
    assert at_committed(cast(Consumer, Coordinator()), []) == []
