"""Which tags a `<match>` or `<filter>` takes.

Source: Fluentd's documentation, "Config File Syntax" (match patterns), and how its GlobMatchPattern reads what that
leaves open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from streaming.accumulator.configuration.ruby_regexp import compile_ruby, to_python


@dataclass(frozen=True)
class TagPattern:
    """Takes a tag that any of `patterns` is found in (each is bound to the tag's begin and end).

    `written` is how the configuration says it.
    """

    patterns: tuple[re.Pattern[str], ...]
    written: str

    def matches(self, tag: str) -> bool:
        """Whether this tag is taken."""
        return any(pattern.search(tag) for pattern in self.patterns)


def tag_pattern(argument: str) -> TagPattern:
    """Reads patterns parted by blanks. None at all takes every tag, as `**` does.

    `*` is one part of a tag, `**` any number of parts, also none, `{a,b}` one of several, `/../` a regular expression.

    Raises:
        ValueError: a pattern that is not understood.
    """
    written = argument.split() or ["**"]
    return TagPattern(tuple(_one(pattern) for pattern in written), " ".join(written))


def _one(pattern: str) -> re.Pattern[str]:
    if pattern.startswith("/"):
        if len(pattern) < 2 or not pattern.endswith("/"):
            raise ValueError(f"{pattern!r} begins with / and does not end with it; a blank parts patterns")
        # As Fluentd builds it: \A and \Z bind only the first and the last of several alternatives.
        to_python(pattern[1:-1])
        return compile_ruby(rf"\A{pattern[1:-1]}\Z")
    for wrong, why in (("#{", "Ruby code outside of double quotes"), ("\\", "a backslash"), ("${", "a placeholder")):
        if wrong in pattern:
            raise ValueError(f"{why} in the pattern {pattern!r} is not supported")
    if pattern.endswith(".") or pattern.count("{") != pattern.count("}"):
        raise ValueError(f"{pattern!r} ends with a dot, or its braces do not match (no blanks within braces)")
    # A tag may hold any character, a line end too.
    try:
        return re.compile(rf"\A(?:{_glob(pattern)})\Z", re.DOTALL)
    except (re.error, RecursionError) as error:
        raise ValueError(f"braces do not match in {pattern!r}") from error


_SEVERAL = {
    # `a.**` takes `a`, `a.b` and `a.b.c`; `a.**.d` takes `a.d`; `**.d` takes `d`, and `x**.d` not `xd`.
    ".**.": r"(?![^.])(?:.*\.|\A)",
    ".**": r"(?![^.]).*",
    "**.": r"(?:.*\.|\A)",
    "**": ".*",
}


def _glob(pattern: str) -> str:
    out, at, depth = "", 0, 0
    while at < len(pattern):
        several = next((s for s in _SEVERAL if pattern.startswith(s, at)), None)
        if several:
            out, at = out + _SEVERAL[several], at + len(several)
            continue
        char = pattern[at]
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth < 0:
            raise ValueError(f"braces do not match in {pattern!r}")
        special = {"*": r"[^.]*", "{": "(?:", "}": ")", ",": "|" if depth else ","}
        out, at = out + special.get(char, re.escape(char)), at + 1
    return out
