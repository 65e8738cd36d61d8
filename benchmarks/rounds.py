"""Several contenders, measured in turns: what they reached, and how they stand to one another.

A machine that others share changes its speed by a factor of two within seconds. So each round measures all contenders
one behind the other, only figures of one round are compared, and the median of all rounds counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Run:
    """Documents a second; CPU of the client, microseconds a document; megabytes resident, of all its processes."""

    per_s: float
    cpu_us: float = 0.0
    rss_mb: float = 0.0


@dataclass
class Rounds:
    """The runs of each contender, one for each round, by its name."""

    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, name: str, run: Run) -> None:
        """The contender's run of this round."""
        self.runs.setdefault(name, []).append(run)

    def typical(self, name: str) -> Run:
        """The median of each figure over the rounds; of memory the most."""
        runs = self.runs[name]
        return Run(
            statistics.median(run.per_s for run in runs),
            statistics.median(run.cpu_us for run in runs),
            max(run.rss_mb for run in runs),
        )

    def best(self, name: str) -> Run:
        """The most speed and the least CPU of any round: near to what a machine with nothing else to do would show."""
        runs = self.runs[name]
        return Run(max(run.per_s for run in runs), min(run.cpu_us for run in runs), max(run.rss_mb for run in runs))

    def speed_against(self, name: str, other: str) -> float:
        """How many times as fast as the other; the median of what each round says."""
        return statistics.median(a.per_s / b.per_s for a, b in self._pairs(name, other))

    def cost_against(self, name: str, other: str) -> float:
        """How many times the other's CPU a document takes; the median of what each round says."""
        return statistics.median(a.cpu_us / b.cpu_us for a, b in self._pairs(name, other))

    def _pairs(self, name: str, other: str) -> Iterator[tuple[Run, Run]]:
        return zip(self.runs[name], self.runs[other], strict=True)
