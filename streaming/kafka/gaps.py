"""Records that Kafka's retention deleted before they were read: counted, where the client would skip them silently.

A consumer whose next offset lies before the beginning of the log is set to that beginning (`auto.offset.reset`). No
error comes of it; it shows only as a jump. Not every jump is a loss: transactions leave marks that are never delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Gap(NamedTuple):
    """`lost` records of a partition were deleted, the first one at offset `first`."""

    partition: int
    first: int
    lost: int


class GapWatch:
    """Knows the next offset of each partition that is ours. No I/O, no clock; not thread-safe."""

    def __init__(self) -> None:
        self._expected: dict[int, int] = {}

    def unknown(self, partitions: Iterable[int]) -> list[int]:
        """Partitions of which it must be told by `begin_at` where reading began."""
        return [partition for partition in partitions if partition not in self._expected]

    def begin_at(self, partition: int, committed: int) -> None:
        """Reading goes on at the committed offset; below 0: there is none, so nothing can have been missed."""
        self._expected[partition] = max(-1, committed)

    def read(self, partition: int, first: int, last: int, log_start: Callable[[], int]) -> Gap | None:
        """Records from offset `first` to `last` were read. `log_start` is asked only where there is a jump."""
        expected = self._expected.get(partition, -1)
        self._expected[partition] = last + 1
        if expected < 0 or first <= expected:
            return None
        lost = min(log_start(), first) - expected
        return Gap(partition, expected, lost) if lost > 0 else None

    def idle(self, partition: int, log_start: int) -> Gap | None:
        """Nothing was read, and the log begins at `log_start` now."""
        expected = self._expected.get(partition, -1)
        if expected < 0 or log_start <= expected:
            return None
        self._expected[partition] = log_start
        return Gap(partition, expected, log_start - expected)

    def forget(self, partitions: Iterable[int]) -> None:
        """The partitions are no longer ours."""
        for partition in partitions:
            self._expected.pop(partition, None)
