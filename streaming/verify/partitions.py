"""Kafka's side against Elasticsearch's: of each record of a partition, whether it is a document, or why it is none."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from confluent_kafka import Message

from streaming import decoding
from streaming.dead_letters import document
from streaming.dead_letters.letters import read_letter
from streaming.events import coordinates
from streaming.events.model import LogEvent
from streaming.events.parse import parse
from streaming.indexer.prepare import Preparer
from streaming.kafka.records import read_record
from streaming.retention.versions import read_retention
from streaming.settings import Settings
from streaming.verify.documents import Documents, Name, Origin, Place
from streaming.verify.merge import Join
from streaming.verify.report import Lost, PartitionReport

See = Callable[[bytes], None]


class LetterPlaces:
    """Places of the records that dead letters were written for. 8 bytes each."""

    def __init__(self) -> None:
        self._offsets: defaultdict[tuple[str, int], array[int]] = defaultdict(lambda: array("Q"))
        self._sorted = False

    def add(self, origin: Origin) -> None:
        """One letter's original."""
        self._offsets[origin.topic, origin.partition].append(origin.offset)
        self._sorted = False

    def __contains__(self, origin: Origin) -> bool:
        if not self._sorted:
            self._offsets.update({key: array("Q", sorted(found)) for key, found in self._offsets.items()})
            self._sorted = True
        found = self._offsets.get((origin.topic, origin.partition))
        if not found:
            return False
        at = bisect_left(found, origin.offset)
        return at < len(found) and found[at] == origin.offset


class Kind(Protocol):
    """What is asked of the records of a topic that becomes documents."""

    def name_of(self, message: Message, header: bytes | None) -> str:
        """The event's name, as its document has it in `vigil.source`."""
        ...

    def judge(self, messages: Sequence[Message], report: PartitionReport) -> Iterator[Lost]:
        """Those that no document was found for under their own offset: counts what became of each."""
        ...


def reconcile(
    batches: Iterator[list[Message]], kind: Kind, documents: Documents, report: PartitionReport, see: See
) -> Iterator[tuple[int, list[Lost]]]:
    """Reads a partition to the end of `batches`. After each batch: the next offset, and what is lost of it.

    Only offsets from `report.verified_from` up to `verified_to` are held against documents; `see` is given the
    coordinates of all.
    """
    first, end = report.verified_from, report.verified_to
    found = documents.of_partition(report.topic, report.partition, first, end) if first < end else iter(())
    join = Join(found)
    for batch in batches:
        headers = [header_of(message) for message in batch]
        show(headers, see)
        own = [(m, h) for m, h in zip(batch, headers, strict=True) if first <= (m.offset() or 0) < end]
        without = join.without([Place(m.offset() or 0, kind.name_of(m, h)) for m, h in own])
        report.records += len(own)
        report.indexed += len(own) - len(without)
        lost = list(kind.judge([own[n][0] for n in without], report)) if without else []
        report.lost += len(lost)
        yield (batch[-1].offset() or 0) + 1, lost


def header_of(message: Message) -> bytes | None:
    """The coordinates as they travel; None where there are none."""
    value = dict(message.headers() or ()).get(coordinates.HEADER)
    return value if isinstance(value, bytes) and value.count(b":") >= _COLONS else None


_COLONS = 6
"""Between the seven fields of coordinates."""


def show(headers: Sequence[bytes | None], see: See) -> None:
    """Lets the accounts see records by their coordinates."""
    for header in headers:
        if header is not None:
            see(header)


