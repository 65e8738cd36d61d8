"""Where in the log topic a reindexing begins: a time or offsets, as a person writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streaming.elastic.query import QueryError, parse_time
from streaming.errors import ConfigError, Unavailable

ANSWER_WITHIN_S = 10.0
_OFFSETS = re.compile(r"\d+:\d+(,\d+:\d+)*\Z")


@dataclass(frozen=True)
class Begin:
    """One of: the oldest record (nothing set), the first record appended at `since_ms` or later, an offset in every
    partition, or offsets by partition (others are left out)."""

    since_ms: int | None = None
    offset: int | None = None
    offsets: tuple[tuple[int, int], ...] = ()


def parse_begin(text: str, now_ms: int) -> Begin:
    """`earliest`, a time (`2h`, `2026-11-25T10:00`), an offset (`1200`) or offsets by partition (`0:1200,3:900`).

    Raises:
        ConfigError: it is none of these.
    """
    if text == "earliest":
        return Begin()
    if text.isascii() and text.isdigit():
        return Begin(offset=int(text))
    if _OFFSETS.match(text):
        pairs = (pair.split(":") for pair in text.split(","))
        return Begin(offsets=tuple((int(partition), int(offset)) for partition, offset in pairs))
    try:
        return Begin(since_ms=parse_time(text, now_ms))
    except QueryError as error:
        raise ConfigError(
            f"{text!r} is no place to begin: {error}",
            field="--from",
            remedy="Write earliest, a time (2h, 2026-11-25T10:00), an offset (1200) or PARTITION:OFFSET,...",
        ) from error


def ranges(source: Consumer, topic: str, begin: Begin) -> dict[int, tuple[int, int]]:
    """First offset and end (exclusive, as it is now) of each partition that has something to read.

    Raises:
        Unavailable: Kafka does not answer, or there is no such topic.
    """
    try:
        found = source.list_topics(topic, timeout=ANSWER_WITHIN_S).topics[topic]
        if found.error is not None:
            raise Unavailable(f"no topic {topic}: {found.error.str()}; `vigil up` creates it")
        partitions = [TopicPartition(topic, p) for p in sorted(found.partitions)]
        marks = {p.partition: source.get_watermark_offsets(p, timeout=ANSWER_WITHIN_S) for p in partitions}
        starts = _starts(source, partitions, begin, marks)
    except KafkaException as error:
        raise Unavailable(f"Kafka does not answer: {error.args[0].str()}. `vigil status` shows it") from error
    chosen = {p: (max(starts[p], low), high) for p, (low, high) in marks.items() if p in starts}
    return {p: (start, end) for p, (start, end) in chosen.items() if start < end}


def _starts(
    source: Consumer, partitions: list[TopicPartition], begin: Begin, marks: dict[int, tuple[int, int]]
) -> dict[int, int]:
    if begin.offsets:
        return dict(begin.offsets)
    if begin.since_ms is None:
        return dict.fromkeys(marks, begin.offset or 0)
    asked = [TopicPartition(p.topic, p.partition, begin.since_ms) for p in partitions]
    answers = source.offsets_for_times(asked, timeout=ANSWER_WITHIN_S)
    # -1: nothing so late is there yet.
    return {p.partition: p.offset if p.offset >= 0 else marks[p.partition][1] for p in answers}
