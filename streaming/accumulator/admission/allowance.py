"""How much may be spooled now, so that what is spooled waits no longer for Kafka than it must.

What is spooled goes out in its order. So an event waits for all that was admitted before it; while Kafka takes events,
no more is admitted than Kafka takes in `target_s`, and the rest waits with its senders, where turns can be taken.
Behind an outage there is more than that already: then half of what Kafka takes is admitted, and the backlog shrinks.
When nothing moves, everything is admitted: the disk is the place to wait for Kafka.
"""

from __future__ import annotations

import math
from collections import deque

FLOOR = 4 * 1024 * 1024
"""Always admitted: some 15,000 events, a tenth of a second at full speed. Below that the pump would run dry."""
CREDIT_LIMIT = 1024 * 1024
"""Most that is saved up from what Kafka takes, so that a quiet second does not become a burst."""
STALLED_S = 2.0
"""Kafka counts as away when it has confirmed nothing for so long. Its own pauses are shorter."""
SAMPLE_S = 0.25
SAMPLES = 40
"""Ten seconds: the rate is the best of these, since a quiet time says nothing of what Kafka could take."""


class Allowance:
    """Bytes that may be admitted. `target_s` 0: no limit. Times are seconds of one clock."""

    def __init__(self, target_s: float, now: float) -> None:
        self._target_s = target_s
        self._rates: deque[float] = deque(maxlen=SAMPLES)
        self._sampled_at, self._sampled = now, 0
        self._moved_at, self._settled = now, 0
        self._credit = 0.0
        self._on_credit = False

    def bytes(self, now: float, waiting: int, settled: int) -> float:
        """`waiting` bytes are spooled and not confirmed, `settled` were confirmed since the start."""
        if not self._target_s:
            return math.inf
        self._observe(now, waiting, settled)
        window = max(FLOOR, max(self._rates, default=0.0) * self._target_s)
        self._on_credit = False
        if waiting < window:
            self._credit = 0.0
            return window - waiting
        if now - self._moved_at > STALLED_S:
            return math.inf
        self._on_credit = True
        return max(0.0, self._credit)

    def spend(self, size: int) -> None:
        """So much was admitted, perhaps more than was allowed: the last chunk is not cut."""
        if self._on_credit:
            self._credit -= size

    def _observe(self, now: float, waiting: int, settled: int) -> None:
        moved = settled - self._settled
        if moved or not waiting:
            self._moved_at = now
        self._settled = settled
        self._credit = min(CREDIT_LIMIT, self._credit + moved / 2)
        if now - self._sampled_at >= SAMPLE_S:
            self._rates.append((settled - self._sampled) / (now - self._sampled_at))
            self._sampled_at, self._sampled = now, settled
