"""When a window fulfils a rule's condition (it is hot): one class for each kind of rule over a window."""

from __future__ import annotations

import math

from streaming.alerting.memory.series import MOST_BUCKETS, Series, WindowSum
from streaming.alerting.rules.error_ratio import ErrorRatioRule
from streaming.alerting.rules.log_rule import WindowRule
from streaming.alerting.rules.spike import SpikeRule
from streaming.alerting.rules.threshold import ThresholdRule
from streaming.alerting.times import length

DAY_MS = 86_400_000

BLOCKS = 60
"""A spike's past is held in sixtieths of its baseline, so that a baseline of seven days costs as much as one of an
hour. With what is kept for windows that are still open, at most 60 + 60 + 3 blocks while the watermark moves: two
windows are a baseline at most."""

CountingRule = ThresholdRule | SpikeRule | ErrorRatioRule


def parts_of(rule: WindowRule) -> int:
    """Buckets of a window: its length, rounded up to whole ones; at most 90."""
    return _buckets(rule.window, rule.bucket_ms)


def _buckets(seconds: float, bucket_ms: int) -> int:
    return max(1, math.ceil(round(seconds * 1000) / bucket_ms))


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


class Judge:
    """What a kind makes of windows."""

    only_grows = False
    """Without another log no window becomes hot, and which ones stay hot is known on arrival."""
    fires_without_logs = False
    """A window may become hot since logs leave it."""
    judges_late = True
    """It can tell of windows that were over long ago, too."""
    least = 1
    """A window of which fewer match is not hot."""
    idle_ms = 0
    """How long a group without logs is remembered beyond its buckets."""

    def take(self, series: Series, index: int, matching: int) -> None:
        """A bucket got so many more."""

    def prune(self, series: Series, now_index: int) -> None:
        """Gives up what no window looks back to any more."""

    def is_hot(self, series: Series, window: WindowSum) -> bool:
        """Whether a window of which at least `least` match fulfils the condition."""
        raise NotImplementedError

    def facts(self, series: Series, window: WindowSum) -> dict[str, object]:  # noqa: ARG002
        """What templates can say of it, beside `count` and `window`."""
        return {}

    def over(self) -> str:
        """Why an incident is over."""
        raise NotImplementedError


class ThresholdJudge(Judge):
    """At least so many."""

    only_grows = True

    def __init__(self, rule: ThresholdRule) -> None:
        self._rule = rule
        self.least = rule.count

    def is_hot(self, series: Series, window: WindowSum) -> bool:  # noqa: ARG002
        """So many are there."""
        return window.matching >= self.least

    def over(self) -> str:
        """Fewer."""
        return f"fewer than {self._rule.count} logs in {length(self._rule.window)}"


class RatioJudge(Judge):
    """At least such a share, of so many that it means something."""

    fires_without_logs = True

    def __init__(self, rule: ErrorRatioRule) -> None:
        self._rule = rule

    def is_hot(self, series: Series, window: WindowSum) -> bool:  # noqa: ARG002
        """The share is reached."""
        return window.all >= self._rule.min_count and window.matching >= self._rule.ratio * window.all

    def facts(self, series: Series, window: WindowSum) -> dict[str, object]:  # noqa: ARG002
        """The share."""
        share = window.matching / max(1, window.all)
        return {"ratio": round(share, 4), "percent": _short(100 * share), "all": window.all}

    def over(self) -> str:
        """A smaller share, or too few logs to tell."""
        share, within = f"{100 * self._rule.ratio:g} %", length(self._rule.window)
        return f"less than {share} of the logs, or fewer than {self._rule.min_count} logs, in {within}"


class SpikeJudge(Judge):
    """Many times the usual."""

    judges_late = False

    def __init__(self, rule: SpikeRule) -> None:
        self._rule = rule
        self.least = rule.min_count
        self._parts = parts_of(rule)
        baseline = _buckets(rule.baseline, rule.bucket_ms)
        self._per_block = math.ceil(baseline / BLOCKS)
        self._blocks = math.ceil(baseline / self._per_block)
        self._kept = self._blocks + math.ceil(2 * self._parts / self._per_block) + 3
        # A group that is silent for days is no new one when it speaks.
        self.idle_ms = max(round(2 * rule.baseline * 1000), DAY_MS)

    def take(self, series: Series, index: int, matching: int) -> None:
        """Counts into the past as well."""
        block = index // self._per_block
        series.blocks[block] = series.blocks.get(block, 0) + matching

    def prune(self, series: Series, now_index: int) -> None:
        """Gives up blocks, at most `MOST_BUCKETS` are left."""
        least = now_index // self._per_block - self._kept
        if series.blocks and (min(series.blocks) < least or len(series.blocks) > MOST_BUCKETS):
            latest = sorted(block for block in series.blocks if block >= least)[-MOST_BUCKETS:]
            series.blocks = {block: series.blocks[block] for block in latest}

    def _usual(self, series: Series, window: WindowSum) -> float:
        """What windows held on average in the baseline: the whole blocks that end before this one begins."""
        until = (window.last - self._parts + 1) // self._per_block
        total = sum(series.blocks.get(block, 0) for block in range(until - self._blocks, until))
        return total * self._parts / (self._blocks * self._per_block)

    def is_hot(self, series: Series, window: WindowSum) -> bool:
        """Many times the usual, of a group that was known all the baseline through."""
        begins_ms = (window.last - self._parts + 1) * self._rule.bucket_ms
        known = series.first_ms <= begins_ms - round(self._rule.baseline * 1000)
        return known and window.matching >= self._rule.factor * self._usual(series, window)

    def facts(self, series: Series, window: WindowSum) -> dict[str, object]:
        """The usual, and how many times that it is; the latter is empty where there usually is nothing."""
        usual = self._usual(series, window)
        return {"usual": _short(usual), "factor": _short(window.matching / usual) if usual else ""}

    def over(self) -> str:
        """Not so many."""
        rule = self._rule
        return f"fewer than {rule.factor:g} times the usual, or than {rule.min_count} logs, in {length(rule.window)}"


def judge_of(rule: CountingRule) -> Judge:
    """The one for a rule."""
    if isinstance(rule, ThresholdRule):
        return ThresholdJudge(rule)
    return RatioJudge(rule) if isinstance(rule, ErrorRatioRule) else SpikeJudge(rule)
