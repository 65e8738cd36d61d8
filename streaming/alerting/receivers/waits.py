"""How long a receiver asks to wait: the header Retry-After, within reason."""

from __future__ import annotations

import math
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

SHORTEST_WAIT_S, LONGEST_WAIT_S = 1.0, 3600.0
"""Bounds of what Retry-After may ask: receivers count by the minute. None of no wait at all, which would be a busy
loop, nor of one that never ends."""


def retry_after_s(text: str | None, now_s: float | None = None) -> float:
    """The wait that Retry-After asks for, as seconds or as an HTTP date; the shortest where it says nothing that can
    be waited for. `now_s` is the time of the answer (None: now)."""
    now_s = time.time() if now_s is None else now_s
    # `max` with the bound first also takes NaN for nothing.
    return min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, _asked_s((text or "").strip(), now_s)))


def _asked_s(text: str, now_s: float) -> float:
    try:
        return float(text or 0)
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(text)
        # A date without a zone is UTC, as HTTP has no other.
        return (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - now_s
    except (ValueError, TypeError, IndexError, OverflowError):
        return math.nan
