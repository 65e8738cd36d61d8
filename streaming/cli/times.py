"""Times and lengths of time as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import typer

_LENGTH = re.compile(r"(?:\d{1,9}(?:\.\d{1,3})?(?:s|m|h|d|w))+")
_PART = re.compile(r"([\d.]+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def seconds(text: str) -> float:
    """`90s`, `30m`, `2h`, `1h30m`, `7d`.

    Raises:
        typer.BadParameter: it is no length of time.
    """
    if not _LENGTH.fullmatch(text.strip()):
        raise typer.BadParameter(f"{text!r} is no length of time; write for example 30m, 2h, 1h30m or 7d")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def past_ms(text: str, now_ms: int) -> int:
    """A time in the past: so long ago, or a date or time.

    Raises:
        typer.BadParameter: it is neither.
    """
    return _moment_ms(text, now_ms, -1, "24h (ago)")


def coming_ms(text: str, now_ms: int) -> int:
    """A time to come: in so long, or a date or time.

    Raises:
        typer.BadParameter: it is neither.
    """
    return _moment_ms(text, now_ms, 1, "30m (from now)")


def shown(at_ms: int) -> str:
    """A moment as people read it: to the second, UTC."""
    try:
        return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms after 1970"


def exact(at_ms: int) -> str:
    """A moment to the millisecond, UTC, ISO 8601."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms after 1970"


def _moment_ms(text: str, now_ms: int, sign: int, example: str) -> int:
    if text == "now":
        return now_ms
    if _LENGTH.fullmatch(text.strip()):
        return now_ms + sign * round(seconds(text) * 1000)
    try:
        when = datetime.fromisoformat(text)
        return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time; write {example}, 2026-12-01T22:00Z or 2026-12-01T23:00+01:00 (UTC without a zone)"
        ) from None
