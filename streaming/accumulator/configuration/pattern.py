r"""Patterns of a configuration at work: searched by RE2 in linear time wherever RE2 can say what they mean.

The texts come from strangers, and Python's `re` holds the whole process while it tries: `(a+)+$` on thirty letters
takes minutes, `(.*) (.*) (.*)$` on a line of a megabyte days. What RE2 cannot say (look-around, back-references, `\Z`)
is left to `re`; so is `\b` in a text with letters beyond ASCII, which RE2 does not know as such.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from streaming.linear_regexp import LinearRegexp, from_python, has_word_boundaries

_NO_UTF8 = re.compile("[\ud800-\udfff]")
"""What stands for a byte that is no UTF-8 (`surrogateescape`)."""


class Found(NamedTuple):
    """Named groups that took part, and where in the text the match ends."""

    fields: dict[str, str]
    end: int


@dataclass(frozen=True)
class Pattern:
    """One pattern. Two of the same source and flags are equal."""

    python: re.Pattern[str]
    _linear: LinearRegexp | None = field(init=False, compare=False, repr=False)
    _boundaries: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_linear", _in_linear_time(self.python))
        object.__setattr__(self, "_boundaries", has_word_boundaries(self.python.pattern))

    @property
    def is_linear(self) -> bool:
        """Whether RE2 searches it (where it has `\b`: in texts of ASCII)."""
        return self._linear is not None

    def found_in(self, text: str) -> bool:
        """Whether it is found anywhere."""
        linear = self._for(text)
        if linear is None:
            return self.python.search(text) is not None
        return linear.found_in(_utf8(text))

    def search(self, text: str) -> Found | None:
        """The first match; None where there is none."""
        linear = self._for(text)
        if linear is None:
            match = self.python.search(text)
            return None if match is None else Found(_taking_part(match), match.end())
        raw = _utf8(text)
        spans = linear.named_spans(raw)
        if spans is None:
            return None
        found, end = spans
        if len(raw) == len(text):  # ASCII, so bytes are characters
            return Found({name: text[a:b] for name, (a, b) in found.items()}, end)
        place = {byte: len(raw[:byte].decode()) for byte in {end, *(at for span in found.values() for at in span)}}
        return Found({name: text[place[a] : place[b]] for name, (a, b) in found.items()}, place[end])

    def _for(self, text: str) -> LinearRegexp | None:
        return None if self._boundaries and not text.isascii() else self._linear


def _in_linear_time(pattern: re.Pattern[str]) -> LinearRegexp | None:
    try:
        return LinearRegexp(from_python(pattern))
    except ValueError:
        return None


def _utf8(text: str) -> bytes:
    """U+FFFD, one character too, for what is no UTF-8: RE2 takes nothing else for a character."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _NO_UTF8.sub("\ufffd", text).encode()


def _taking_part(match: re.Match[str]) -> dict[str, str]:
    return {name: value for name, value in match.groupdict().items() if value is not None}
