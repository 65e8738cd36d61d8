"""Waits for a worker to have read what lies in Kafka."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from streaming.errors import ConfigError, Unavailable
from vigil_airflow.hooks import VigilHook
from vigil_airflow.outcomes import Outcome, Seen
from vigil_airflow.triggers.polling import PollingTrigger

if TYPE_CHECKING:
    from streaming.pipeline.measuring import Measuring


class LagBelowTrigger(PollingTrigger):
    """Fires when a worker's consumer group has fewer than `below` records left to read, over all its topics.

    Asks Kafka itself, so neither the worker nor the heartbeat monitor need run. A topic that is not there yet is
    waited for.

    Args:
        worker: indexer, matcher, manager, notifier or heartbeat-monitor.
        below: records; 1 waits until everything is read.
        target: as `infra.targets.reference` takes it.
        deadline: seconds since the epoch.
    """

    def __init__(self, worker: str, below: int, target: str, deadline: float) -> None:
        super().__init__(deadline)
        self.worker, self.below, self.target = worker, below, target

    def arguments(self) -> dict[str, Any]:
        """As given."""
        return {"worker": self.worker, "below": self.below, "target": self.target}

    @cached_property
    def _measuring(self) -> Measuring:
        from streaming.pipeline.measuring import Measuring

        return Measuring(VigilHook(self.target).settings)

    def look(self) -> Seen:
        """Measures."""
        from streaming.pipeline.measuring import READS

        if self.worker not in READS:
            raise ConfigError(f"no worker {self.worker!r} reads Kafka", remedy=f"There are: {', '.join(READS)}")
        try:
            readings = self._measuring.measure().workers.get(self.worker)
        except Unavailable:
            self.close()  # clients without an answer for long are to be replaced
            raise
        if readings is None:
            return Seen(Outcome.WAITING, f"the topics that {self.worker} reads are not there yet")
        lag = sum(reading.lag for reading in readings.values())
        return Seen(Outcome.MET if lag < self.below else Outcome.WAITING, f"{self.worker} is {lag:,} records behind")

    def close(self) -> None:
        """Disconnects, if it was connected."""
        measuring = self.__dict__.pop("_measuring", None)
        if measuring is not None:
            measuring.close()
