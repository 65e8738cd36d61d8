"""Dead letters out of Kafka, whole: all of them in their order, or those at known places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType

from streaming.dead_letters.letters import DeadLetter, Place, read_letter
from streaming.kafka import topics
from streaming.kafka.ranges import RangeReader
from streaming.settings import Settings

LEAP = 500
"""Records read and left rather than sought past: a seek costs a round trip and what was fetched already."""


class LetterReader:
    """Reads the topic `dead-letters`; commits nothing. A context manager.

    Raises (every method): Unavailable, where Kafka does not answer or the topic is missing.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic(topics.DEAD_LETTERS)
        self._reader = RangeReader(settings)

    def __enter__(self) -> LetterReader:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._reader.close()

    def earliest(self) -> dict[int, int]:
        """First offset that is still there, by partition."""
        return {partition: bound.start for partition, bound in self._reader.bounds_of(self._topic).items()}

    def scan(self, since_ms: int | None = None) -> Iterator[DeadLetter]:
        """All, or those appended at `since_ms` or later, by partition in order; up to the end as of now."""
        bounds = self._reader.bounds_of(self._topic)
        since = {} if since_ms is None else self._reader.at_time(self._topic, since_ms, bounds)
        for partition, bound in bounds.items():
            for batch in self._reader.read(self._topic, {partition: (since.get(partition, bound.start), bound.end)}):
                yield from map(read_letter, batch)

    def at(self, places: Iterable[Place]) -> Iterator[DeadLetter]:
        """Those at these places, in the order of the places; places where nothing is (any more) are left out."""
        by_partition: dict[int, list[int]] = {}
        for place in sorted(set(places)):
            by_partition.setdefault(place.partition, []).append(place.offset)
        for partition, bound in self._reader.bounds_of(self._topic).items():
            # Reading from an offset that is not there would begin at the earliest.
            there = [offset for offset in by_partition.get(partition, []) if bound.start <= offset < bound.end]
            wanted = set(there)
            for first, last in _stretches(there):
                for batch in self._reader.read(self._topic, {partition: (first, last + 1)}):
                    yield from (read_letter(message) for message in batch if message.offset() in wanted)


def _stretches(offsets: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of rising offsets without a gap of `LEAP`."""
    begin = 0
    for i in range(1, len(offsets) + 1):
        if i == len(offsets) or offsets[i] - offsets[i - 1] > LEAP:
            yield offsets[begin], offsets[i - 1]
            begin = i
