"""The dead letter as a record of topic `dead-letters`: written by any worker, read back whole.

Its value is the original bytes, its key the original's. Its headers (UTF-8): `reason` (short, constant), `detail` (for
people), `worker`, `topic`, `partition` and `offset` of the original record, `received` (ns, where the original has no
coordinates), and the original's `vigil` and `vigil-replay` headers where it had them. The accumulator, which has no
original record to point at, writes `reason`, `worker`, `topic`, `vigil` and, of what a filter refused, `detail` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import Message, Producer

from streaming.events import coordinates
from streaming.events.coordinates import Coordinates, Replay
from streaming.kafka.delivery import Delivery, Headers

REASON, DETAIL, WORKER, TOPIC, PARTITION, OFFSET = "reason", "detail", "worker", "topic", "partition", "offset"
RECEIVED = "received"

DETAIL_BYTES = 4096
"""The detail may quote the record; the record itself is the value."""

_MAX_OFFSET = 2**63 - 1


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
        found = dict(message.headers() or [])
        for name in (coordinates.HEADER, coordinates.REPLAY_HEADER):
            origin = found.get(name)
            if isinstance(origin, bytes):
                headers.append((name, origin))
        if coordinates.HEADER not in found:
            headers.append((RECEIVED, str(message.timestamp()[1] * 1_000_000).encode()))
        self._delivery.send(self._topic, message.value(), key=message.key(), headers=headers)

    def settle(self) -> None:
        """Waits until all are in Kafka.

        Raises:
            Unavailable: Kafka refused one or did not confirm in time.
        """
        self._delivery.settle()


class Place(NamedTuple):
    """Where a dead letter lies in topic `dead-letters`."""

    partition: int
    offset: int


class DeadLetter(NamedTuple):
    """A dead letter as it was read. `topic`, `partition` and `offset` are its own place, `source_…` the original's.

    What a header does not say is empty or None. `received_ns` is when the original was received, by its coordinates
    or else by Kafka's append time.
    """

    topic: str
    partition: int
    offset: int
    appended_ms: int
    key: bytes | None
    value: bytes
    reason: str
    detail: str
    worker: str
    source_topic: str
    source_partition: int | None
    source_offset: int | None
    received_ns: int | None
    coordinates: Coordinates | None
    replay: Replay | None

    @property
    def place(self) -> Place:
        """Its own place."""
        return Place(self.partition, self.offset)

    @property
    def source(self) -> str:
        """Name of the original for ever, as its log document would have it; the letter's own place if there is none."""
        if self.coordinates is not None:
            return self.coordinates.key
        if self.replay is not None and self.replay.source:
            return self.replay.source
        if self.source_partition is not None and self.source_offset is not None:
            return f"{self.source_topic}-{self.source_partition}-{self.source_offset}"
        return f"{self.topic}-{self.partition}-{self.offset}"


def read_letter(message: Message) -> DeadLetter:
    """Takes a consumed dead letter apart. A header that cannot be read counts as missing; nothing raises."""
    headers = {name: value for name, value in dict(message.headers() or []).items() if isinstance(value, bytes)}
    place = _coordinates(headers)
    replay = coordinates.decode_replay(headers.get(coordinates.REPLAY_HEADER))
    received_ns = place.received_ns if place else _number(headers, RECEIVED)
    if received_ns is None and replay is not None:
        received_ns = replay.received_ns
    return DeadLetter(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1],
        message.key(),
        message.value() or b"",
        _text(headers, REASON) or "unknown",
        _text(headers, DETAIL),
        _text(headers, WORKER),
        _text(headers, TOPIC),
        _number(headers, PARTITION),
        _number(headers, OFFSET),
        received_ns,
        place,
        replay,
    )


def _text(headers: Mapping[str, bytes], name: str) -> str:
    return headers.get(name, b"").decode("utf-8", "replace")


def _number(headers: Mapping[str, bytes], name: str) -> int | None:
    value = headers.get(name, b"")
    if not value.isdigit() or len(value) > 19:
        return None
    number = int(value)
    return number if number <= _MAX_OFFSET else None


def _coordinates(headers: Mapping[str, bytes]) -> Coordinates | None:
    try:
        return coordinates.decode(headers[coordinates.HEADER])
    except (KeyError, ValueError):
        return None
