"""Log text is hostile: how it is cut and made harmless before a person sees it."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn the direction of text, line separators, and lone surrogates."""

_CONTROL_BUT_LINES = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
ELLIPSIS = "…"


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, with an ellipsis where something was cut away."""
    return text if len(text) <= limit else text[: limit - 1] + ELLIPSIS


def one_line(text: str, limit: int) -> str:
    """As one line without control characters, for titles: they become spaces."""
    return cut(" ".join(_CONTROL.sub(" ", text).split()), limit)


def printable(text: str) -> str:
    """For a terminal: control characters are shown as escapes (`\\x1b`), never obeyed."""
    return _CONTROL.sub(lambda m: m[0].encode("unicode_escape").decode(), text)


def without_controls(text: str) -> str:
    """Tabs and line feeds stay; other control characters become U+FFFD."""
    return _CONTROL_BUT_LINES.sub("�", text)
