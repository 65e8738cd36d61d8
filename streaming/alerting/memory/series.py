"""What one group of a rule over a window holds: counts by bucket of event time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from streaming.alerting.memory.records import WindowRecord
from streaming.alerting.messages import Sample

MOST_BUCKETS = 1_024
"""Buckets that a series holds at most; beyond, the one that was touched longest ago is given up.

In the steady state a series holds those of `KEPT_WINDOWS` windows of at most 90 buckets (`parts_of`): 360. More are
held only while logs come that are older, or while one partition of `logs` is behind the others: 1,024 buckets are 85
minutes of a window of 5 minutes. A bucket takes some 190 bytes, so a series 70 KiB, and 190 KiB at the very most.
"""

KEPT_WINDOWS = 4
"""A bucket is kept for so many windows after it was last touched, so that a late log is counted with those that came
in time."""


@dataclass(slots=True)
class Cell:
    """One bucket."""

    matching: int
    told: int
    """How many of `matching` an incident has counted."""
    all: int
    touched: int
    """When something last came, in buckets of the watermark."""


class WindowSum(NamedTuple):
    """A window: the index of its last bucket, and what it holds."""

    last: int
    matching: int
    all: int


@dataclass(slots=True)
class Series:
    """Counts of one group by bucket, in order of touch, and what became of them.

    Buckets are named by their index: start divided by length. A window is named by its last bucket.
    """

    group: dict[str, str]
    cells: dict[int, Cell] = field(default_factory=dict)
    firing: bool = False
    hot_to: int = 0
    """The last window that fulfilled the condition."""
    recovered_ms: int = 0
    """The watermark when its incident was last over; 0: never."""
    late_ms: int = 0
    """The watermark when it last fired for a time that was over; 0: never."""
    first_ms: int = 0
    """When the first of it was received."""
    blocks: dict[int, int] = field(default_factory=dict)
    """All of `matching`, by longer stretches of time: the past that a spike is compared with."""
    sample: Sample | None = None
    """The last one, shortened, where a condition may be fulfilled without another log."""
    touched: int = 0
    """When something last came, in buckets of the watermark."""

    def add(self, index: int, matching: int, all_: int, touched: int) -> None:
        """Counts into one bucket."""
        self.touched = touched
        cell = self.cells.pop(index, None)
        if cell is None:
            self.cells[index] = Cell(matching, 0, all_, touched)
            return
        cell.matching += matching
        cell.all += all_
        cell.touched = touched
        self.cells[index] = cell

    def prune(self, untouched_since: int) -> None:
        """Gives up buckets that were not touched since, and those beyond `MOST_BUCKETS`."""
        while self.cells:
            oldest = next(iter(self.cells))
            if self.cells[oldest].touched >= untouched_since and len(self.cells) <= MOST_BUCKETS:
                return
            del self.cells[oldest]

    def windows(self, first: int, last: int, parts: int, least: int) -> Iterator[WindowSum]:
        """Of the windows of `parts` buckets that end in the buckets from `first` to `last`, those of which at least
        `least` match."""
        begin = first - parts
        cells = [self.cells.get(index) for index in range(begin + 1, last + 1)]
        matching = list(accumulate((cell.matching if cell else 0 for cell in cells), initial=0))
        if matching[-1] < least:
            return
        all_ = list(accumulate((cell.all if cell else 0 for cell in cells), initial=0))
        for end in range(parts, len(matching)):
            held = matching[end] - matching[end - parts]
            if held >= least:
                yield WindowSum(begin + end, held, all_[end] - all_[end - parts])

    def record(self) -> WindowRecord:
        """As it is kept."""
        base = next(iter(self.cells), 0)
        cells = [
            number
            for index, cell in self.cells.items()
            for number in (index - base, cell.matching, cell.told, cell.all, cell.touched - index)
        ]
        return WindowRecord(
            self.group,
            base,
            cells,
            self.firing,
            self.hot_to,
            self.recovered_ms,
            self.late_ms,
            self.first_ms,
            dict(self.blocks),
            self.sample,
            self.touched,
        )

    @classmethod
    def restored(cls, record: WindowRecord) -> Series:
        """The same, from what was kept."""
        cells = {
            record.base + index: Cell(matching, told, all_, record.base + index + touched)
            for index, matching, told, all_, touched in zip(*[iter(record.cells)] * 5, strict=True)
        }
        return cls(
            record.group,
            cells,
            record.firing,
            record.hot_to,
            record.recovered_ms,
            record.late_ms,
            record.first_ms,
            dict(record.blocks),
            record.sample,
            record.touched,
        )


def clusters(indices: Iterable[int], parts: int) -> Iterator[tuple[int, int]]:
    """First and last of each run of buckets that a window may join."""
    first = last = None
    for index in sorted(indices):
        if first is None or last is None:
            first = index
        elif index - last >= parts:
            yield first, last
            first = index
        last = index
    if first is not None and last is not None:
        yield first, last
