"""Slack's mark-up: log text made harmless, times, people and links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from streaming.alerting.text import ELLIPSIS, without_controls

SECTION_LIMIT = 3000
"""Characters of a section's text, by Slack's reference."""

LINK_LIMIT = 1500
"""Characters of a whole link."""

_PARTIAL_ENTITY = re.compile(r"&[a-z]{0,3}$")
_MEMBER_ID = re.compile(r"[UW][A-Z0-9]{4,20}")


def escaped(text: str, limit: int) -> str:
    """For mrkdwn: `&`, `<` and `>` as entities, so that no text mentions, links or pages anybody, and no back-tick, so
    that none begins or ends code; cut to `limit` characters without cutting an entity in two."""
    # What is cut away anyway need not be escaped.
    safe = without_controls(text[: limit + 1]).replace("`", "ˋ")
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(safe) <= limit:
        return safe
    return _PARTIAL_ENTITY.sub("", safe[: limit - 1]) + ELLIPSIS


def line(text: str, limit: int) -> str:
    """The same on one line, within bold text: neither a line feed nor an asterisk of the text's own ends it."""
    return escaped(" ".join(text.replace("*", "∗").split()), limit)


def code_block(text: str) -> str:
    """Within a code block; a fence in the text cannot end it."""
    fence = "```"
    inner = escaped(text, SECTION_LIMIT - 2 * len(fence) - 2)
    return f"{fence}\n{inner}\n{fence}"


def code(text: str, limit: int) -> str:
    """Within a line, as code."""
    return f"`{line(text, limit)}`" if text.strip() else ""


def date(at_ms: int) -> str:
    """Shown in each reader's own time zone."""
    seconds = at_ms // 1000
    if not 0 < seconds < 253402300800:
        return f"{seconds} s after 1970"
    return f"<!date^{seconds}^{{date_short_pretty}} {{time_secs}}|{seconds} s after 1970>"


def link(address: str, text: str) -> str:
    """A link to an address that `links.py` made or a rule names; empty without one, or with one that is too long."""
    if not address or any(mark in address for mark in "|<>") or any(char.isspace() for char in address):
        return ""
    made = f"<{address.replace('&', '&amp;')}|{escaped(text, 100)}>"
    return made if len(made) <= LINK_LIMIT else ""


def mentions(names: Iterable[str], people: Mapping[str, str]) -> str:
    """Calls people; one without a member id is only named. No log text comes here: names are those of the rules."""
    called = []
    for name in names:
        member = people.get(name, "")
        called.append(f"<@{member}>" if _MEMBER_ID.fullmatch(member) else escaped(name, 100))
    return " ".join(called)


def duration(ms: int) -> str:
    """`45 s`, `15 min`, `2 h 5 min`, `3 d 4 h`: two units, the smaller left out where it is nothing."""
    seconds = max(0, ms) // 1000
    for unit, size, below, below_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "", 60)):
        if seconds >= size:
            rest = seconds % size // below_size if below else 0
            return f"{seconds // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{seconds} s"
