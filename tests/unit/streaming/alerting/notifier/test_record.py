"""Receipts count as durable once Kafka has them, and only then."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from streaming.alerting.messages import Receipt
from streaming.alerting.notifier.record import OnDelivery, Record
from streaming.errors import Unavailable
from tests.support.incidents import plain_receipt

MESSAGE = None
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")


class Kafka:
    """Answers, when it is flushed, what it is told to; `slow` times it answers nothing."""

    def __init__(self, *errors: KafkaError | None, slow: int = 0) -> None:
        self.errors, self.slow = list(errors), slow
        self.asked: list[OnDelivery] = []
        self.values: list[bytes | None] = []
        self.full = False

    def produce(self, topic: str, value: bytes | None, key: bytes, *, on_delivery: OnDelivery) -> None:
        if self.full:
            raise BufferError("full")
        self.values.append(value)
        self.asked.append(on_delivery)

    def flush(self, timeout: float) -> int:
        if self.slow:
            self.slow -= 1
            return len(self.asked)
        for on_delivery in self.asked:
            on_delivery(self.errors.pop(0) if self.errors else None, MESSAGE)  # type: ignore[arg-type]
        self.asked.clear()
        return 0


def receipt(incident_id: str = "A") -> Receipt:
    return plain_receipt(incident_id=incident_id)


def test_it_waits_until_kafka_has_them() -> None:
    kafka = Kafka(slow=3)
    assert Record(kafka, "receipts").save(receipt("A"), receipt("B"))
    assert (kafka.slow, kafka.asked, len(kafka.values)) == (0, [], 2)


def test_what_kafka_refuses_is_not_durable_and_ends_the_writing() -> None:
    record = Record(Kafka(None, TOO_LARGE), "receipts")
    with pytest.raises(Unavailable, match="too large"):
        record.save(receipt("A"), receipt("B"))
    with pytest.raises(Unavailable, match="too large"):
        record.save(receipt("C"))


def test_a_deletion_that_is_refused_shows() -> None:
    kafka = Kafka(TOO_LARGE)
    record = Record(kafka, "receipts")
    record.delete(receipt())
    record.raise_if_refused()
    kafka.flush(0)
    assert kafka.values == [None]
    with pytest.raises(Unavailable, match="too large"):
        record.raise_if_refused()


def test_a_producer_that_takes_no_more_is_unavailable() -> None:
    kafka = Kafka()
    kafka.full = True
    with pytest.raises(Unavailable, match="full"):
        Record(kafka, "receipts").save(receipt())


def test_one_that_closes_waits_no_longer() -> None:
    record = Record(Kafka(slow=10**9), "receipts")
    record.close()
    assert not record.save(receipt())
