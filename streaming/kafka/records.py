"""A Kafka record of a log topic, with the coordinates that its accumulator gave it."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import Message

from streaming.events import coordinates as coords
from streaming.events.coordinates import Coordinates, Replay


class Record(NamedTuple):
    """What was read, and where from.

    `coordinates` is None for records that a real Fluentd produced; append time then stands in for the receive
    time, and topic, partition and offset for the coordinates (not exact: a resend looks new). `replay` says which
    replay brought the record back; what stood in for coordinates at the first time then stands in again.
    """

    topic: str
    partition: int
    offset: int
    value: bytes
    received_ns: int
    event_ns: int
    tag: str
    coordinates: Coordinates | None
    replay: Replay | None = None

    @property
    def source(self) -> str:
        """The event's name: its coordinates' key, else `topic-partition-offset`."""
        if self.coordinates:
            return self.coordinates.key
        if self.replay and self.replay.source:
            return self.replay.source
        return f"{self.topic}-{self.partition}-{self.offset}"


def read_record(message: Message) -> Record:
    """Takes a consumed message (one without `error()`) apart. A header that is not Vigil's counts as none."""
    topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
    value = message.value() or b""
    headers = dict(message.headers() or ())
    found = _coordinates(headers.get(coords.HEADER))
    replay = coords.decode_replay(headers[coords.REPLAY_HEADER]) if coords.REPLAY_HEADER in headers else None
    if found:
        return Record(topic, partition, offset, value, found.received_ns, found.event_ns, found.tag, found, replay)
    received_ns = message.timestamp()[1] * 1_000_000
    if replay and replay.received_ns is not None:
        received_ns = replay.received_ns
    return Record(topic, partition, offset, value, received_ns, 0, "", None, replay)


def _coordinates(value: object) -> Coordinates | None:
    try:
        return coords.decode(value) if isinstance(value, bytes) else None
    except ValueError:
        return None
