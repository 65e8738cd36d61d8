"""Which chunks were spooled lately, to know a resend by: bounded by time and by memory, kept over a restart.

Keys lie in generations. A generation that is full or old enough is followed by the next; the oldest goes when it is
past the window or there are too many. So forgetting costs nothing per key, and a file holds one generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streaming.accumulator.spool.checked_file import read_checked, with_check
from streaming.accumulator.spool.disk import Disk
from streaming.accumulator.spool.segment import KEY_BYTES
from streaming.worker.logs import logger

log = logger(__name__)

WINDOW_S = 600.0
"""Fluentd resends after 190 s without an acknowledgement, and again after as long; this is three times that."""
GENERATIONS = 8
GENERATION_KEYS = 32_768
"""8 x 32,768 keys of some 130 bytes each (the key, and its place in a set that has just grown): 34 MB at most. They
reach ten minutes back at 430 chunks a second, 26 s at 10,000."""
_PREFIX = "recent-ids-"
_TIME_BYTES = 8


class _Generation:
    def __init__(self, number: int, began_s: float) -> None:
        self.number, self.began_s, self.last_s = number, began_s, began_s
        self.keys: set[bytes] = set()
        self.saved = 0
        """How many of the keys are in its file."""

    @property
    def name(self) -> str:
        return f"{_PREFIX}{self.number:012d}"


class ResendWindow:
    """Keys of `KEY_BYTES` each. Times are seconds of the wall clock, since they outlive the process.

    Several threads may ask while one adds.
    """

    def __init__(
        self,
        window_s: float = WINDOW_S,
        generation_keys: int = GENERATION_KEYS,
        generations: int = GENERATIONS,
    ) -> None:
        self._window_s, self._most_keys, self._most = window_s, generation_keys, generations
        self._generations: list[_Generation] = [_Generation(0, 0.0)]
        self._deletable: list[str] = []

    def __contains__(self, key: bytes) -> bool:
        return any(key in generation.keys for generation in self._generations)

    def __len__(self) -> int:
        return sum(len(generation.keys) for generation in self._generations)

    def add(self, keys: Iterable[bytes], now_s: float) -> None:
        """Remembers keys; empty ones are left out."""
        newest = self._generations[-1]
        if not newest.keys:
            newest.began_s = now_s
        for key in filter(None, keys):
            if len(newest.keys) >= self._most_keys:
                newest = self._next(now_s)
            newest.keys.add(key)
            newest.last_s = now_s
        if now_s - newest.began_s > self._window_s / (self._most - 1):
            self._next(now_s)
        self._forget_old(now_s)

    def save(self, disk: Disk) -> None:
        """Makes all keys durable that are not.

        Raises:
            OSError: some are not.
        """
        for generation in list(self._generations):
            count = len(generation.keys)
            if count > generation.saved:
                packed = int(generation.last_s).to_bytes(_TIME_BYTES) + b"".join(generation.keys)
                disk.replace(generation.name, with_check(packed))
                generation.saved = count
        while self._deletable:
            disk.delete(self._deletable[-1])
            self._deletable.pop()

    def load(self, disk: Disk, now_s: float) -> None:
        """What the last process saved. A file that is damaged costs its own keys alone."""
        found = [name for name in disk.names() if name.startswith(_PREFIX) and name[len(_PREFIX) :].isdigit()]
        loaded: list[_Generation] = []
        for name in found:
            raw = read_checked(disk, name)
            keys = b"" if raw is None else raw[_TIME_BYTES:]
            if raw is None or len(keys) % KEY_BYTES:
                log.error("recent chunk ids unreadable; what is sent again of them will be spooled again", file=name)
                self._deletable.append(name)
                continue
            generation = _Generation(int(name[len(_PREFIX) :]), int.from_bytes(raw[:_TIME_BYTES]))
            generation.keys = set(_cut(keys))
            generation.saved = len(generation.keys)
            loaded.append(generation)
        number = max((int(name[len(_PREFIX) :]) for name in found), default=-1) + 1
        self._generations = [*loaded, _Generation(number, now_s)]
        self._forget_old(now_s)

    def _next(self, now_s: float) -> _Generation:
        fresh = _Generation(self._generations[-1].number + 1, now_s)
        self._generations = [*self._generations, fresh]
        return fresh

    def _forget_old(self, now_s: float) -> None:
        kept = self._generations[-self._most :]
        kept = [g for g in kept[:-1] if now_s - g.last_s <= self._window_s] + kept[-1:]
        if len(kept) < len(self._generations):
            gone = [g for g in self._generations if g not in kept]
            self._deletable += [g.name for g in gone if g.saved]
            self._generations = kept


def _cut(keys: bytes) -> Iterator[bytes]:
    return (keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES))
