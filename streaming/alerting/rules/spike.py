"""Rules of kind `spike`: many more logs than the same source had before."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from streaming.alerting.rules.base import Duration
from streaming.alerting.rules.log_rule import WindowRule


class SpikeRule(WindowRule):
    """Fires when a group's window holds at least `factor` times what its windows held on average in the time of
    `baseline` before it, and at least `min_count` logs. A group that is younger than `baseline` cannot spike."""

    kind: Literal["spike"]
    factor: float = Field(3.0, gt=1, allow_inf_nan=False, description="how many times the usual fires it")
    baseline: Duration = Field(le=7 * 86_400, description="length of the past that it is compared with, such as 1h")
    min_count: int = Field(10, ge=1, description="fewer logs than so many in the window are no spike")

    @model_validator(mode="after")
    def _is_longer(self) -> SpikeRule:
        if self.baseline < 2 * self.window:
            raise ValueError("baseline: is the past of at least two windows")
        return self
