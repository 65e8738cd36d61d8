"""When something is next to be looked at, by name."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class Due:
    """Names and the times at which they are due: at most one time for each name."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._at: dict[str, int] = {}

    def at(self, name: str, due_ms: int | None) -> None:
        """From now on this is when it is due; None: never."""
        if due_ms is None:
            self._at.pop(name, None)
        elif self._at.get(name) != due_ms:
            self._at[name] = due_ms
            heapq.heappush(self._heap, (due_ms, name))
            if len(self._heap) > 2 * len(self._at) + 64:
                # What was put off stays in the heap until its old time comes: most of it is that by now.
                self._heap = [(at, known) for known, at in self._at.items()]
                heapq.heapify(self._heap)

    def taken(self, now_ms: int) -> Iterator[str]:
        """Names that are due, the longest due first; each is due no more, unless it is put in again."""
        while self._heap and self._heap[0][0] <= now_ms:
            at, name = heapq.heappop(self._heap)
            if self._at.get(name) == at:
                del self._at[name]
                yield name

    def first(self) -> str:
        """The name that is due first, of those due at the same time the least; it is due no more.

        Raises:
            IndexError: none is.
        """
        while True:
            at, name = heapq.heappop(self._heap)
            if self._at.get(name) == at:
                del self._at[name]
                return name

    @property
    def next_ms(self) -> int | None:
        """No name is due before this."""
        return self._heap[0][0] if self._heap else None
