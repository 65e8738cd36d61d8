"""Writes receipts, and knows which of them Kafka has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message

from streaming.alerting.messages import Receipt
from streaming.alerting.receipts import key_of
from streaming.errors import Unavailable

OnDelivery = Callable[[KafkaError | None, Message], None]


class Out(Protocol):
    """What it needs of a producer; both may be called from any thread."""

    def produce(self, topic: str, value: bytes | None, key: bytes, *, on_delivery: OnDelivery) -> None:
        """Takes a record in."""
        ...

    def flush(self, timeout: float) -> int:
        """Waits until all are answered; how many are not."""
        ...


class Record:
    """The receipts' topic, for writing.

    After Kafka has refused one it writes no more: whoever goes on would take for delivered what the next notifier
    knows nothing of. Called by the notifier's thread and by those of lanes.
    """

    def __init__(self, out: Out, topic: str) -> None:
        self._out, self._topic = out, topic
        self._lock = threading.Lock()
        self._refusal = ""
        self._is_closing = False

    def close(self) -> None:
        """`save` waits no longer."""
        self._is_closing = True

    def save(self, *receipts: Receipt) -> bool:
        """Returns when the receipts are durable; false when it closes before.

        Raises:
            Unavailable: Kafka refuses one.
        """
        unanswered = {key_of(receipt) for receipt in receipts}

        def answered(key: bytes, error: KafkaError | None, _: Message) -> None:
            self._answered(error)
            unanswered.discard(key)

        for receipt in receipts:
            key = key_of(receipt)
            self._produce(key, msgspec.json.encode(receipt), partial(answered, key))
        while self._out.flush(1.0) or unanswered:
            self.raise_if_refused()
            if self._is_closing:
                return False
        self.raise_if_refused()
        return True

    def delete(self, receipt: Receipt) -> None:
        """Writes that there is no receipt any more; whether Kafka took that shows in `raise_if_refused`.

        Raises:
            Unavailable: Kafka refuses one.
        """
        self._produce(key_of(receipt), None, lambda error, _: self._answered(error))

    def raise_if_refused(self) -> None:
        """Looks whether all that was answered was taken.

        Raises:
            Unavailable: Kafka refused one.
        """
        with self._lock:
            refusal = self._refusal
        if refusal:
            raise Unavailable(f"Kafka does not take receipts of notifications: {refusal}")

    def _produce(self, key: bytes, value: bytes | None, on_delivery: OnDelivery) -> None:
        self.raise_if_refused()
        try:
            self._out.produce(self._topic, value, key, on_delivery=on_delivery)
        except (KafkaException, BufferError) as error:
            raise Unavailable(f"Kafka does not take receipts of notifications: {error}") from error

    def _answered(self, error: KafkaError | None) -> None:
        if error is not None:
            with self._lock:
                self._refusal = self._refusal or error.str()
