"""Logs from Kafka, in the order in which they came, whatever their partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from confluent_kafka import Message

from streaming.alerting.matcher.marks import Marks
from streaming.alerting.stored.documents import StoredLog
from streaming.events.model import LogEvent
from streaming.events.parse import parse
from streaming.kafka import topics
from streaming.kafka.ranges import Bounds, RangeReader
from streaming.kafka.records import Record, read_record
from streaming.settings import Settings

SLICE = 50_000
"""Records that are put in order at a time: 50,000 of 1 KB are 50 MB."""

Offsets = dict[int, int]
"""By partition."""


def complete_since_ms(settings: Settings, now_ms: int) -> int:
    """From when on (append time) Kafka still has every log: 0 where none was ever deleted. Retention by size deletes
    from the busiest partition first, so the one that lost most decides.

    Raises:
        Unavailable: Kafka does not answer.
    """
    topic = settings.topic(topics.LOGS)
    with RangeReader(settings, "stored") as reader:
        bounds = reader.bounds_of(topic)
        firsts = {p: (b.start, b.start + 1) for p, b in bounds.items() if b.end > b.start > 0}
        times = [record.timestamp()[1] for batch in reader.read(topic, firsts) for record in batch]
    emptied = any(bound.end == bound.start > 0 for bound in bounds.values())
    return now_ms if emptied or len(times) < len(firsts) else max(times, default=0)


def partitions_of_logs(settings: Settings) -> int:
    """How many partitions `logs` has.

    Raises:
        Unavailable: Kafka does not answer.
    """
    with RangeReader(settings, "stored") as reader:
        return len(reader.bounds_of(settings.topic(topics.LOGS)))


def records_between(settings: Settings, since_ms: int, until_ms: int) -> Iterator[StoredLog]:
    """Every log that Kafka appended between the two, in the order of appending; what cannot be read, or was produced a
    second time after a crash of its accumulator, is left out, as a matcher leaves it out.

    Partitions are read side by side in slices of time with at most `SLICE` records, and each slice is sorted; only what
    came within one millisecond is never divided.

    Raises:
        Unavailable: Kafka does not answer.
    """
    topic = settings.topic(topics.LOGS)
    with RangeReader(settings, "stored") as reader:
        bounds = reader.bounds_of(topic)
        start, end = reader.at_time(topic, since_ms, bounds), reader.at_time(topic, until_ms, bounds)
        marks = Marks()

        def offsets_at(at_ms: int) -> Offsets:
            return reader.at_time(topic, at_ms, bounds)

        for ranges in sliced(offsets_at, start, end, since_ms, until_ms):
            yield from _sorted(reader, topic, ranges, marks)


def sliced(
    offsets_at: Callable[[int], Offsets], start: Offsets, end: Offsets, since_ms: int, until_ms: int, most: int = SLICE
) -> Iterator[dict[int, Bounds]]:
    """Divides ranges of offsets at moments, until none holds more than `most` records."""
    middle_ms = (since_ms + until_ms) // 2
    if sum(end[p] - start[p] for p in start) <= most or middle_ms <= since_ms:
        yield {p: Bounds(start[p], end[p]) for p in start}
        return
    found = offsets_at(middle_ms)
    middle = {p: min(end[p], max(start[p], found[p])) for p in start}
    yield from sliced(offsets_at, start, middle, since_ms, middle_ms, most)
    yield from sliced(offsets_at, middle, end, middle_ms, until_ms, most)


def records_of_log(settings: Settings, log_id: str, since_ms: int) -> list[StoredLog]:
    """The logs of this `log_id` or source that Kafka appended since then, the latest first. Reads every record of that
    time, and takes apart only those that hold the id.

    Raises:
        Unavailable: Kafka does not answer.
    """
    needle, found = log_id.encode(), []
    with RangeReader(settings, "stored") as reader:
        for message in reader.read_since(settings.topic(topics.LOGS), since_ms):
            if needle in (message.value() or b"") or read_record(message).source == log_id:
                log = _log(message, Marks())
                if log is not None and log_id in (log.event.log_id, log.source):
                    found.append(log)
    return sorted(found, key=lambda log: -log.received_ms)


def _sorted(reader: RangeReader, topic: str, ranges: Mapping[int, Bounds], marks: Marks) -> Iterator[StoredLog]:
    found = [record for batch in reader.read(topic, ranges) for record in batch]
    # Sorting is stable: records of a partition that have the same time stay in order.
    for message in sorted(found, key=lambda message: message.timestamp()[1]):
        if (log := _log(message, marks)) is not None:
            yield log


def _log(message: Message, marks: Marks) -> StoredLog | None:
    record = read_record(message)
    if not _is_new(record, marks):
        return None
    event = parse(record.value, received_ns=record.received_ns, event_ns=record.event_ns, tag=record.tag)
    if not isinstance(event, LogEvent):
        return None
    came_ms = message.timestamp()[1]
    return StoredLog(event, record.received_ns // 1_000_000, record.source, record.partition, came_ms)


def _is_new(record: Record, marks: Marks) -> bool:
    if record.replay is not None:
        return marks.passes_replayed(record.partition, record.replay)
    return record.coordinates is None or marks.passes(record.partition, record.coordinates)
