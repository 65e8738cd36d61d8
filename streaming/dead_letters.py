"""Dead letters: what could not be read or indexed, kept whole with the reason, and when to stop instead.

A dead letter is a record of topic `dead-letters` whose value is the original bytes. Its headers (UTF-8):
`reason` (short, constant), `detail` (for people), `worker`, `topic`, `partition` and `offset` of the original
record, and the original's `vigil` header where it had one.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from confluent_kafka import Message, Producer

from streaming.errors import VigilError
from streaming.events import coordinates
from streaming.kafka.delivery import Delivery, Headers

REASON, DETAIL, WORKER, TOPIC, PARTITION, OFFSET = "reason", "detail", "worker", "topic", "partition", "offset"

DETAIL_BYTES = 4096
"""The detail may quote the record; the record itself is the value."""


class Letter(NamedTuple):
    """One record that cannot be dealt with, and why."""

    message: Message
    reason: str
    detail: str


class DeadLetters:
    """Writes dead letters. Commit the offset of a record only after `settle` has returned."""

    def __init__(self, producer: Producer, topic: str, worker: str) -> None:
        self._delivery = Delivery(producer)
        self._topic = topic
        self._worker = worker.encode()

    def send(self, letter: Letter) -> None:
        """Hands one over; it is safe after the next `settle`."""
        message = letter.message
        headers: Headers = [
            (REASON, letter.reason.encode()),
            (DETAIL, letter.detail.encode("utf-8", "replace")[:DETAIL_BYTES]),
            (WORKER, self._worker),
            (TOPIC, (message.topic() or "").encode()),
            (PARTITION, str(message.partition()).encode()),
            (OFFSET, str(message.offset()).encode()),
        ]
        origin = dict(message.headers() or []).get(coordinates.HEADER)
        if isinstance(origin, bytes):
            headers.append((coordinates.HEADER, origin))
        self._delivery.send(self._topic, message.value(), key=message.key(), headers=headers)

    def settle(self) -> None:
        """Waits until all are in Kafka.

        Raises:
            Unavailable: Kafka refused one or did not confirm in time.
        """
        self._delivery.settle()


class TooManyDeadLetters(VigilError):
    """Most of what is read is refused: then the fault is ours or the configuration's, not the records'."""


class HaltGuard:
    """Watches the share of dead letters among the last 1,000 records or more (whole batches)."""

    WINDOW = 1000

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._batches: deque[tuple[int, Counter[str]]] = deque()
        self._read = 0

    def observe(self, read: int, reasons: Counter[str]) -> None:
        """Takes in one batch, before its dead letters are written and its offsets committed.

        Raises:
            TooManyDeadLetters: the share is over the limit; names the top reasons. Do not write this batch.
        """
        self._batches.append((read, reasons))
        self._read += read
        while self._read - self._batches[0][0] >= self.WINDOW:
            self._read -= self._batches.popleft()[0]
        if self._read < self.WINDOW:
            return
        total: Counter[str] = Counter()
        for _, counted in self._batches:
            total.update(counted)
        dead = total.total()
        if dead > self._ratio * self._read:
            top = ", ".join(f"{reason} ({count})" for reason, count in total.most_common(3))
            raise TooManyDeadLetters(
                f"{dead} of the last {self._read} records would be dead letters: {top}. Stopped instead of setting "
                "them aside; VIGIL_DEAD_LETTER_HALT_RATIO=1 lets them through"
            )
