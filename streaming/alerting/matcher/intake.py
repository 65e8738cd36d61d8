"""Records of `logs` to an evaluation: each new one once, as fast as it goes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, cast

from confluent_kafka import Message

from streaming.alerting.matcher.evaluation import Arrival, Evaluation
from streaming.alerting.matcher.marks import Mark, Marks
from streaming.alerting.matcher.reached import Reached
from streaming.events import coordinates
from streaming.kafka.records import Record, read_record

PART: Final = 250
"""Records whose logs and texts are held together: as much as a core's cache holds, and enough for one search."""

LONGEST: Final = 1_000
"""Bytes of coordinates. Python takes its time over numbers of thousands of digits, and refuses them in the end."""


class _Chunk:
    """What the records of one chunk in one partition have in common, as bytes and as read."""

    __slots__ = ("arrival", "cut", "head", "mark", "received", "sequence", "tag")

    def __init__(self, head: bytes, received: bytes, tag: bytes, sequence: int, mark: Mark, arrival: Arrival) -> None:
        self.head, self.received, self.tag = head, received, tag
        self.cut = len(head)
        self.sequence, self.mark, self.arrival = sequence, mark, arrival

    def position(self, message: Message) -> int:
        """The position of a record of this chunk; below 0 for any other, and for what takes care to read."""
        try:
            ((name, at),) = cast(list[tuple[str, bytes]], message.headers())
            if name != coordinates.HEADER or not at.startswith(self.head) or len(at) > LONGEST:
                return -1
            position, received, event_ns, tag = at[self.cut :].split(b":", 3)
        except (TypeError, ValueError, AttributeError):  # none or several; no bytes; too few parts
            return -1
        if received != self.received or tag != self.tag or not position.isdigit() or not event_ns.isdigit():
            return -1
        number = int(position)
        return number if number <= coordinates.MAX else -1


class Intake:
    """Reads records in the order of their partitions, and remembers how far it is.

    `offsets` and the marks belong together with what the evaluation holds: they are committed, or forgotten, as one.
    """

    def __init__(self, marks: Marks, reached: Reached) -> None:
        self._marks, self._reached = marks, reached
        self._chunks: dict[int, _Chunk] = {}
        self._received_ms: dict[int, int] = {}
        self.offsets: dict[int, int] = {}
        """Of each partition the next offset to read, where something was read."""
        self.read = self.repeated = 0
        """Logs evaluated, and records left out since they were evaluated before."""

    def take(self, messages: Sequence[Message], owned: Collection[int], evaluation: Evaluation) -> None:
        """Evaluates what is new of these records (none with `error()`)."""
        chunks = self._chunks
        chunks.clear()  # marks are saved, arrivals age
        last: dict[int, Message] = {}
        new: list[tuple[Message, Arrival]] = []
        repeated = 0
        for message in messages:
            partition = message.partition() or 0
            chunk = chunks.get(partition)
            if chunk is not None:
                position = chunk.position(message)
                if position >= 0:
                    last[partition] = message
                    if chunk.mark.passes(chunk.sequence, position):
                        new.append((message, chunk.arrival))
                    else:
                        repeated += 1
                    continue
            # One that was fetched before a rebalance took its partition away is its next owner's.
            if partition in owned:
                last[partition] = message
                arrival = self._with_care(message, partition, evaluation)
                if arrival is not None:
                    new.append((message, arrival))
                else:
                    repeated += 1
        for begin in range(0, len(new), PART):
            self.read += evaluation.take(new[begin : begin + PART])
            evaluation.settle()
        self.repeated += repeated
        for partition, message in last.items():
            self.offsets[partition] = (message.offset() or 0) + 1
            received_ms = min(self._received_ms[partition], message.timestamp()[1])
            self._reached.read(partition, self.offsets[partition], received_ms)

    def _with_care(self, message: Message, partition: int, evaluation: Evaluation) -> Arrival | None:
        """None for a record that was evaluated before."""
        record = read_record(message)
        received_ms = record.received_ns // 1_000_000
        arrival = evaluation.arrival(received_ms)
        self._received_ms[partition] = received_ms  # that of all records of a chunk
        self._chunks.pop(partition, None)
        if record.replay is not None:
            is_new = self._marks.passes_replayed(partition, record.replay)
        elif record.coordinates is not None:
            is_new = self._marks.passes(partition, record.coordinates)
            self._begin(message, partition, record, arrival)
        else:
            is_new = True
        return arrival if is_new else None

    def _begin(self, message: Message, partition: int, record: Record, arrival: Arrival) -> None:
        """The next record is mostly of the same chunk."""
        headers, at = message.headers(), record.coordinates
        assert at is not None, "it has coordinates"
        if not isinstance(headers, list) or len(headers) != 1:
            return
        value = headers[0][1]
        assert isinstance(value, bytes), "coordinates were read from it"
        accumulator, incarnation, sequence, _, received, _, tag = value.split(b":", 6)
        head = b"%b:%b:%b:" % (accumulator, incarnation, sequence)
        mark = self._marks.of(partition, at)
        self._chunks[partition] = _Chunk(head, received, tag, at.sequence, mark, arrival)
