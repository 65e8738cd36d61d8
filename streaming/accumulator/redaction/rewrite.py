"""Rewrites one entry of a chunk: texts in which rules find something change, all else stays the bytes that came.

The entry is walked, not built, so what is not replaced is as its client wrote it, and no nesting is too deep.
"""

from __future__ import annotations

import heapq
import itertools
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

from streaming.accumulator.redaction.finders import Finder
from streaming.forward.event_time import EXT_TYPE
from streaming.forward.walk import BINARIES, EXTENSIONS, MAPS, TEXTS, Malformed, head_at
from streaming.linear_regexp import Span

_WIDE_NUMBERS = frozenset((0xCF, 0xD3))
"""First bytes of whole numbers of 64 bits; in fewer there are not 13 digits."""
LEAST_NUMBER, MOST_NUMBER = 10**12, 10**19
_PLACES_KEPT = 1024
"""Places of fields whose rules are remembered; field names may be without end."""


@dataclass(frozen=True)
class Rule:
    """A rule at work. `fields` empty: everywhere, keys too."""

    name: str
    replacement: bytes
    fields: tuple[tuple[bytes, ...], ...]
    finder: Finder


Rules = tuple[Rule, ...]
Path = tuple[bytes, ...] | None
"""Keys from the record on; None where no field of a rule can begin."""


_Part = tuple[int, int, bytes]
"""Where a text is replaced, and by what."""
_begin = itemgetter(0)


class Touched(Protocol):
    """What a scan has found."""

    def touches(self, start: int, end: int) -> bool:
        """Whether any of it reaches into `start` to `end`; asked for in order of `start`."""


@dataclass
class _Level:
    """An array or map that the walk is in, or the place of the entry itself."""

    left: int
    """Values still to come, keys among them."""
    is_map: bool
    path: Path
    rules: Rules
    """For what is within; in a map for the value that comes next."""
    key: bytes | None
    """Of the value that comes next, or of the array."""
    for_key: bool
    """Whether that value is looked at for its key's sake."""


