"""How long to wait before the next attempt."""

from __future__ import annotations

FIRST_S = 0.2
LONGEST_S = 5.0
"""So that work goes on within 5 s of Elasticsearch's return; two requests per 5 s burden nobody."""


def delay_s(attempts: int, retry_after_s: float | None, jitter: float) -> float:
    """Doubles from `FIRST_S` (after the first attempt) to `LONGEST_S`; at least what the server asked for.

    `jitter` in [0, 1) spreads it over the upper half, so that several indexers do not come back together.
    """
    whole = min(LONGEST_S, FIRST_S * 2.0 ** min(attempts - 1, 20))
    return max(whole * (0.5 + jitter / 2), retry_after_s or 0.0)
