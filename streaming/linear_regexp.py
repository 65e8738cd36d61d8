r"""Regular expressions that are searched in time linear in the text, whatever the pattern and the text: RE2.

Python's `re` tries alternatives one after the other: `(a+)+$` over thirty letters takes minutes, and log lines are
written by strangers. RE2 follows all alternatives at once. It has no look-around and no back-references, which are
what cannot be done so. Texts are bytes; patterns read them as UTF-8, and what is no UTF-8 matches no character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import re2

Span = tuple[int, int]

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}
_TOKEN = re.compile(
    r"""
      \\u[0-9A-Fa-f]{4}
    | \\[\s\S]
    | \[\^?\]?(?:\\[\s\S]|\[:\w+:\]|[^\]\\])*\]
    | \(\?a:
    | \{,\d+\}
    | [\s\S]
    """,
    re.VERBOSE,
)
"""A pattern's smallest parts, as far as they differ between `re` and RE2 or stand for no text."""
_ASSERTIONS = frozenset(("^", "$", r"\A", r"\z", r"\b", r"\B"))


class LinearRegexp:
    """A compiled pattern.

    Raises:
        ValueError: RE2 cannot read it; the text says which part.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            self._compiled = re2.compile(source.encode("utf-8", "surrogatepass"), options=_OPTIONS)
        except re2.error as error:
            what = error.args[0] if error.args else error
            raise ValueError(what.decode("utf-8", "replace") if isinstance(what, bytes) else str(what)) from error

        self._names = [(name.decode(), group) for name, group in self._compiled.groupindex.items()]

    def spans(self, text: bytes, start: int = 0, end: int | None = None) -> Iterator[Span]:
        """Where it is found in `text[start:end]`, from left to right, not overlapping."""
        for match in self._compiled.finditer(text, start, end):
            yield match.span()

    def spans_of_groups(self, text: bytes) -> Iterator[Span]:
        """The same of that one of its groups which took part."""
        for match in self._compiled.finditer(text):
            yield match.span(match.lastindex)

    def named_spans(self, text: bytes) -> tuple[dict[str, Span], int] | None:
        """Of the first match: where its named groups that took part are, and where it ends; None: there is none."""
        match = self._compiled.search(text)
        if match is None:
            return None
        spans = {name: match.span(group) for name, group in self._names}
        return {name: span for name, span in spans.items() if span[0] >= 0}, match.end()

    def found_in(self, text: bytes) -> bool:
        """Whether it is found at all."""
        return self._compiled.search(text) is not None


def from_python(pattern: re.Pattern[str]) -> str:
    r"""A pattern of `re` as RE2 reads it: `\Z`, `\s`, `\uXXXX`, `(?a:`, `{,n}` and flags are written otherwise.

    What RE2 has not, `LinearRegexp` refuses.
    """
    flags = "".join(letter for flag, letter in _FLAGS.items() if pattern.flags & flag)
    source = _translated(pattern.pattern, _in_re2)
    return f"(?{flags}){source}" if flags else source


def literal(text: str) -> str:
    """A pattern that is found where this text is."""
    escaped: bytes = re2.escape(text.encode("utf-8", "replace"))
    return escaped.decode()


def has_word_boundaries(source: str) -> bool:
    r"""Whether a pattern has `\b` or `\B`, which know only ASCII's words in RE2."""
    return any(token[0] in (r"\b", r"\B") for token in _TOKEN.finditer(source))


def without_assertions(source: str) -> str:
    r"""A pattern of RE2 without `^`, `$`, `\b` and their like: it matches where `source` does, and maybe elsewhere."""
    return _translated(source, lambda token: "" if token in _ASSERTIONS else token)


def _translated(source: str, each: Callable[[str], str]) -> str:
    return "".join(each(token[0]) for token in _TOKEN.finditer(source))


def _in_re2(token: str) -> str:
    if token.startswith("[") and len(token) > 1:
        return _ESCAPE.sub(_in_class_of_re2, token)
    if token.startswith(r"\u") and len(token) > 2:
        return rf"\x{{{token[2:]}}}"
    if token.startswith("{,"):
        return "{0" + token[1:]
    return _OTHERWISE.get(token, token)


_BLANKS = r"\t\n\v\f\r "
r"""RE2's own `\s` has no vertical tab."""
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|[\s\S])")
_OTHERWISE = {r"\Z": r"\z", "(?a:": "(?:", r"\s": f"[{_BLANKS}]", r"\S": f"[^{_BLANKS}]"}


def _in_class_of_re2(escape: re.Match[str]) -> str:
    if escape[1]:
        return rf"\x{{{escape[1]}}}"
    return _BLANKS if escape[0] == r"\s" else escape[0]
