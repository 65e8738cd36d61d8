"""The rhythm of a node's beats, learned from its intervals, and how improbable a silence is by it: phi.

Phi-accrual (Hayashibara et al. 2004): phi = -log10 P(a living node is silent for so long). The usual choice for P, a
normal distribution of the intervals, calls a node dead that collects garbage for two seconds. Here the logarithms of
the intervals are taken as logistic, so that intervals are log-logistic: a tail that falls as a power of the silence.
It has two parameters, both learned by exponential weights in constant memory, and a closed form both ways:

    P(T > t) = 1 / (1 + (t / typical) ** (1 / s))        t(phi) = typical * (10 ** phi - 1) ** s

What no such tail tells, the rare long pause, is remembered as it is: the longest silence that the node lived through.
`benchmarks/detector.py` compares this with fixed time-outs and with the normal distribution, and is where the
constants come from.
"""

from __future__ import annotations

from math import exp, log, log10, pi, sqrt

import msgspec

WEIGHT = 0.05
"""Of the newest interval: what is 60 beats ago counts for 1 - 0.95^60 = 5 %."""

LEARNED_AFTER = 10
"""Intervals. Before that only the hard deadline counts."""

LEAST_SPREAD = 0.15
"""Of the logarithm: however steady a node was, beats that come by 15 % early or late are nothing special."""

CLIP = 1.5
"""An interval is learned as no more than e^1.5 = 4.5 times, and no less than a 4.5th of, the typical one: one pause
must not make the next silence look usual. `longest_ms` remembers it."""

SUSPECT_PHI = 4.0
DOWN_PHI = 8.0

LEAST_SUSPECT_MS = 1_000
LEAST_DOWN_MS = 3_000
"""Whatever the rhythm: a host that swaps, or a virtual machine that is moved, stands still for a second or two."""

MARGIN = 1.5
"""A silence is called DOWN by phi only when so many times as long as the longest that the node lived through."""

LONGEST_HALVED_MS = 24 * 3_600_000
"""So long after it, the longest silence counts for half: a pause that comes daily is remembered."""

_SCALE = sqrt(3) / pi
"""Standard deviation of a logistic distribution to its parameter s."""


class Rhythm(msgspec.Struct):
    """What was learned of one node."""

    beats: int = 0
    """Intervals learned, of the process that beats now; counted to `LEARNED_AFTER` and a bit."""
    middle: float = 0.0
    """Mean of the logarithm of the interval in ms."""
    variance: float = 0.0
    """Of that logarithm."""
    longest_ms: float = 0.0
    """The longest silence that it lived through, as of `longest_at_ms`; it fades."""
    longest_at_ms: int = 0

    def learn(self, interval_ms: float, at_ms: int) -> None:
        """An interval between two beats of a living process."""
        self.survived(interval_ms, at_ms)
        value = log(interval_ms) if interval_ms > 1.0 else 0.0
        if self.beats == 0:
            self.beats, self.middle, self.variance = 1, value, 0.0
            return
        off = min(CLIP, max(-CLIP, value - self.middle)) if self.beats >= LEARNED_AFTER else value - self.middle
        self.beats = beats = min(self.beats + 1, 1_000)
        weight = max(1 / beats, WEIGHT)
        self.middle += weight * off
        self.variance = (1 - weight) * (self.variance + weight * off * off)

    def survived(self, silent_ms: float, at_ms: int) -> None:
        """It was silent for so long, and lived."""
        if silent_ms > self.longest(at_ms):
            self.longest_ms, self.longest_at_ms = silent_ms, at_ms

    def begin(self) -> None:
        """Another process beats from now on: its interval may be another, its host's pauses are the same."""
        self.beats, self.middle, self.variance = 0, 0.0, 0.0

    def longest(self, now_ms: int) -> float:
        """The longest silence that it lived through, as far as it still counts."""
        if not self.longest_ms:
            return 0.0
        return float(self.longest_ms * 0.5 ** (max(0, now_ms - self.longest_at_ms) / LONGEST_HALVED_MS))

    @property
    def known(self) -> bool:
        """Enough was learned to judge by."""
        return self.beats >= LEARNED_AFTER

    @property
    def _s(self) -> float:
        return _SCALE * sqrt(self.variance + LEAST_SPREAD * LEAST_SPREAD)

    def phi(self, silent_ms: float) -> float | None:
        """How improbable it is that it lives and is silent for so long; 1 is one in ten, 8 one in a hundred million.
        None before enough was learned."""
        if not self.known:
            return None
        if silent_ms <= 1.0:
            return 0.0
        # log10(1 + x), x = exp(exponent): by its larger part where x itself would overflow
        exponent = (log(silent_ms) - self.middle) / self._s
        return exponent / log(10) if exponent > 40 else log10(1.0 + exp(exponent))

    def silence(self, phi: float) -> float:
        """The silence, in ms, at which phi is reached."""
        exponent = self.middle + self._s * phi * log(10)
        return exp(exponent) if exponent < 40 else exp(40)

    def suspect_ms(self, deadline_ms: int) -> int:
        """Silence from which it is SUSPECT; at the latest with the hard deadline."""
        if self.beats < LEARNED_AFTER:
            return deadline_ms
        return min(deadline_ms, max(LEAST_SUSPECT_MS, int(self.silence(SUSPECT_PHI))))

    def down_ms(self, deadline_ms: int, now_ms: int) -> int:
        """Silence from which it is DOWN; at the latest with the hard deadline."""
        if self.beats < LEARNED_AFTER:
            return deadline_ms
        by_phi = max(LEAST_DOWN_MS, self.silence(DOWN_PHI), MARGIN * self.longest(now_ms))
        return min(deadline_ms, int(by_phi))
