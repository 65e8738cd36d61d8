"""Which offset may be committed: the highest below which everything is finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Span:
    """Records of one partition that are worked on together, from offset `first` to `last` (gaps are allowed).

    A span is known by its identity: one from before a rebalance never counts for the partition's next time here.
    """

    partition: int
    first: int
    last: int
    finished: bool = False


@dataclass
class _Partition:
    spans: deque[Span] = field(default_factory=deque)
    position: int | None = None
    """Next offset to read by what is finished without a gap; None: nothing finished yet."""
    committed: int | None = None
    """Position last committed by us."""


class OffsetTracker:
    """Spans of one topic, begun in order of offset and finished in any order.

    A partition's position moves only over finished spans that have no unfinished one before them, so a commit
    never passes a record that is not safe (design decision 3). Not thread-safe; no clock, no I/O.
    """

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}

    def begin(self, partition: int, first: int, last: int) -> Span:
        """Takes note of records that were read.

        Raises:
            ValueError: they do not come after what was begun before; the partition was not forgotten in between.
        """
        state = self._partitions.setdefault(partition, _Partition())
        before = state.spans[-1].last if state.spans else (state.position or 0) - 1
        if not before < first <= last:
            raise ValueError(f"span {first}..{last} of partition {partition} does not follow offset {before}")
        span = Span(partition, first, last)
        state.spans.append(span)
        return span

    def finish(self, span: Span) -> None:
        """All records of the span are safe. Of a forgotten span it changes nothing; twice is as good as once."""
        span.finished = True
        state = self._partitions.get(span.partition)
        if state is None:
            return
        while state.spans and state.spans[0].finished:
            state.position = state.spans.popleft().last + 1

    def committable(self, partitions: Iterable[int] | None = None) -> dict[int, int]:
        """Next offset to read per partition, where it moved since the last `committed`; of all or the given ones."""
        wanted = self._partitions if partitions is None else set(partitions) & self._partitions.keys()
        return {
            partition: state.position
            for partition, state in self._partitions.items()
            if partition in wanted and state.position is not None and state.position != state.committed
        }

    def committed(self, positions: dict[int, int]) -> None:
        """These positions were committed."""
        for partition, position in positions.items():
            if partition in self._partitions:
                self._partitions[partition].committed = position

    def forget(self, partitions: Iterable[int]) -> None:
        """The partitions are no longer ours: what is unfinished of them is never committed from here."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    def in_flight(self, partitions: Iterable[int]) -> int:
        """Number of unfinished spans of the partitions."""
        return sum(
            not span.finished
            for partition in partitions
            if partition in self._partitions
            for span in self._partitions[partition].spans
        )
