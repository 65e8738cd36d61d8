"""Kafka into a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Message

from streaming.backup.archive import VERSION, Entry, Head, Writer
from streaming.backup.contents import CONTENTS, Kept
from streaming.kafka.ranges import RangeReader
from streaming.kafka.topics import CATALOGUE
from streaming.settings import Settings

Progress = Callable[[str, int], None]
"""Told a topic, and how many of its records were written."""


@dataclass(frozen=True)
class Summary:
    """What was written or put back: records of each topic."""

    file: str
    records: dict[str, int]


def back_up(settings: Settings, path: Path, progress: Progress = lambda _topic, _count: None) -> Summary:
    """Writes all that `CONTENTS` names, as committed, to a new file. The platform may run meanwhile.

    Raises:
        Unavailable: Kafka does not answer, or a topic is missing.
        ConfigError: the file cannot be written.
    """
    head = Head(VERSION, datetime.now(UTC).isoformat(timespec="seconds"), [kept.topic for kept in CONTENTS])
    writer = Writer(path, head)
    try:
        with RangeReader(settings, "backup") as reader:
            for kept in CONTENTS:
                for entry in _entries(settings, reader, kept):
                    writer.add(entry)
                progress(kept.topic, writer.counts[kept.topic])
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    return Summary(str(path), {kept.topic: writer.counts[kept.topic] for kept in CONTENTS})


def _entries(settings: Settings, reader: RangeReader, kept: Kept) -> Iterator[Entry]:
    """The records of a topic; of a compacted one only the last of each key, and no tombstones."""
    declared = next(topic for topic in CATALOGUE if topic.name == kept.topic)
    records = _records(settings, reader, kept)
    if declared.config["cleanup.policy"] != "compact":
        for message in records:
            yield _entry(kept.topic, message)
        return
    latest: dict[bytes, Message] = {}
    for message in records:
        key = bytes(message.key() or b"")
        latest.pop(key, None)
        if message.value() is not None:
            latest[key] = message
    for message in latest.values():
        yield _entry(kept.topic, message)


def _entry(topic: str, message: Message) -> Entry:
    key, value = message.key(), message.value()
    headers = [(str(header[0]), header[1]) for header in message.headers() or [] if isinstance(header[1], bytes)]
    return Entry(topic, message.partition() or 0, _bytes(key), _bytes(value), headers)


def _bytes(given: str | bytes | None) -> bytes | None:
    return given.encode() if isinstance(given, str) else given


def _records(settings: Settings, reader: RangeReader, kept: Kept) -> Iterator[Message]:
    """From the oldest of each partition, or from the first that one of the readers has not committed, to the end."""
    topic = settings.topic(kept.topic)
    bounds = reader.bounds_of(topic)
    committed = [reader.committed(settings.group(name), topic, list(bounds)) for name in kept.readers]
    starts = {p: max(b.start, min((found[p] for found in committed), default=b.start)) for p, b in bounds.items()}
    for batch in reader.read(topic, {p: (starts[p], bound.end) for p, bound in bounds.items()}):
        yield from batch
