"""Finds in a chunk's raw bytes which entries, and which of their texts, are worth a look. Pure; it misses none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from streaming.accumulator.redaction.finders import CardNumber, Finder
from streaming.accumulator.redaction.linear_regexp import LinearRegexp, Span
from streaming.accumulator.redaction.rewrite import LEAST_NUMBER, MOST_NUMBER

Hits = list[Span] | None
"""In order; every text or number in which something is found touches one of them. None: it may be anywhere."""


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
            return []
        if self._hints is None:
            return None
        hits = list(self._hints.spans(body, start, end))
        numbers = [span for finder in self._of_numbers for span in _numbers(body, start, end, finder)]
        return sorted(hits + numbers) if numbers else hits


def _numbers(body: bytes, start: int, end: int, finder: Finder) -> Iterator[Span]:
    """Bytes that would be a number that the finder finds, if a value began there."""
    for first in (b"\xcf", b"\xd3"):
        at = body.find(first, start, end)
        while at >= 0:
            value = int.from_bytes(body[at + 1 : at + 9], "big")
            if LEAST_NUMBER <= value < MOST_NUMBER and finder.is_number(value):
                yield at, at + 9
            at = body.find(first, at + 1, end)


def places_of_keys(body: bytes, keys: Iterable[bytes]) -> list[Span]:
    """Where texts that are just one of these seem to stand, in order: the byte before each is the last of its head."""
    found: list[Span] = []
    for key in keys:
        heads = (0xA0 + len(key), len(key) % 256)
        at = body.find(key)
        while at >= 0:
            if at and body[at - 1] in heads:
                found.append((at, at + len(key)))
            at = body.find(key, at + 1)
    return sorted(found)


class Cursor:
    """Parts spans in order by the entries that they touch, which must be asked for in order too."""

    def __init__(self, spans: list[Span]) -> None:
        self._spans, self._next = spans, 0

    def take(self, start: int, end: int) -> list[Span]:
        """Those that touch `start` to `end`."""
        spans, first = self._spans, self._next
        while first < len(spans) and spans[first][1] <= start:
            first += 1
        behind = first
        while behind < len(spans) and spans[behind][0] < end:
            behind += 1
        self._next = first
        return spans[first:behind]
