"""The time at which a log counts: its own, within bounds of when it was received (design decision 8)."""

from __future__ import annotations

from typing import Final

LATEST_MS: Final = 3_600_000
"""A log that was received more than an hour after its own time counts as an hour old: a file of 2005 that is replayed
moves no window of 2005, and a buffer that was cut off for less than an hour counts where it belongs."""

EARLIEST_MS: Final = 60_000
"""One from more than a minute ahead counts as a minute ahead: clocks of machines part by seconds, a clock in 2099 is
wrong."""


def clamped_ms(event_ms: int, received_ms: int) -> int:
    """The log's own time, but at most an hour before and a minute after it was received."""
    return min(max(event_ms, received_ms - LATEST_MS), received_ms + EARLIEST_MS)
