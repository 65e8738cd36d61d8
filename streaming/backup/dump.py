"""Kafka into a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streaming.backup.archive import VERSION, Entry, Head, Writer
from streaming.backup.contents import CONTENTS, Kept
from streaming.errors import Unavailable
from streaming.kafka.clients import consumer
from streaming.kafka.topics import CATALOGUE
from streaming.settings import Settings

ANSWER_WITHIN_S = 10.0
STALL_S = 30.0
"""Without a record for so long, a transaction that nobody ends is in the way: the broker ends it within 20 s."""

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
        for kept in CONTENTS:
            for entry in _entries(settings, kept):
                writer.add(entry)
            progress(kept.topic, writer.counts[kept.topic])
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    return Summary(str(path), {kept.topic: writer.counts[kept.topic] for kept in CONTENTS})


def _entries(settings: Settings, kept: Kept) -> Iterator[Entry]:
    """The records of a topic; of a compacted one only the last of each key, and no tombstones."""
    declared = next(topic for topic in CATALOGUE if topic.name == kept.topic)
    records = _records(settings, settings.topic(kept.topic), _starts(settings, kept))
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


def _starts(settings: Settings, kept: Kept) -> dict[int, int]:
    """Where each partition begins: at its oldest record, or at the first that one of the readers has not committed."""
    topic = settings.topic(kept.topic)
    group = consumer(settings.bootstrap, settings.group("backup"))
    try:
        found = group.list_topics(topic, timeout=ANSWER_WITHIN_S).topics[topic]
        if found.error is not None:
            raise Unavailable(f"no topic {topic} at {settings.bootstrap}: {found.error.str()}; `vigil up` creates it")
        partitions = [TopicPartition(topic, p) for p in found.partitions]
        oldest = {p.partition: group.get_watermark_offsets(p, timeout=ANSWER_WITHIN_S)[0] for p in partitions}
    except KafkaException as error:
        raise _no_answer(settings, error) from error
    finally:
        group.close()
    committed = [_committed(settings, settings.group(reader), partitions) for reader in kept.readers]
    return {p: max(low, min((offsets.get(p, low) for offsets in committed), default=low)) for p, low in oldest.items()}


def _committed(settings: Settings, group: str, partitions: list[TopicPartition]) -> dict[int, int]:
    member = consumer(settings.bootstrap, group)
    try:
        found = member.committed(partitions, timeout=ANSWER_WITHIN_S)
    except KafkaException as error:
        raise _no_answer(settings, error) from error
    finally:
        member.close()
    return {p.partition: p.offset for p in found if p.offset >= 0}


def _records(settings: Settings, topic: str, starts: dict[int, int]) -> Iterator[Message]:
    """All committed records from these offsets to the ends as they are reached."""
    source = consumer(settings.bootstrap, settings.group("backup"), enable_partition_eof=True, fetch_wait_max_ms=10)
    try:
        source.assign([TopicPartition(topic, p, offset) for p, offset in starts.items()])
        yield from _to_the_ends(source, topic, set(starts))
    except KafkaException as error:
        raise _no_answer(settings, error) from error
    finally:
        source.close()


def _to_the_ends(source: Consumer, topic: str, left: set[int]) -> Iterator[Message]:
    heard = time.monotonic()
    while left:
        message = source.poll(0.5)
        if message is None:
            if time.monotonic() - heard > STALL_S:
                raise Unavailable(f"{topic} gives no records for {STALL_S:g} s")
            continue
        heard = time.monotonic()
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            left.discard(message.partition() or 0)
        else:
            raise KafkaException(error)


def _no_answer(settings: Settings, error: KafkaException) -> Unavailable:
    return Unavailable(f"Kafka at {settings.bootstrap} does not answer: {error.args[0].str()}. `vigil status` shows it")