class Rewriter:
    """For one set of rules. `counts` gathers how often each has found something."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._everywhere = tuple(rule for rule in rules if not rule.fields)
        self._deepest = max((len(field) for rule in rules for field in rule.fields), default=-1)
        self._at_place: dict[tuple[bytes, ...], Rules] = {}
        self.counts: Counter[str] = Counter()

    def rewrite(self, body: bytes, start: int, end: int, hits: Touched | None) -> bytes:
        """The entry at `body[start:end]`. Only texts that `hits` touch are looked at; None: all are.

        Raises:
            Malformed: it is no whole msgpack.
        """
        out: list[bytes] = []
        copied = at = start
        # Keys that no rule touches matter only to rules of fields.
        read_keys = self._deepest > 0
        levels = [_Level(1, False, None, self._everywhere, None, False)]
        while levels:
            level = levels[-1]
            if level.left == 0:
                levels.pop()
                continue
            level.left -= 1
            head, length, within = head_at(body, at)
            stop = at + head + length
            if head == 0 or stop > end:
                raise Malformed(f"the entry at {start} is cut off")
            touched = hits is None or hits.touches(at, stop)
            is_key = level.is_map and level.left % 2 == 1
            if within:
                levels.append(self._inside(levels, body[at], within, is_key))
            elif is_key and not (touched or read_keys):
                level.key, level.for_key = None, False
            elif is_key or touched or level.for_key:
                new = self._changed(level, body, at, stop - length, stop, is_key, touched)
                if new is not None:
                    out += (body[copied:at], new)
                    copied = stop
            at = stop
        if at != end:
            raise Malformed(f"the entry at {start} is not one value")
        return b"".join((*out, body[copied:end]))

    def _inside(self, levels: list[_Level], first: int, within: int, is_key: bool) -> _Level:
        """The level of an array or map that stands in the last of `levels`."""
        outer, is_map = levels[-1], first in MAPS
        if is_key:
            return _Level(within, is_map, None, self._everywhere, None, False)
        path = outer.path
        if len(levels) == 2 and is_map and not outer.is_map and outer.left == 0:
            path = ()  # the record of [time, record]
        elif outer.is_map:
            path = _below(outer.path, outer.key, self._deepest)
        if is_map:
            return _Level(within, True, path, outer.rules, None, False)
        return _Level(within, False, path, outer.rules, outer.key, outer.for_key)

    def _changed(
        self, level: _Level, body: bytes, at: int, begin: int, stop: int, is_key: bool, touched: bool
    ) -> bytes | None:
        """What takes the place of a value that is no array or map; None: nothing."""
        first = body[at]
        if first in TEXTS or first in BINARIES:
            text = body[begin:stop]
            if is_key:
                self._note_key(level, text, touched)
                found = self._replaced(text, self._everywhere, None) if touched else None
            else:
                found = self._replaced(text, level.rules, level.key) if touched or level.for_key else None
            return None if found is None else _packed(found, first in BINARIES)
        if is_key:
            self._note_key(level, None, touched)
        if not touched:
            return None
        rules = self._everywhere if is_key else level.rules
        if first in _WIDE_NUMBERS:
            return self._number(int.from_bytes(body[at + 1 : stop], "big", signed=first == 0xD3), rules)
        if first in EXTENSIONS and (body[begin] != EXT_TYPE or stop - begin != 9):
            found = self._replaced(body[begin + 1 : stop], rules, None)
            return None if found is None else _packed(found, True)
        return None

    def _note_key(self, level: _Level, key: bytes | None, touched: bool) -> None:
        """Which rules hold for the value that comes next."""
        level.key = key
        level.for_key = key is not None and touched and any(r.finder.is_for_key(key) for r in self._rules)
        if level.path is not None and len(level.path) < self._deepest:
            level.rules = self._rules_at((*level.path, key)) if key is not None else self._rules_at(level.path)

    def _rules_at(self, path: tuple[bytes, ...]) -> Rules:
        found = self._at_place.get(path)
        if found is None:
            if len(self._at_place) >= _PLACES_KEPT:
                self._at_place.clear()
            found = tuple(r for r in self._rules if not r.fields or any(path[: len(f)] == f for f in r.fields))
            self._at_place[path] = found
        return found

    def _replaced(self, text: bytes, rules: Rules, key: bytes | None) -> bytes | None:
        """The text without what rules find in it. Where they overlap, one replacement stands for all of it."""
        found = [spans for rule in rules if (spans := self._spans(rule, text, key))]
        if not found:
            return None
        out = bytearray()
        copied = -1
        for start, end, replacement in heapq.merge(*found, key=_begin) if len(found) > 1 else found[0]:
            if start >= copied:
                out += text[max(copied, 0) : start]
                out += replacement
            copied = max(copied, end)
        out += text[copied:]
        return bytes(out)

    def _spans(self, rule: Rule, text: bytes, key: bytes | None) -> Iterator[_Part] | None:
        """What a rule finds, counted as it is taken; None: nothing. Parts that overlap count once."""
        spans = rule.finder.find(text, key)
        first = next(spans, None)
        return None if first is None else self._counted(rule, first, spans)

    def _counted(self, rule: Rule, first: Span, others: Iterator[Span]) -> Iterator[_Part]:
        behind = -1
        for start, end in itertools.chain((first,), others):
            self.counts[rule.name] += start >= behind
            behind = max(behind, end)
            yield start, end, rule.replacement

    def _number(self, value: int, rules: Rules) -> bytes | None:
        rule = next((r for r in rules if LEAST_NUMBER <= value < MOST_NUMBER and r.finder.is_number(value)), None)
        if rule is None:
            return None
        self.counts[rule.name] += 1
        return _packed(rule.replacement, False)


def _below(path: Path, key: bytes | None, deepest: int) -> Path:
    return (*path, key) if path is not None and key is not None and len(path) < deepest else None


def _packed(text: bytes, binary: bool) -> bytes:
    """A text or binary as msgpack."""
    size = len(text)
    if not binary and size < 32:
        return bytes([0xA0 + size]) + text
    if size < 2**8:
        return struct.pack(">BB", 0xC4 if binary else 0xD9, size) + text
    if size < 2**16:
        return struct.pack(">BH", 0xC5 if binary else 0xDA, size) + text
    return struct.pack(">BI", 0xC6 if binary else 0xDB, size) + text