class Logs:
    """Records of `logs`, as the indexer takes them."""

    def __init__(self, settings: Settings, documents: Documents, letters: LetterPlaces, letter_documents: Documents):
        self._documents, self._letters, self._letter_documents = documents, letters, letter_documents
        self._preparer = Preparer(settings.index_prefix, read_retention(settings))

    def name_of(self, message: Message, header: bytes | None) -> str:
        """By the header, without taking the record apart; a record without one by its place."""
        if header is not None:
            parts = header.split(b":", 4)
            if parts[2].isdigit() and parts[3].isdigit():
                return (b"%b.%b:%b:%b" % (parts[0], parts[1], parts[2], parts[3])).decode("utf-8", "surrogatepass")
        return read_record(message).source

    def judge(self, messages: Sequence[Message], report: PartitionReport) -> Iterator[Lost]:
        """Asks for each under the name that the indexer would give it."""
        names: list[Name] = []
        named: list[Message] = []
        left: list[Message] = []
        for message in messages:
            prepared = self._preparer.prepare([message])
            if prepared.items:
                named.append(message)
                names.append(_name(prepared.items[0]))
            elif prepared.strays:
                report.strays += 1
            elif prepared.expired:
                report.expired += 1
            else:
                left.append(message)
        for message, origin in zip(named, self._documents.origins(names), strict=True):
            if origin is None:
                left.append(message)
            elif origin == _origin(message):
                report.indexed += 1  # since the last refresh
            else:
                report.duplicates += 1
        yield from self._dead_or_lost(left, report)

    def _dead_or_lost(self, messages: Sequence[Message], report: PartitionReport) -> Iterator[Lost]:
        unknown = [m for m in messages if _origin(m) not in self._letters]
        report.dead_lettered += len(messages) - len(unknown)
        # Kafka may have deleted the letter by age; its document stays longer.
        names = [read_record(m).source for m in unknown]
        known = self._letter_documents.with_sources(names) if names else set()
        for message, name in sorted(zip(unknown, names, strict=True), key=lambda pair: pair[0].offset() or 0):
            if name in known:
                report.dead_lettered += 1
            else:
                yield _lost_log(message, name)


class Letters:
    """Records of `dead-letters`, as the dead-letter indexer takes them."""

    def __init__(self, settings: Settings, documents: Documents, places: LetterPlaces, clock_ns: Callable[[], int]):
        self._settings, self._documents, self._places, self._clock_ns = settings, documents, places, clock_ns

    def name_of(self, message: Message, _: bytes | None) -> str:
        """Of the original."""
        return read_letter(message).source

    def note(self, batch: Sequence[Message]) -> None:
        """Remembers the places of the originals."""
        for message in batch:
            letter = read_letter(message)
            if letter.source_partition is not None and letter.source_offset is not None:
                self._places.add(Origin(letter.source_topic, letter.source_partition, letter.source_offset))

    def judge(self, messages: Sequence[Message], report: PartitionReport) -> Iterator[Lost]:
        """Asks for each under the name that the dead-letter indexer would give it."""
        asked: list[Message] = []
        names: list[Name] = []
        for message in messages:
            letter = read_letter(message)
            index = document.index_of(
                letter, self._settings.index_prefix, self._settings.retention_days, self._clock_ns()
            )
            if index is None:
                report.expired += 1
            else:
                asked.append(message)
                names.append(Name(index, document.document_id(letter)))
        for message, origin in zip(asked, self._documents.origins(names), strict=True):
            if origin is None:
                letter = read_letter(message)
                received = _time(letter.received_ns or letter.appended_ms * 1_000_000)
                where = _origin(message)
                yield Lost(*where, letter.source, "", received, f"dead letter ({letter.reason})")
            elif origin == _origin(message):
                report.indexed += 1
            else:
                report.duplicates += 1


def _origin(message: Message) -> Origin:
    return Origin(message.topic() or "", message.partition() or 0, message.offset() or 0)


class _Action(msgspec.Struct):
    index: str = msgspec.field(name="_index")
    id: str = msgspec.field(name="_id")


class _Create(msgspec.Struct):
    create: _Action


def _name(item: bytes) -> Name:
    """Of an item that is ready for `_bulk`."""
    action = decoding.decode(item[: item.index(b"\n")], _Create).create
    return Name(action.index, action.id)


def _lost_log(message: Message, name: str) -> Lost:
    record = read_record(message)
    event = parse(record.value, received_ns=record.received_ns, event_ns=record.event_ns, tag=record.tag)
    service = event.service if isinstance(event, LogEvent) else ""
    kind = "log" if isinstance(event, LogEvent) else "unreadable record without a dead letter"
    return Lost(*_origin(message), name, service, _time(record.received_ns), kind)


def _time(ns: int) -> str:
    try:
        return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{ns} ns"
