"""How many bulk requests may be under way and how large they may be: found out from the server's answers. No I/O.

As TCP finds its share of a line (AIMD; RFC 5681): a window of bytes under way grows by a step for each window that was
taken, and is halved when the server says that it is too much: 429 (rejected execution, circuit breaker), 503, a
time-out, a broken connection. All indexers of a cluster do so, and share it without speaking to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streaming.elastic.bulk import MAX_REQUEST_BYTES

KIB: Final = 1024
MIB: Final = 1024 * 1024

MOST_IN_FLIGHT: Final = 4
"""Two keep a server of a few cores busy; four also one that is far away. 4 * `MAX_REQUEST_BYTES` are 32 MiB here."""

USUAL_REQUEST_BYTES: Final = 4 * MIB
"""5,000 usual documents are 3.3 MB: one batch is one request until the window is small."""

LARGEST_WINDOW: Final = MOST_IN_FLIGHT * MAX_REQUEST_BYTES
SMALLEST_WINDOW: Final = 64 * KIB
"""About 100 documents: small enough for a server that is nearly out of memory, and still one fsync for many."""

FIRST_WINDOW: Final = 2 * USUAL_REQUEST_BYTES
STEP: Final = 512 * KIB
"""From the smallest window back to the first one in 16 windows, a few seconds."""

SLOW_S: Final = 2.0
"""An answer that takes longer waited behind others at the server: more under way would only wait there too."""

LONGEST_HOLD_S: Final = 60.0
"""Of a `Retry-After`; one that asks for hours is asked again each minute."""


@dataclass
class Pace:
    """The window, and when it may be used. Times are of one monotonic clock, in seconds."""

    window: float = FIRST_WINDOW
    largest_request: int = MAX_REQUEST_BYTES
    """The most that the server takes, as far as is known: it says so by 413."""
    held_until: float = 0.0
    """Nothing is sent before: the server asked for that."""
    _halved_at: float = float("-inf")

    @property
    def in_flight(self) -> int:
        """How many requests may be under way."""
        return max(1, min(MOST_IN_FLIGHT, int(self.window / USUAL_REQUEST_BYTES)))

    @property
    def request_bytes(self) -> int:
        """How large one may be (a single document may be larger)."""
        return max(1, min(self.largest_request, int(self.window / self.in_flight)))

    def may_send(self, now: float, under_way: int) -> bool:
        """Whether one more may go now."""
        return now >= self.held_until and under_way < self.in_flight

    def taken(self, size: int, seconds: float, full: bool) -> None:
        """The server did a request of `size` bytes. `full`: as many were under way as may be.

        A window that was not used says nothing about a larger one.
        """
        if full and seconds <= SLOW_S:
            self.window = min(LARGEST_WINDOW, self.window + STEP * min(1.0, size / self.window))

    def refused(self, sent_at: float, now: float, retry_after_s: float | None = None) -> bool:
        """It is too much for the server; whether the window became smaller by this.

        Requests that were under way together are refused together, for one reason: they halve the window once.
        """
        if retry_after_s:
            self.held_until = max(self.held_until, now + min(retry_after_s, LONGEST_HOLD_S))
        if sent_at <= self._halved_at:
            return False
        self._halved_at = now
        self.window = max(SMALLEST_WINDOW, self.window / 2)
        return True

    def too_large(self, size: int) -> None:
        """A request of `size` bytes is more than the server takes in one (413); how busy it is does not matter."""
        self.largest_request = max(1, min(self.largest_request, size // 2))
