"""From measurements over time to how the pipeline stands. Pure: the clocks come with each measurement."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from streaming.pipeline.messages import PipelineStatus, WorkerProgress

MINUTE_MS = 60_000

LONGEST_GAP_MS = 30_000
"""Between two measurements. What lies in a longer gap is not known: Kafka was away, or this process was; nobody could
have made progress then, so none of it counts as standing still. Six of the usual intervals; where the interval is
longer, six of that."""

GAP_INTERVALS = 6


class Place(NamedTuple):
    """A partition that a worker reads."""

    topic: str
    partition: int


class Reading(NamedTuple):
    """How far a worker is on one partition."""

    position: int
    """The next offset that it will read, as it has committed it; -1: it has committed nothing."""
    lag: int
    """Offsets from the first record that it has not read to the end of what is committed; 0 where there is none."""
    oldest_ms: int | None
    """When that first record was appended; None: there is none, or it could not be read."""


@dataclass(frozen=True)
class Measurement:
    """What was measured at one time: `at_ms` by the wall clock, `steady_ms` by one that nobody sets."""

    at_ms: int
    steady_ms: int
    workers: Mapping[str, Mapping[Place, Reading]]
    logs_end: int
    """Sum of the end offsets of topic `logs`."""
    dead_letters_end: int


@dataclass(frozen=True)
class _Progress:
    """What is remembered of one worker."""

    positions: Mapping[Place, int]
    lag: int
    still_ms: int
    behind_ms: int
    """How long it has been behind without a pause: the age of its oldest record where that cannot be read."""


class PipelineHealth:
    """Takes in one measurement after the other. Remembers a minute of them, and of each worker where it was last."""

    def __init__(self, interval_s: float = 0.0) -> None:
        """`interval_s`: so often is measured."""
        self._longest_gap_ms = max(LONGEST_GAP_MS, GAP_INTERVALS * int(interval_s * 1000))
        self._workers: dict[str, _Progress] = {}
        self._ends: deque[tuple[int, int, int]] = deque()
        """Steady time, end of the logs, end of the dead letters; of the last minute."""
        self._before_ms: int | None = None

    def take(self, measured: Measurement) -> PipelineStatus:
        """How the pipeline stands by this measurement and those before it."""
        passed_ms = 0 if self._before_ms is None else measured.steady_ms - self._before_ms
        passed_ms = passed_ms if passed_ms <= self._longest_gap_ms else 0
        self._before_ms = measured.steady_ms
        self._workers = {
            worker: _following(self._workers.get(worker), readings, passed_ms)
            for worker, readings in measured.workers.items()
        }
        workers = {
            worker: WorkerProgress(
                lag=progress.lag,
                behind_ms=_oldest_ms(measured.workers[worker], measured.at_ms, progress.behind_ms),
                still_ms=progress.still_ms,
            )
            for worker, progress in self._workers.items()
        }
        logs, dead_letters = self._last_minute(measured)
        return PipelineStatus(at_ms=measured.at_ms, workers=workers, logs=logs, dead_letters=dead_letters)

    def _last_minute(self, measured: Measurement) -> tuple[int, int]:
        ends, now = self._ends, (measured.steady_ms, measured.logs_end, measured.dead_letters_end)
        ends.append(now)
        while ends[0][0] < measured.steady_ms - MINUTE_MS:
            ends.popleft()
        # A topic that was made anew begins at 0 again.
        return max(0, now[1] - ends[0][1]), max(0, now[2] - ends[0][2])


def _following(before: _Progress | None, readings: Mapping[Place, Reading], passed_ms: int) -> _Progress:
    """What is remembered of a worker after one more measurement.

    It stands still only where no partition moves: one of many that waits for its turn shows in the age of its oldest
    record.
    """
    positions = {place: reading.position for place, reading in readings.items()}
    lag = sum(reading.lag for reading in readings.values())
    if before is None or not before.lag or not lag:
        return _Progress(positions, lag, 0, 0)
    still_ms = before.still_ms + passed_ms if positions == before.positions else 0
    return _Progress(positions, lag, still_ms, before.behind_ms + passed_ms)


def _oldest_ms(readings: Mapping[Place, Reading], at_ms: int, behind_ms: int) -> int:
    """Age of the oldest record that was not read; the broker's clock, which dated it, may be ahead of this one."""
    behind = [reading for reading in readings.values() if reading.lag]
    ages = [behind_ms if reading.oldest_ms is None else at_ms - reading.oldest_ms for reading in behind]
    return max([0, *ages])
