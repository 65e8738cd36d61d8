"""A Kafka record of a log topic, with the coordinates that its accumulator gave it."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import Message

from streaming.events import coordinates as coords
from streaming.events.coordinates import Coordinates


class Record(NamedTuple):
    """What was read, and where from.

    `coordinates` is None for records that a real Fluentd produced; append time then stands in for the receive
    time, and topic, partition and offset for the coordinates (not exact: a resend looks new).
    """

    topic: str
    partition: int
    offset: int
    value: bytes
    received_ns: int
    event_ns: int
    tag: str
    coordinates: Coordinates | None

    @property
    def source(self) -> str:
        """The event's name: its coordinates' key, else `topic-partition-offset`."""
        return self.coordinates.key if self.coordinates else f"{self.topic}-{self.partition}-{self.offset}"


def read_record(message: Message) -> Record:
    """Takes a consumed message (one without `error()`) apart. A header that is not Vigil's counts as none."""
    topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
    value = message.value() or b""
    found = _coordinates(message)
    if found:
        return Record(topic, partition, offset, value, found.received_ns, found.event_ns, found.tag, found)
    appended_ms = message.timestamp()[1]
    return Record(topic, partition, offset, value, appended_ms * 1_000_000, 0, "", None)


def _coordinates(message: Message) -> Coordinates | None:
    headers = message.headers()
    if not headers:
        return None
    value = dict(headers).get(coords.HEADER)
    try:
        return coords.decode(value) if isinstance(value, bytes) else None
    except ValueError:
        return None
