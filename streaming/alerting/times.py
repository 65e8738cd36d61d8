"""Lengths of time, and moments, as rule files and people write them."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))


def length(seconds: float) -> str:
    """A length of time as rule files write it: in its largest unit that it is a whole number of."""
    ms = round(seconds * 1000)
    for unit_ms, unit in _UNITS:
        if ms and ms % unit_ms == 0:
            return f"{ms // unit_ms}{unit}"
    return f"{seconds:g}s"


def about(ms: int) -> str:
    """A length of time as people say it: its two largest units."""
    parts: list[str] = []
    for unit_ms, unit in _UNITS:
        if ms >= unit_ms:
            parts.append(f"{ms // unit_ms} {'min' if unit == 'm' else unit}")
            ms %= unit_ms
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def at_time(at_ms: int) -> str:
    """A moment, for people."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
