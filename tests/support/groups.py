"""How far a consumer group has come in a topic, asked as the platform's own readers ask: again where a leader or a
coordinator has only just been chosen."""

from __future__ import annotations

from typing import NamedTuple

from streaming.kafka.ranges import RangeReader
from streaming.settings import Settings


class Place(NamedTuple):
    """Of a group in a partition: the offset it goes on at (0 where it has committed nothing), and the topic's end."""

    committed: int
    end: int


def places(settings: Settings, topic: str, group: str) -> dict[int, Place]:
    """By partition; `topic` and `group` without their prefixes."""
    name = settings.topic(topic)
    with RangeReader(settings) as reader:
        bounds = reader.bounds_of(name)
        committed = reader.committed(settings.group(group), name, list(bounds))
    return {p: Place(max(0, committed[p]), end) for p, (_, end) in bounds.items()}


def lag(settings: Settings, topic: str, group: str) -> int:
    """Records that the group has not committed."""
    return sum(place.end - place.committed for place in places(settings, topic, group).values())
