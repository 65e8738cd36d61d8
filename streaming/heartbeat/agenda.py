"""When to look at which node again, so that a tick touches only those whose time has come."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Dated(Protocol):
    """What has a place in an agenda."""

    queued_ms: int | None
    """When it is looked at; None: not at all. For the agenda alone."""


Item = TypeVar("Item", bound=Dated)


class Agenda(Generic[Item]):
    """A heap of times. An item is looked at not later than it was asked for, perhaps earlier: a beat that puts a time
    off leaves the earlier one in place, and whoever looks then says when to look again. So a beat costs no turn of the
    heap, and a node that beats once a second makes one in every few seconds.

    It holds each item once, and briefly a second time where one is brought forward.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Item]] = []
        self._number = itertools.count()

    def look_at(self, item: Item, at_ms: int) -> None:
        """Not later than then."""
        if item.queued_ms is None or at_ms < item.queued_ms:
            item.queued_ms = at_ms
            heapq.heappush(self._heap, (at_ms, next(self._number), item))

    def due(self, now_ms: int) -> Iterator[Item]:
        """Those whose time has come, each once; they may be put back for later meanwhile."""
        while self._heap and self._heap[0][0] <= now_ms:
            at_ms, _, item = heapq.heappop(self._heap)
            if item.queued_ms == at_ms:
                item.queued_ms = None
                yield item

    def clear(self) -> list[Item]:
        """Gives all up, and says what there was."""
        items = [item for at_ms, _, item in self._heap if item.queued_ms == at_ms]
        self._heap.clear()
        for item in items:
            item.queued_ms = None
        return items
