r"""Ruby's regular expressions, said in Python's `re`, as far as both have the same.

What `re` reads otherwise is translated (`\h`, `\z`, `\Z`, `(?<name>`, the ASCII meaning of `\d`, `\s` and `\w`);
what it cannot say is refused, never left to mean something else. Source: Ruby's documentation, "Regexp".
"""

from __future__ import annotations

import re

_ESCAPES = {
    "A": r"\A",
    "Z": r"(?=\n?\Z)",
    "z": r"\Z",
    "h": "[0-9a-fA-F]",
    "H": "[^0-9a-fA-F]",
    **{letter: rf"(?a:\{letter})" for letter in "dDsSwW"},
    **{letter: rf"\{letter}" for letter in "bBnrtfvaxu123456789"},
}
_ESCAPES_IN_CLASS = {
    "h": "0-9a-fA-F",
    **{letter: rf"\{letter}" for letter in "dDsSwWbnrtfvaxu"},
}
_GROUP = re.compile(r"\(\?(?:<[=!]|[=!:>]|i?[:)]|i?-i[:)])")
_NAMED = re.compile(r"\(\?<([A-Za-z_][A-Za-z0-9_]*)>")
_REFERENCE = re.compile(r"\\k<([A-Za-z_][A-Za-z0-9_]*)>")


def compile_ruby(pattern: str, *, ignore_case: bool = False, dot_matches_all: bool = False) -> re.Pattern[str]:
    """Compiles Ruby's `/pattern/`. `^` and `$` are those of lines, as in Ruby.

    Raises:
        ValueError: it is no regular expression, or one that is not understood here.
    """
    flags = re.MULTILINE | (re.IGNORECASE if ignore_case else 0) | (re.DOTALL if dot_matches_all else 0)
    try:
        return re.compile(to_python(pattern), flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression that is understood here: {error}") from error


def to_python(pattern: str) -> str:
    """The same expression for `re`, with `re.MULTILINE`. Raises ValueError."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            piece, at = _escape(pattern, at)
        elif char == "[":
            piece, at = _character_class(pattern, at)
        elif pattern.startswith("(?", at):
            piece, at = _group(pattern, at)
        elif pattern.startswith("}+", at):
            raise ValueError(f"'}}+' in {pattern!r} is a repetition in Ruby and possessive elsewhere; write (?:..)+")
        else:
            piece, at = char, at + 1
        out.append(piece)
    return "".join(out)


def _escape(pattern: str, at: int) -> tuple[str, int]:
    if reference := _REFERENCE.match(pattern, at):
        return f"(?P={reference[1]})", reference.end()
    return _escaped(pattern, at, _ESCAPES), at + 2


def _escaped(pattern: str, at: int, known: dict[str, str]) -> str:
    char = pattern[at + 1 : at + 2]
    if not char:
        raise ValueError(f"{pattern!r} ends with a backslash")
    if char in known:
        return known[char]
    if char.isalnum():
        raise ValueError(f"\\{char} in {pattern!r} is not understood here")
    return re.escape(char)


def _group(pattern: str, at: int) -> tuple[str, int]:
    if named := _NAMED.match(pattern, at):
        return f"(?P<{named[1]}>", named.end()
    if plain := _GROUP.match(pattern, at):
        return plain[0], plain.end()
    raise ValueError(f"{pattern[at : at + 5]!r} in {pattern!r} is not understood here")


def _character_class(pattern: str, at: int) -> tuple[str, int]:
    start = at
    at += 2 if pattern.startswith("[^", at) else 1
    out = [pattern[start:at]]
    ascii_only = False
    while True:
        char = pattern[at : at + 1]
        if not char:
            raise ValueError(f"[ in {pattern!r} is not closed")
        if char == "]" and len(out) > 1:
            break
        if char in "[]" or pattern.startswith(("&&", "--"), at):
            raise ValueError(f"{pattern[at : at + 2]!r} within [..] of {pattern!r} is not understood here")
        if char == "\\":
            out.append(_escaped(pattern, at, _ESCAPES_IN_CLASS))
            ascii_only = ascii_only or pattern[at + 1] in "dDsSwW"
            at += 2
        else:
            out.append(re.escape(char) if char in "|~&" else char)
            at += 1
    text = "".join(out) + "]"
    return (f"(?a:{text})" if ascii_only else text), at + 1
