"""Where in the log topic a reindexing begins: a time or offsets, as a person writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streaming.elastic.query import QueryError, parse_time
from streaming.errors import ConfigError
from streaming.kafka.ranges import RangeReader

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


def ranges(reader: RangeReader, topic: str, begin: Begin) -> dict[int, tuple[int, int]]:
    """First offset and end (exclusive, as it is now) of each partition that has something to read.

    Raises:
        Unavailable: Kafka does not answer, or there is no such topic.
    """
    bounds = reader.bounds_of(topic)
    if begin.offsets:
        starts = dict(begin.offsets)
    elif begin.since_ms is not None:
        starts = reader.at_time(topic, begin.since_ms, bounds)
    else:
        starts = dict.fromkeys(bounds, begin.offset or 0)
    chosen = {p: (max(starts[p], bound.start), bound.end) for p, bound in bounds.items() if p in starts}
    return {p: (start, end) for p, (start, end) in chosen.items() if start < end}
