"""Reads durable chunks in order, once each, and tells what between them cannot be read."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from streaming.accumulator.spool.disk import read_around
from streaming.accumulator.spool.segment import Damage, Stored, Walker
from streaming.worker.logs import logger

if TYPE_CHECKING:
    from streaming.accumulator.spool.spool import Extent, Spool

log = logger(__name__)

PATIENCE_S = 60.0
"""How long a read that fails is tried again before the blocks that fail are given up, if others can be read."""


class Reader:
    """For the thread that also reports deliveries."""

    def __init__(self, spool: Spool, start: int, events: int | None) -> None:
        self._spool = spool
        self._extent: Extent | None = None
        self._walker: Walker | None = None
        self._ready: deque[Stored] = deque()
        """Found already: what is lost, and the chunk behind it."""
        self._events = events
        """Of the incarnation below `next_sequence`; None: not known."""
        self.next_sequence = start
        """All below were read."""

    def next(self) -> Stored | None:
        """The next chunk; None when all durable ones were read.

        Where chunks are lost, one stands for them that says so (`Stored.lost`).

        Raises:
            OSError: the disk cannot be read just now; the next call tries again.
        """
        while True:
            try:
                chunk = self._next()
            except OSError:
                if self._was_dropped():
                    continue
                self._spool.note_reading(failed=True)
                raise
            self._spool.note_reading(failed=False)
            if chunk is None:
                return None
            if chunk.lost or self._spool.claim(chunk.sequence):
                self.next_sequence, self._events = chunk.sequence + 1, chunk.events_to
                return chunk

    def _was_dropped(self) -> bool:
        """Whether the segment that could not be read is not there any more."""
        extent = self._spool.extent_with(self.next_sequence)
        return self._extent is not None and (extent is None or extent.name != self._extent.name)

    def _next(self) -> Stored | None:
        if self._ready:
            return self._ready.popleft()
        while (extent := self._spool.extent_with(self.next_sequence)) is not None:
            walker = self._walker_of(extent)
            begin = walker.offset
            found = walker.next(extent.length)
            if found is None:
                walker.offset = extent.length
                return self._lost(extent.last, extent.events_to, extent.length, extent.length - begin)
            if isinstance(found, Damage):
                continue
            if found.sequence < self.next_sequence:
                if found.sequence == self.next_sequence - 1:
                    self._events = found.events_to
                continue
            if found.sequence > self.next_sequence:
                lost = self._lost(found.sequence - 1, found.events_before, found.end - found.size, 0)
                self._ready.append(found)
                return lost
            return found
        return None

    def _lost(self, last: int, events_to: int, end: int, size: int) -> Stored:
        """The first of what stands for the sequences up to `last`; the rest, where there is more, is ready then."""
        events = None if self._events is None else events_to - self._events
        for loss in self._spool.lose(self.next_sequence, last, events):
            self._ready.append(Stored(loss.last, 0, 0, "", b"", "", False, b"", end, size, events_to, loss))
            size = 0
        return self._ready.popleft()

    def _walker_of(self, extent: Extent) -> Walker:
        if self._walker is None or self._extent is None or extent.name != self._extent.name:
            self._walker = Walker(lambda offset, length: self._read(extent.name, offset, length), self._spool.salt)
        self._extent = extent
        return self._walker

    def _read(self, name: str, offset: int, length: int) -> bytes:
        disk = self._spool.disk
        given_up = self._spool.reading_fails_s() > PATIENCE_S
        return read_around(disk, name, offset, length) if given_up else disk.read(name, offset, length)
