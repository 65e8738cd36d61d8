"""Since when Kafka still has everything of a topic."""

from __future__ import annotations

import time
from collections.abc import Mapping

from streaming.kafka.ranges import Bounds, RangeReader
from streaming.kafka.topics import CATALOGUE
from streaming.settings import Settings


def horizon_ms(reader: RangeReader, settings: Settings, topic: str, bounds: Mapping[int, Bounds]) -> int:
    """Whatever was appended before may have been deleted by age or size; 0: nothing was.

    Raises:
        Unavailable: Kafka does not answer.
    """
    return max((_of_partition(reader, settings, topic, p, bound) for p, bound in bounds.items()), default=0)


def _of_partition(reader: RangeReader, settings: Settings, topic: str, partition: int, bound: Bounds) -> int:
    if bound.start == 0:
        return 0
    if bound.start < bound.end:
        for batch in reader.read(topic, {partition: (bound.start, bound.start + 1)}):
            return batch[0].timestamp()[1]
    # Nothing is left. What Kafka deletes from the segment it writes to, it deletes by age alone.
    kept_ms = next(
        (
            int(t.config["retention.ms"])
            for t in CATALOGUE
            if settings.topic(t.name) == topic and "retention.ms" in t.config
        ),
        0,
    )
    return int(time.time() * 1000) - kept_ms
