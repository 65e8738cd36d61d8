"""Finds card numbers among digits that stand in groups (ISO/IEC 7812-1: 13 to 19 digits, the last a check digit).

Pure, in one pass, with no more in memory than one row of groups: a run may have millions of them, of which each may
begin a row that passes the check (zeros all do).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from streaming.linear_regexp import Span

LEAST_DIGITS: Final = 13
MOST_DIGITS: Final = 19
_GROUP: Final = re.compile(rb"[0-9]+")
_VALUES: Final = bytes(byte & 15 for byte in range(256))
_DOUBLED: Final = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[byte & 15] if byte & 15 < 10 else 0 for byte in range(256))
"""Of a digit's byte: its value, and the digit sum of its double."""


class _Group(NamedTuple):
    """Digits that stand together. `first` and `end` count the digits of the run up to it and with it; `before` and
    `behind` are Luhn's sums of these, with every even place doubled and with every odd one."""

    start: int
    stop: int
    first: int
    end: int
    before: tuple[int, int]
    behind: tuple[int, int]


_NOTHING: Final = _Group(0, 0, 0, 0, (0, 0), (0, 0))


def passes_luhn(digits: bytes) -> bool:
    """Whether the last digit checks the others: every second one counts double, from the last but one on."""
    return (sum(digits[::-2].translate(_VALUES)) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def rows_in_run(text: bytes, start: int, end: int) -> Iterator[Span]:
    """Rows of whole groups that are card numbers, in a run of digits, blanks and hyphens. Overlapping ones are one."""
    return _united(_rows(text, start, end))


def _rows(text: bytes, start: int, end: int) -> Iterator[Span]:
    """From each group on the longest row."""
    may_begin = _may_begin(text, start)
    row: deque[_Group] = deque()
    last = _NOTHING
    for found in _GROUP.finditer(text, start, end):
        if found.end() - found.start() > MOST_DIGITS:  # no row goes over it
            yield from _all_from(text, row)
            last = _NOTHING
            continue
        last = _next(last, *found.span(), found[0])
        while row and last.end - row[0].first > MOST_DIGITS:
            yield from _longest(text, row)
            row.popleft()
        if may_begin or last.start > start:
            row.append(last)
    yield from _all_from(text, row)


def _next(last: _Group, start: int, stop: int, digits: bytes) -> _Group:
    values, doubled = digits.translate(_VALUES), digits.translate(_DOUBLED)
    at_even = sum(doubled[::2]) + sum(values[1::2])
    at_odd = sum(values[::2]) + sum(doubled[1::2])
    if last.end % 2:
        at_even, at_odd = at_odd, at_even
    even, odd = last.behind
    return _Group(start, stop, last.end, last.end + len(digits), last.behind, (even + at_even, odd + at_odd))


def _all_from(text: bytes, row: deque[_Group]) -> Iterator[Span]:
    while row:
        yield from _longest(text, row)
        row.popleft()


def _longest(text: bytes, row: deque[_Group]) -> Iterator[Span]:
    """The longest row from the first group on, if there is one."""
    first = row[0]
    for last in reversed(row):
        if last.end - first.first < LEAST_DIGITS:
            return
        # The last but one is doubled, and every other before: those at places of the parity of the end.
        parity = last.end % 2
        if (last.behind[parity] - first.before[parity]) % 10 == 0 and _may_end(text, last.stop):
            yield first.start, last.stop
            return


def _may_begin(text: bytes, at: int) -> bool:
    before = text[max(at - 2, 0) : at]
    return not (before[-1:].isalpha() or (before[-1:] == b"." and before[:-1].isdigit()))


def _may_end(text: bytes, at: int) -> bool:
    return not text[at : at + 1].isalnum()


def _united(spans: Iterable[Span]) -> Iterator[Span]:
    """Spans by where they begin; those that overlap as one."""
    start = end = -1
    for begin, stop in spans:
        if begin < end:
            end = max(end, stop)
            continue
        if end >= 0:
            yield start, end
        start, end = begin, stop
    if end >= 0:
        yield start, end
