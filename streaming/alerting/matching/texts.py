"""Many texts searched for what many rules ask of them, at once.

A search by RE2 costs some 2 us for the call and 1 to 3 ns a character, however many patterns are joined in it. So the
texts of a batch are joined and searched once for everything that any rule asks for; most of them hold nothing of it.
What is found here is only possible: whoever asks evaluates the rule's conditions whole.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, Generic, TypeVar

from streaming.alerting.rules.conditions import TextCondition
from streaming.linear_regexp import LinearRegexp, literal

T = TypeVar("T")

_ELSEWHERE: Final = re.compile(r"\\[AzQC]|\(\?\w*-")
"""What means another thing in joined texts than alone: the ends of the text, switched off modes, quoted parts."""


def pattern_of(condition: TextCondition) -> str | None:
    """A pattern of RE2 that is found, in its line of a text of many lines, wherever the condition fits; None: there is
    none, or it would be found nearly everywhere."""
    for texts, form in ((condition.contains, "{}"), (condition.prefix, "^{}")):
        if texts and all(texts):
            return _usable("|".join(form.format(literal(text)) for text in texts))
    if condition.matches and not any(_ELSEWHERE.search(source) for source in condition.matches):
        return _usable("|".join(f"(?:{source})" for source in condition.matches))
    return None


def _usable(source: str) -> str | None:
    pattern = f"(?m:{source})"
    try:
        compiled = LinearRegexp(pattern)
    except ValueError:  # too large in this form
        return None
    return None if compiled.found_in(b"") else pattern


class Union:
    """Several patterns as one; as more than one where that would be too large for RE2."""

    def __init__(self, patterns: Sequence[str]) -> None:
        distinct = list(dict.fromkeys(patterns))
        try:
            self._parts = [LinearRegexp("|".join(distinct))]
        except ValueError:
            if len(distinct) < 2:
                raise
            middle = len(distinct) // 2
            self._parts = [*Union(distinct[:middle])._parts, *Union(distinct[middle:])._parts]

    def found_in(self, text: bytes) -> bool:
        """Whether one of them is found."""
        return any(part.found_in(text) for part in self._parts)

    def places(self, texts: Sequence[str]) -> list[int]:
        """Which of the texts may hold one of them, in order."""
        joined = "\n".join(texts).encode("utf-8", "replace")
        same = joined.isascii()
        lengths = [len(text if same else text.encode("utf-8", "replace")) for text in texts]
        starts = list(accumulate((length + 1 for length in lengths), initial=0))
        found: set[int] = set()
        for part in self._parts:
            for begin, end in part.spans(joined):
                # A match that runs on over the next texts may hide theirs.
                found.update(range(bisect_right(starts, begin) - 1, bisect_left(starts, max(end, begin + 1))))
        return sorted(found & set(range(len(texts))))


LEAF: Final = 8
"""So few are asked one by one."""


class Tree(Generic[T]):
    """Finds, of many things that each ask for a pattern, those whose pattern a text may hold: by halves."""

    def __init__(self, things: Sequence[tuple[str, T]]) -> None:
        self._things = [thing for _, thing in things]
        self._halves: tuple[Tree[T], ...] = ()
        if len(things) > LEAF:
            self._union = Union([pattern for pattern, _ in things])
            middle = len(things) // 2
            self._halves = Tree(things[:middle]), Tree(things[middle:])

    def possible(self, text: bytes) -> Iterator[T]:
        """Those that may fit; all others do not."""
        if not self._halves:
            yield from self._things
        elif self._union.found_in(text):
            for half in self._halves:
                yield from half.possible(text)
