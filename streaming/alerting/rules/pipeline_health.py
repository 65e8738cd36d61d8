"""Rules of kind `pipeline-health`: Vigil's own way from log to document and alert."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from streaming.alerting.rules.base import Duration, RuleBase

CHECK_FIELD = "check"
WORKER_FIELD = "worker"


WorkerName = Literal["indexer", "matcher", "manager", "notifier", "heartbeat-monitor"]


class Check(StrEnum):
    """What is looked at; the value of `CHECK_FIELD` in an incident's group."""

    LAG = "lag"
    DELAY = "delay"
    STALLED = "stalled"
    DEAD_LETTERS = "dead-letters"
    """Of the pipeline as a whole: its group has no worker."""


class PipelineHealthRule(RuleBase):
    """One incident for each check and worker that fails; over when it no longer does.

    Fed by topic `pipeline-status`, every few seconds.
    """

    kind: Literal["pipeline-health"]
    workers: tuple[WorkerName, ...] = Field((), description="the workers it looks at; none given: all")
    max_lag: int | None = Field(None, ge=1, description="records that a worker may be behind")
    max_delay: Duration | None = Field(None, description="how old the oldest record may be that a worker has not read")
    stalled_for: Duration | None = Field(None, description="how long a worker may make no progress while it is behind")
    dead_letter_ratio: float | None = Field(
        None, gt=0, le=1, description="share of dead letters among the records of the last minute"
    )
    min_dead_letters: int = Field(
        10, ge=1, description="dead letters of the last minute below which their share says nothing"
    )

    @model_validator(mode="after")
    def _asks_something(self) -> PipelineHealthRule:
        if not any((self.max_lag, self.max_delay, self.stalled_for, self.dead_letter_ratio)):
            raise ValueError("asks nothing; give max_lag, max_delay, stalled_for or dead_letter_ratio")
        return self

    def looks_at(self, worker: str) -> bool:
        """Whether it is about a worker."""
        return not self.workers or worker in self.workers

    def group(self, check: Check, worker: str) -> dict[str, str]:
        """The group of an incident; of the pipeline as a whole where there is no worker."""
        return {CHECK_FIELD: check.value} | ({WORKER_FIELD: worker} if worker else {})
