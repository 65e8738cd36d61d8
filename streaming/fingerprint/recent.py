"""A bounded memory of computed values that forgets what was not asked for lately."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(dict[K, V]):
    """`recent[key]` is `compute(key)`, remembered where `keep(key)`; a hit costs what a dict costs.

    Holds at most `2 * limit` values in two generations: when the younger is full it becomes the older, whose
    values come back when they are asked for. So what is asked for often stays, as in an LRU cache, without the
    cost of an order kept at each hit. Several threads may share it: the worst is a value computed twice.
    """

    def __init__(self, compute: Callable[[K], V], limit: int, keep: Callable[[K], bool] | None = None) -> None:
        super().__init__()
        self._compute, self._limit, self._keep = compute, limit, keep
        self._older: dict[K, V] = {}

    def __missing__(self, key: K) -> V:
        older = self._older
        value = older[key] if key in older else self._compute(key)
        if self._keep is not None and not self._keep(key):
            return value
        if len(self) >= self._limit:
            self._older = self.copy()
            self.clear()
        self[key] = value
        return value
