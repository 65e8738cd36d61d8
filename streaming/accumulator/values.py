"""Values of Fluentd's configuration, as Fluentd reads them: sizes, times, booleans, regular expressions, tags.

Source: Fluentd's documentation, "Configuration Parameter Types" and "Config File Syntax" (match patterns).
Every reader raises ValueError with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_SIZE_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
TagPattern = re.Pattern[str]

_TIME_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def size(text: str) -> int:
    """`768k` in bytes; units k, m, g, t, of 1,024."""
    found = re.fullmatch(r"(\d+)([kmgtKMGT]?)", text)
    if not found:
        raise ValueError(f"{text!r} is no size (a whole number, then k, m, g or t)")
    return int(found[1]) * _SIZE_UNITS[found[2].lower()]


def seconds(text: str) -> float:
    """`0.2s`, `5m` in seconds; a number alone is seconds.

    Fluentd takes the number and drops what it does not know, so that `200ms` is 200 s: refused here.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if found:
        return float(found[1]) * _TIME_UNITS[found[2]]
    if re.fullmatch(r"\d+(?:\.\d+)?ms", text):
        wrong = text.removesuffix("ms")
        raise ValueError(f"Fluentd knows no ms and reads {text!r} as {wrong} s; write {float(wrong) / 1000:g}s")
    raise ValueError(f"{text!r} is no time (a number, then s, m, h or d)")


def boolean(text: str) -> bool:
    """true or yes, false or no; a name alone is true."""
    if text in ("true", "yes", ""):
        return True
    if text in ("false", "no"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def integer(text: str) -> int:
    """A whole number."""
    if not re.fullmatch(r"[+-]?\d+", text):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def port(text: str) -> int:
    """1 to 65535."""
    number = integer(text)
    if not 1 <= number <= 65535:
        raise ValueError(f"{number} is no port (1 to 65535)")
    return number


def text(value: str) -> str:
    """Any text but none at all."""
    if not value:
        raise ValueError("empty")
    return value


def one_of(*words: str) -> Callable[[str], str]:
    """One of these words."""

    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is not supported; {' or '.join(words)}")
        return value

    return read


def regexp(value: str) -> re.Pattern[str]:
    """`/pattern/i` or a bare pattern, in Ruby's syntax as far as Python's has the same.

    `^` and `$` are those of lines, as in Ruby; flag `m` lets `.` match line ends.
    """
    flags = re.MULTILINE
    pattern = value
    if found := re.fullmatch(r"/(.*)/([imx]*)", value, re.DOTALL):
        pattern = found[1].replace(r"\/", "/")
        flags |= re.IGNORECASE if "i" in found[2] else 0
        flags |= re.DOTALL if "m" in found[2] else 0
        flags |= re.VERBOSE if "x" in found[2] else 0
    pattern = re.sub(r"\(\?<(?![=!])", "(?P<", pattern).replace(r"\Z", r"(?=\n?\Z)").replace(r"\z", r"\Z")
    pattern = pattern.replace(r"\h", "[0-9a-fA-F]")
    try:
        return re.compile(pattern, flags)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression that is understood here: {error}") from error


def tag_patterns(argument: str) -> re.Pattern[str]:
    """What a `<match>` or `<filter>` takes: patterns parted by blanks, any of which may match the whole tag.

    `*` is one part of a tag, `**` any number of parts, also none, `{a,b}` one of several.
    """
    patterns = _split(argument)
    if not patterns:
        raise ValueError("a pattern for tags is missing; ** matches all")
    # A tag may hold any character, a line end too.
    return re.compile("|".join(f"(?:{_tag_pattern(p)})" for p in patterns), re.DOTALL)


def _split(argument: str) -> list[str]:
    """At blanks, but not within braces."""
    return re.findall(r"(?:\{[^}]*\}|\S)+", argument)


def _tag_pattern(pattern: str) -> str:
    if re.fullmatch(r"/.*/", pattern):
        return regexp(pattern).pattern
    if "#{" in pattern:
        raise ValueError("Ruby code in a pattern is not supported")
    if pattern.count("{") != pattern.count("}"):
        raise ValueError(f"braces do not match in {pattern!r}")
    out, at, depth = "", 0, 0
    while at < len(pattern):
        if pattern.startswith(".**", at):
            # `a.**` matches `a`, `a.b` and `a.b.c`; `a.**.d` matches `a.d`.
            out, at = out + r"(?:\..*)?", at + 3
        elif pattern.startswith("**.", at):
            out, at = out + r"(?:.*\.)?", at + 3
        elif pattern.startswith("**", at):
            out, at = out + ".*", at + 2
        else:
            char = pattern[at]
            depth += {"{": 1, "}": -1}.get(char, 0)
            special = {"*": r"[^.]*", "{": "(?:", "}": ")", ",": "|" if depth else ","}
            out, at = out + special.get(char, re.escape(char)), at + 1
    return out


def key_path(value: str) -> tuple[str, ...]:
    """`name`, `$.a.b` or `$['a']['b']`: the keys that lead to a value in a record."""
    if not value.startswith("$"):
        return (text(value),)
    if re.fullmatch(r"\$(?:\.[^.\[\]]+)+", value):
        return tuple(value[2:].split("."))
    if re.fullmatch(r"\$(?:\[(?:'[^']+'|\"[^\"]+\")\])+", value):
        return tuple(a or b for a, b in re.findall(r"\['([^']+)'\]|\[\"([^\"]+)\"\]", value))
    raise ValueError(f"{value!r} is no key; name, $.a.b or $['a']['b']")
