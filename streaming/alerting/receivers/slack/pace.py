"""How fast Slack is written to: a bucket of posts for each channel, one of edits for each app; shared by receivers.

Slack takes one new message a second for each channel and short bursts, and at least 50 edits a minute ("tier 3") of
one app in one workspace. Receivers that write into one channel share its bucket, whatever threads they are in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from streaming.alerting.receivers.base import Undelivered

POSTS_PER_S = 1.0
BURST_S = 3.0
"""New messages: three seconds' worth at once."""

EDITS_PER_POST = 50 / 60
EDIT_BURST_S = 12.0
"""Edits: 50 a minute, ten of them at once."""

SHORTEST_S = 0.001
"""A shorter wait is none: below it, rounding may leave a wait that no clock can wait for."""


class Bucket:
    """A token bucket: `burst_s` seconds' worth at once, then `per_s` tokens a second. Thread-safe.

    `only_this`: who must wait for a token holds nothing else up.
    """

    def __init__(self, per_s: float, burst_s: float, clock: Callable[[], float], *, only_this: bool = False) -> None:
        self._lock, self.only_this = threading.Lock(), only_this
        self.fill_at(per_s, burst_s)
        self._clock, self._tokens, self._at, self._held_until = clock, self._size, clock(), float("-inf")

    def fill_at(self, per_s: float, burst_s: float) -> None:
        """It fills so fast from now on."""
        with self._lock:
            self._per_s, self._size = per_s, max(1.0, burst_s * per_s)

    def take(self) -> None:
        """Takes a token.

        Raises:
            Undelivered: none is there; it says how long to wait.
        """
        with self._lock:
            now = self._clock()
            self._tokens = min(self._size, self._tokens + (now - self._at) * self._per_s)
            self._at = now
            wait_s = max(self._held_until - now, (1 - self._tokens) / self._per_s)
            if wait_s < SHORTEST_S:
                self._tokens -= 1
                return
        raise Undelivered("paced", wait_s=wait_s, only_this=self.only_this)

    def hold(self, wait_s: float) -> None:
        """Nobody takes one for so long: Slack said so."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + wait_s)


@dataclass
class Paces:
    """The buckets of this process."""

    _buckets: dict[tuple[str, ...], Bucket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def posts(self, api_url: str, channel: str, per_s: float, clock: Callable[[], float] = time.monotonic) -> Bucket:
        """The bucket of a channel; who asked last says how fast it fills."""
        bucket = self._one(("posts", api_url, channel.removeprefix("#")), lambda: Bucket(per_s, BURST_S, clock))
        bucket.fill_at(per_s, BURST_S)
        return bucket

    def edits(self, api_url: str, token: str, per_s: float, clock: Callable[[], float] = time.monotonic) -> Bucket:
        """The bucket of an app's edits. An edit that must wait holds no new message up."""
        edits_per_s = per_s * EDITS_PER_POST
        return self._one(("edits", api_url, token), lambda: Bucket(edits_per_s, EDIT_BURST_S, clock, only_this=True))

    def _one(self, key: tuple[str, ...], make: Callable[[], Bucket]) -> Bucket:
        with self._lock:
            return self._buckets.setdefault(key, make())


SHARED = Paces()
