"""Records of the log topic made ready for `_bulk`: a pure function of the records and the clock.

Canonical logs with coordinates, nearly all, are written straight (direct.py); everything else the careful way: into
an event (streaming/events/parse.py) and from there into a document (ecs.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import Message

from streaming.dead_letters import Letter
from streaming.elastic import bulk
from streaming.events.ecs import Provenance, encode
from streaming.events.model import Heartbeat, LogEvent, Unreadable
from streaming.events.parse import parse
from streaming.indexer import identity
from streaming.indexer.direct import Direct
from streaming.indexer.lines import DayLines, Lines
from streaming.indexer.shapes import Shapes
from streaming.kafka.records import Record, read_record
from streaming.kafka.topics import HEARTBEATS, REGISTRATIONS
from streaming.retention.classes import Retention

RECEIVE_TIME = "receive-time"
"""Dead-letter reason: the record's receive time lies outside 2000 to 2100, so no index can be named for it."""


class Stray(NamedTuple):
    """A beat or a registration among the logs (a real Fluentd without a route of its own); `topic` is where it goes."""

    message: Message
    topic: str
    node_id: str


@dataclass
class Prepared:
    """What becomes of some records. `documents` and `items` lie side by side."""

    read: int = 0
    documents: list[Message] = field(default_factory=list)
    items: list[bytes] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)
    expired: int = 0
    offsets: dict[int, tuple[int, int]] = field(default_factory=dict)
    """First and last offset per partition."""


class Preparer:
    """Parses, names and encodes; without `shapes` documents carry no fingerprint.

    Keeps the names of indices (`lines`), and nothing of a record.
    """

    def __init__(
        self,
        index_prefix: str,
        retention: Retention,
        clock_ns: Callable[[], int] = time.time_ns,
        shapes: Shapes | None = None,
    ) -> None:
        self.lines = Lines(index_prefix, retention)
        self._shapes = shapes
        self._clock_ns = clock_ns

    def prepare(self, messages: Sequence[Message]) -> Prepared:
        """Takes records of one topic in the order of their offsets; none of them is an error."""
        now_ns = self._clock_ns()
        self.lines.turn_to(now_ns // identity.NS_PER_DAY)
        out = Prepared(read=len(messages))
        values = [message.value() or b"" for message in messages]
        partitions = [message.partition() or 0 for message in messages]
        offsets = [message.offset() or 0 for message in messages]
        items = Direct(self._lines_of, now_ns, self._shapes).items(messages, values, partitions, offsets)
        for message, item in zip(messages, items, strict=True):
            if item is not None:
                out.documents.append(message)
                out.items.append(item)
            else:
                self._add(out, message, read_record(message), now_ns)
        last = dict(zip(partitions, offsets, strict=True))
        first = dict(zip(reversed(partitions), reversed(offsets), strict=True))
        out.offsets = {partition: (first[partition], offset) for partition, offset in last.items()}
        return out

    def is_kept(self, index: str) -> bool:
        """Whether an index is still within its retention, and may be made."""
        self.lines.turn_to(self._clock_ns() // identity.NS_PER_DAY)
        return self.lines.is_kept(index)

    def _add(self, out: Prepared, message: Message, record: Record, now_ns: int) -> None:
        event = parse(record.value, received_ns=record.received_ns, event_ns=record.event_ns, tag=record.tag)
        if not isinstance(event, LogEvent):
            if isinstance(event, Unreadable):
                out.letters.append(Letter(message, event.reason, event.detail))
            else:
                topic = HEARTBEATS if isinstance(event, Heartbeat) else REGISTRATIONS
                out.strays.append(Stray(message, topic, event.node_id))
            return
        day = identity.day_of(record.received_ns)
        if day is None:
            out.letters.append(Letter(message, RECEIVE_TIME, f"receive time {record.received_ns} ns"))
            return
        line = self.lines.of(day).of(event.level, event.service)
        if line is None:
            out.expired += 1
            return
        provenance = _provenance(record)
        name = identity.document_id(record.value, provenance.source, event.log_id)
        out.documents.append(message)
        mark = None if self._shapes is None else self._shapes.name(event.message, record.received_ns)
        document = encode(event, provenance, ingested_ns=now_ns, fingerprint=mark)
        out.items.append(bulk.item(line.encode(), name, document))

    def _lines_of(self, received_ns: int) -> DayLines | None:
        day = identity.day_of(received_ns)
        return None if day is None else self.lines.of(day)


def _provenance(record: Record) -> Provenance:
    found, topic, partition, offset = record.coordinates, record.topic, record.partition, record.offset
    if found is None:
        return Provenance(record.received_ns, record.source, None, None, None, topic, partition, offset)
    return Provenance(
        record.received_ns, found.key, found.accumulator, found.sequence, found.position, topic, partition, offset
    )
