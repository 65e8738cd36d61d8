"""Records that must be in Kafka before something else may be said done."""

from __future__ import annotations

from confluent_kafka import KafkaError, Message, Producer

from streaming.errors import Unavailable

Headers = list[tuple[str, bytes]]

BY_KEY = -1
"""Partition: the producer chooses, by the record's key."""
SETTLE_WITHIN_S = 10.0
"""A broker that is up confirms in milliseconds; a leader change takes a few seconds. Below a worker's stuck limit."""


class Delivery:
    """Produces, and answers for delivery: after `settle` returns, all that was sent is acknowledged by Kafka."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._error: KafkaError | None = None
        self._waiting = 0

    def send(
        self, topic: str, value: bytes | None, *, key: bytes | str | None, headers: Headers, partition: int = BY_KEY
    ) -> None:
        """Hands one record to the producer; waits while its queue is full."""
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition=partition, headers=list(headers), on_delivery=self._delivered
                )
                self._waiting += 1
                return
            except BufferError:
                self._producer.poll(0.1)

    def settle(self, timeout_s: float = SETTLE_WITHIN_S) -> None:
        """Waits until all that was sent is in Kafka; at once if nothing was sent.

        Raises:
            Unavailable: a record was refused, or not confirmed in time. What was sent may or may not be there.
        """
        if not self._waiting:
            return
        self._producer.flush(timeout_s)
        if self._error is not None:
            raise Unavailable(f"Kafka did not take a record: {self._error.str()}")
        if self._waiting:
            raise Unavailable(f"Kafka did not confirm {self._waiting} records within {timeout_s:.0f} s")

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._waiting -= 1
        if error is not None:
            self._error = error
