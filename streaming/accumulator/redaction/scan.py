"""Finds in a chunk's raw bytes which entries, and which of their texts, are worth a look. Pure; it misses none."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

from streaming.accumulator.redaction.finders import CardNumber, Finder
from streaming.accumulator.redaction.rewrite import LEAST_NUMBER, MOST_NUMBER
from streaming.linear_regexp import LinearRegexp, Span

Hits = Iterator[Span] | None
"""By where they begin, one at a time (a chunk may have millions); every text or number in which something is found
touches one of them. None: it may be anywhere."""


class Scan:
    """One search for all of some finders' hints together."""

    def __init__(self, finders: Sequence[Finder]) -> None:
        hints = [finder.hint for finder in finders]
        self._hints = LinearRegexp("|".join(f"(?:{hint})" for hint in hints if hint)) if all(hints) else None
        self._of_numbers = [finder for finder in finders if isinstance(finder, CardNumber)]
        self._is_for_nothing = not finders

    def hits(self, body: bytes, start: int, end: int) -> Hits:
        """Those within `body[start:end]`."""
        if self._is_for_nothing:
            return iter(())
        if self._hints is None:
            return None
        hits = self._hints.spans(body, start, end)
        if not self._of_numbers:
            return hits
        # A number begins with one of two bytes.
        numbers = (_numbers(body, start, end, f, first) for f in self._of_numbers for first in (b"\xcf", b"\xd3"))
        return heapq.merge(hits, *numbers)


def _numbers(body: bytes, start: int, end: int, finder: Finder, first: bytes) -> Iterator[Span]:
    """Bytes that would be a number that the finder finds, if a value began there."""
    at = body.find(first, start, end)
    while at >= 0:
        value = int.from_bytes(body[at + 1 : at + 9], "big")
        if LEAST_NUMBER <= value < MOST_NUMBER and finder.is_number(value):
            yield at, at + 9
        at = body.find(first, at + 1, end)


def places_of_keys(body: bytes, keys: Iterable[bytes]) -> Iterator[Span]:
    """Where texts that are just one of these seem to stand, in order: the byte before each is the last of its head."""
    return heapq.merge(*(_places_of_key(body, key) for key in keys))


def _places_of_key(body: bytes, key: bytes) -> Iterator[Span]:
    heads = (0xA0 + len(key), len(key) % 256)
    at = body.find(key)
    while at >= 0:
        if at and body[at - 1] in heads:
            yield at, at + len(key)
        at = body.find(key, at + 1)


class Cursor:
    """Walks along spans, which come by where they begin."""

    def __init__(self, spans: Iterator[Span]) -> None:
        self._spans = spans
        self._next = next(spans, None)

    @property
    def ended(self) -> bool:
        """Whether there is none left."""
        return self._next is None

    def touches(self, start: int, end: int) -> bool:
        """Whether one of them reaches into `start` to `end`. Must be asked for in order of `start`."""
        while self._next and self._next[1] <= start:
            self._next = next(self._spans, None)
        return self._next is not None and self._next[0] < end


class Either:
    """Two of them as one."""

    def __init__(self, one: Cursor, other: Cursor) -> None:
        self._one, self._other = one, other

    def touches(self, start: int, end: int) -> bool:
        """Whether any of either reaches into `start` to `end`."""
        return self._one.touches(start, end) or self._other.touches(start, end)
