"""Documents on their way to Elasticsearch: what is sent, and what follows from its answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from streaming import decoding
from streaming.elastic import bulk
from streaming.elastic.bulk import Outcome, Verdict, Whole
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.history.document import Documents
from streaming.history.order import Known, version_of, version_over
from streaming.worker import metrics
from streaming.worker.logs import logger

log = logger(__name__)


@dataclass(eq=False)
class Item:
    """One document. `source`: topic and partition from which it comes. `version` is that of a last state; an event has
    none: it is made once."""

    source: tuple[str, int]
    index: str
    document_id: str
    encoded: bytes
    offset: int
    version: int | None = None

    def line(self) -> bytes:
        """As `_bulk` takes it."""
        if self.version is None:
            return bulk.item(bulk.create_line(self.index), self.document_id.encode(), self.encoded)
        return bulk.versioned(self.index, self.document_id, self.version, self.encoded)


def items_of(read: Iterable[Documents]) -> list[Item]:
    """What is to be sent of these records, in their order: each event, and of each incident or node the last state."""
    events: list[Item] = []
    last: dict[tuple[str, str], Item] = {}
    for one in read:
        if one.event_index is None or one.last_index is None:
            metrics.HISTORY_EXPIRED.inc((one.event_index is None) + (one.last_index is None))
        if one.event_index is not None:
            events.append(Item(one.source, one.event_index, one.event_id, one.encoded, one.offset))
        if one.last_index is not None:
            subject, version = (one.last_index, one.last_id), version_of(one.at_ms)
            if subject in last:
                # Above that of each event before it, so that none of them can ever take its place.
                version = max(version, last[subject].version or 0)
            last[subject] = Item(one.source, *subject, one.encoded, one.offset, version)
    return [*events, *last.values()]


@dataclass
class Answered:
    """What follows from an answer: items to be sent again, last states that met with a conflict, indices to be made."""

    again: list[Item]
    conflicts: list[Item]
    homeless: set[str]


def settle(items: Sequence[Item], outcomes: list[Outcome] | Whole | None) -> Answered:
    """Reads an answer. What Elasticsearch refuses for itself is told and given up: nothing of it may keep what comes
    behind it from being indexed, and it stays in Kafka."""
    found = Answered([], [], set())
    outcomes = bulk.with_single_refused(outcomes, len(items))
    if outcomes is None:
        metrics.HISTORY_INDEXED.inc(len(items))
        return found
    if isinstance(outcomes, Whole):
        found.again += items
        return found
    for item, outcome in zip(items, outcomes, strict=True):
        match outcome.verdict:
            case Verdict.DONE:
                metrics.HISTORY_INDEXED.inc()
            case Verdict.DUPLICATE if item.version is None:
                metrics.HISTORY_REPEATED.inc()
            case Verdict.DUPLICATE:
                found.conflicts.append(item)
            case Verdict.RETRY | Verdict.BLOCKED:
                found.again.append(item)
            case Verdict.NO_INDEX:
                found.again.append(item)
                found.homeless.add(item.index)
            case Verdict.DEAD_LETTER:
                metrics.HISTORY_REFUSED.inc()
                log.error(
                    "an event has no document",
                    source=item.source,
                    offset=item.offset,
                    why=outcome.reason,
                    detail=outcome.detail,
                )
    return found


class _Kafka(msgspec.Struct):
    offset: int = -1


class _Vigil(msgspec.Struct):
    kafka: _Kafka = msgspec.field(default_factory=_Kafka)


class _Source(msgspec.Struct):
    vigil: _Vigil = msgspec.field(default_factory=_Vigil)


class _Found(msgspec.Struct):
    found: bool = False
    version: int = msgspec.field(name="_version", default=0)
    source: _Source = msgspec.field(name="_source", default_factory=_Source)

    def known(self) -> Known | None:
        """None: it is not there (any more)."""
        return Known(self.version, self.source.vigil.kafka.offset) if self.found else None


class _Looked(msgspec.Struct):
    docs: list[_Found]


def later_than_known(connection: Connection, conflicts: Sequence[Item]) -> list[Item]:
    """Those that are later than what is there all the same, with the version under which they take its place.

    Raises:
        Unavailable, Refused: Elasticsearch does not say what is there.
    """
    if not conflicts:
        return []
    wanted = {"docs": [{"_index": item.index, "_id": item.document_id} for item in conflicts]}
    response = connection.json("POST", "/_mget?_source_includes=vigil.kafka.offset", wanted)
    there = decoding.decode(checked(response, "reading how things were").body, _Looked).docs
    later = []
    for item, found in zip(conflicts, there, strict=True):
        version = version_over(found.known(), item.version or 0, item.offset)
        if version is None:
            metrics.HISTORY_REPEATED.inc()
        else:
            item.version = version
            later.append(item)
    return later
