"""Transactions, on the brokers that librdkafka brings for tests."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from streaming.kafka import transactions
from streaming.kafka.access import KafkaAccess
from streaming.kafka.clients import producer
from streaming.kafka.transactions import Aborted, Moved, TransactionalProducer


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> TransactionalProducer:
    def on_mock_brokers(kafka: KafkaAccess, **more: str | int) -> Producer:
        return producer(kafka, test_mock_num_brokers=1, **more)

    monkeypatch.setattr(transactions, "producer", on_mock_brokers)
    return TransactionalProducer(KafkaAccess("localhost:1"), "t")


def test_a_transaction_holds_whatever_one_round_leads_to(made: TransactionalProducer) -> None:
    with made.transaction() as out:
        for _ in range(100_001):  # librdkafka's default is 100,000
            out.produce("candidates", b"x")


@pytest.mark.parametrize(
    ("code", "outcome"), [(KafkaError.ILLEGAL_GENERATION, Moved), (KafkaError.UNKNOWN_MEMBER_ID, Aborted)]
)
def test_only_a_group_that_was_dealt_out_anew_is_no_reason_to_read_again(
    made: TransactionalProducer, code: int, outcome: type[Aborted]
) -> None:
    def fail() -> None:
        with made.transaction() as out:
            out.produce("candidates", b"x")
            raise KafkaException(KafkaError(code))

    with pytest.raises(Aborted) as caught:
        fail()
    assert type(caught.value) is outcome
    with made.transaction() as out:
        out.produce("candidates", b"x")
