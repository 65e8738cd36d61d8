"""Compacted topics followed as they are written: what a standby needs to take over at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from streaming.kafka.compacted import STALL_S
from streaming.kafka.ranges import RangeReader
from streaming.settings import Settings


class Sink(Protocol):
    """Who keeps what the topics hold."""

    def take(self, name: str, key: bytes, value: bytes | None) -> None:
        """A record of a topic of the catalogue, in the order of its partition; None: the key is deleted."""
        ...

    def forget(self, name: str) -> None:
        """The topic was deleted and made anew: what was taken of it is no more."""
        ...


class CompactedTail:
    """Brings a sink up to date with the committed records of some topics of the catalogue, at each `follow`.

    It asks for the ends and reads up to them, so that nothing runs between two calls.

    Raises (`follow`): Unavailable, as `streaming.kafka.compacted.read_all`; the next call goes on where this one was.
    """

    def __init__(self, settings: Settings, names: Iterable[str], sink: Sink) -> None:
        self._settings, self._sink = settings, sink
        self._reader = RangeReader(settings, "tail", read_within_s=STALL_S)
        self._next: dict[str, dict[int, int]] = {name: {} for name in names}

    def follow(self, *, wait_for_open: bool = False) -> None:
        """Reads to the end as committed now; `wait_for_open`: also what is in open transactions now, once they end."""
        for name in self._next:
            self._follow(name, wait_for_open=wait_for_open)

    def close(self) -> None:
        """Disconnects."""
        self._reader.close()

    def _follow(self, name: str, *, wait_for_open: bool) -> None:
        topic, following = self._settings.topic(name), self._next[name]
        bounds = self._reader.bounds_of(topic, with_open=wait_for_open)
        if any(following.get(partition, 0) > bound.end for partition, bound in bounds.items()):
            following.clear()
            self._sink.forget(name)
        ranges = {p: (max(bound.start, following.get(p, 0)), bound.end) for p, bound in bounds.items()}
        for batch in self._reader.read(topic, ranges):
            for record in batch:
                key, value = record.key(), record.value()
                assert isinstance(key, bytes), "every record of a compacted topic has a key"
                self._sink.take(name, key, value)
                following[record.partition() or 0] = (record.offset() or 0) + 1
        for partition, (_, end) in ranges.items():
            following[partition] = end
