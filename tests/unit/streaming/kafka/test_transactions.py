"""Transactions, on the brokers that librdkafka brings for tests."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from streaming.kafka import transactions
from streaming.kafka.clients import producer
from streaming.kafka.transactions import TransactionalProducer


def test_a_transaction_holds_whatever_one_round_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def on_mock_brokers(bootstrap: str, **more: str | int) -> Producer:
        return producer(bootstrap, test_mock_num_brokers=1, **more)

    monkeypatch.setattr(transactions, "producer", on_mock_brokers)
    made = TransactionalProducer("localhost:1", "t")
    with made.transaction() as out:
        for _ in range(100_001):  # librdkafka's default is 100,000
            out.produce("candidates", b"x")
