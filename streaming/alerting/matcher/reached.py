"""How far each partition was evaluated, in time of receipt: what the manager may conclude silence from. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

UNKNOWN = -1


class Reached:
    """Of each partition the time of receipt, in ms, up to which every log was evaluated.

    That is when the last record was received (bounded by when it was appended, so that no wild clock of an
    accumulator counts), or, where the next record to read was the end of the partition, when that was asked. It never
    goes back, but is not known again for partitions that are read anew.
    """

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._reached_ms: dict[int, int] = {}
        self._busy: set[int] = set()

    def begin(self, committed: Mapping[int, int]) -> None:
        """Partitions are read from these offsets; below 0: there is none, they are read from their beginning."""
        for partition, offset in committed.items():
            self._next[partition] = max(offset, UNKNOWN)
            self._reached_ms.pop(partition, None)

    def read(self, partition: int, next_offset: int, received_ms: int) -> None:
        """Everything before `next_offset` was evaluated."""
        self._next[partition] = next_offset
        self._reached_ms[partition] = max(self._reached_ms.get(partition, 0), received_ms)
        self._busy.add(partition)

    def idle(self) -> list[int]:
        """Partitions of which nothing was read since this was last asked: their ends should be looked for."""
        found = sorted(self._next.keys() - self._busy)
        self._busy.clear()
        return found

    def ends(self, partition: int, first: int, end: int, at_ms: int) -> None:
        """At this time the partition's records were those from `first` to before `end`."""
        if partition in self._next and max(self._next[partition], first) >= end:
            self._reached_ms[partition] = max(self._reached_ms.get(partition, 0), at_ms)

    def told(self) -> dict[int, int]:
        """Partitions of which it is known."""
        return dict(self._reached_ms)

    def forget(self, partitions: Collection[int]) -> None:
        """The partitions are no longer in hand."""
        for partition in partitions:
            self._next.pop(partition, None)
            self._reached_ms.pop(partition, None)
            self._busy.discard(partition)
