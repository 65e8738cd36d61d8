"""Where and when an event was first made durable, and how that travels with its Kafka record.

The accumulator fixes these at its first disk write, so a second produce of the same chunk after a crash
carries the same coordinates (a Kafka offset would not).
"""

from __future__ import annotations

from typing import NamedTuple

HEADER = "vigil"
"""Name of the one Kafka record header that carries the coordinates.

A header and not a field of the record (measured, 230-byte records, CPU of the client, Kafka 4.4): it costs 0.8 us more
to produce and 1 us more to read (3.5 and 3.6 us without either; as a field 3.2 and 4.3), but leaves the record as its
sender wrote it, of which `_id` is made, can be read without decoding the value, and goes with what is no JSON too.
"""

REPLAY_HEADER = "vigil-replay"
"""Name of the header of a record that was brought back from the dead letters (or another store); see `Replay`."""

MAX = 2**63 - 1
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
    if min(count, place) < 0 or max(count, place) > MAX:
        raise ValueError("no accumulator counts that far")
    return Coordinates(acc, incarnation, count, place, int(received), int(event), tag)


class Replay(NamedTuple):
    """Which replay brought a record back, and the record's number in it, from 1 (design decision 7).

    The coordinates that travel beside it still name the document; that the record is evaluated once is decided by
    `replay_id` and `sequence`, which rise within a partition. For a record that never had coordinates `source` and
    `received_ns` say what stood in for them the first time, so that document and index stay the same.
    """

    replay_id: str
    sequence: int
    received_ns: int | None = None
    source: str = ""


def encode_replay(replay: Replay) -> bytes:
    """As the value of `REPLAY_HEADER`: `id:sequence`, and `:received:source` where there are no coordinates."""
    head = f"{replay.replay_id}:{replay.sequence}"
    return (f"{head}:{replay.received_ns}:{replay.source}" if replay.received_ns is not None else head).encode()


def decode_replay(value: object) -> Replay | None:
    """Reads what `encode_replay` wrote; None for anything else, which then counts as no replay."""
    if not isinstance(value, bytes):
        return None
    try:
        replay_id, sequence, *more = value.decode().split(":", 3)
        received_ns, source = (int(more[0]), more[1]) if more else (None, "")
        number = int(sequence)
    except (ValueError, IndexError):
        return None
    if not replay_id or not 0 < number <= MAX or (received_ns is not None and not 0 <= received_ns <= MAX):
        return None
    return Replay(replay_id, number, received_ns, source)
