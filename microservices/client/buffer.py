"""The bounded queue between a service's threads and the accumulator; what does not fit is counted."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field

RESERVED_SHARE = 0.1
"""This share of the space is kept for ERROR and FATAL: a flood of INFO must not push out what matters."""

_URGENT = frozenset({"ERROR", "FATAL"})


@dataclass
class Drops:
    """Logs that did not fit, by level, between the first and the last of them."""

    by_level: Counter[str] = field(default_factory=Counter)
    first_ns: int = 0
    last_ns: int = 0

    @property
    def total(self) -> int:
        """How many."""
        return self.by_level.total()


class Buffer:
    """First in, first out, up to `max_bytes`. When full, new logs are refused, so what is kept has no gaps within.

    Safe from any thread, and from a signal handler (its lock may be taken twice by one thread).
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: deque[bytes] = deque()
        self._bytes = 0
        self._under_way = 0
        self._drops = Drops()
        self._changed = threading.Condition(threading.RLock())

    @property
    def empty(self) -> bool:
        """Nothing to take."""
        return not self._entries

    @property
    def waiting(self) -> int:
        """Entries not yet settled: those here, and those taken."""
        with self._changed:
            return len(self._entries) + self._under_way

    def put(self, entry: bytes, level: str, time_ns: int) -> bool:
        """Adds a packed entry; False, and counted, where there is no room for one of its level."""
        room = self._max_bytes if level in _URGENT else int(self._max_bytes * (1 - RESERVED_SHARE))
        with self._changed:
            if self._bytes + len(entry) > room:
                self._drops.first_ns = self._drops.first_ns or time_ns
                self._drops.last_ns = time_ns
                self._drops.by_level[level] += 1
                return False
            self.put_anyway(entry)
            return True

    def put_anyway(self, entry: bytes) -> None:
        """Adds an entry although it may be too much: the report of what was dropped."""
        with self._changed:
            self._entries.append(entry)
            self._bytes += len(entry)
            self._changed.notify_all()

    def take(self, max_entries: int, max_bytes: int) -> list[bytes]:
        """Removes and returns the oldest entries, at least one if there is any; they count as under way."""
        taken: list[bytes] = []
        size = 0
        with self._changed:
            while self._entries and len(taken) < max_entries:
                if taken and size + len(self._entries[0]) > max_bytes:
                    break
                taken.append(self._entries.popleft())
                size += len(taken[-1])
            self._bytes -= size
            self._under_way += len(taken)
        return taken

    def settle(self, entries: int) -> None:
        """So many of the entries taken have been delivered."""
        with self._changed:
            self._under_way -= entries

    def wait(self, timeout_s: float) -> None:
        """Returns when there is something to take, or after the time-out, or when woken."""
        with self._changed:
            if not self._entries:
                self._changed.wait(timeout_s)

    def wake(self) -> None:
        """Ends a `wait`."""
        with self._changed:
            self._changed.notify_all()

    @property
    def dropped(self) -> int:
        """Drops not yet taken by `take_drops`."""
        return self._drops.total

    def take_drops(self) -> Drops | None:
        """What was dropped since the last call; None if nothing was."""
        with self._changed:
            if not self._drops.total:
                return None
            drops, self._drops = self._drops, Drops()
            return drops
