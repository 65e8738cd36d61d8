"""Where and when an event was first made durable, and how that travels with its Kafka record.

The accumulator fixes these at its first disk write, so a second produce of the same chunk after a crash
carries the same coordinates (a Kafka offset would not).
"""

from __future__ import annotations

from typing import NamedTuple

HEADER = "vigil"
"""Name of the one Kafka record header that carries the coordinates."""

_MAX = 2**63 - 1
"""What Elasticsearch and JSON writers hold in an integer; anyone who may write to the topic may write more."""


class Coordinates(NamedTuple):
    """`accumulator`.`incarnation`:`sequence`:`position` names one event for ever.

    `accumulator` is the configured name, `incarnation` a random token made whenever an empty spool is made,
    `sequence` the chunk's number, gapless from 1 within an incarnation, `position` the event's place in the
    chunk from 0. `received_ns` is when the chunk was received; `event_ns` the time the Forward protocol gave
    the event (0 if none); `tag` its Fluentd tag.
    """

    accumulator: str
    incarnation: str
    sequence: int
    position: int
    received_ns: int
    event_ns: int
    tag: str

    @property
    def key(self) -> str:
        """The event's name: `accumulator.incarnation:sequence:position`."""
        return f"{self.accumulator}.{self.incarnation}:{self.sequence}:{self.position}"


def encode(coordinates: Coordinates) -> bytes:
    """As the value of `HEADER`: seven fields joined by `:`, the tag last since it may hold any character."""
    return ":".join(map(str, coordinates)).encode("utf-8", "surrogatepass")


def decode(value: bytes) -> Coordinates:
    """Reads what `encode` wrote.

    Raises:
        ValueError: the header was not written by Vigil; treat the record as one without coordinates.
    """
    acc, incarnation, sequence, position, received, event, tag = value.decode("utf-8", "surrogatepass").split(":", 6)
    count, place = int(sequence), int(position)
    if min(count, place) < 0 or max(count, place) > _MAX:
        raise ValueError("no accumulator counts that far")
    return Coordinates(acc, incarnation, count, place, int(received), int(event), tag)
