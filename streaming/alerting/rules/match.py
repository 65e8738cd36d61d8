"""Rules of kind `match`: every log that fits fires."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from streaming.alerting.rules.conditions import Where
from streaming.alerting.rules.log_rule import SelectiveRule


class MatchRule(SelectiveRule):
    """Fires on every log that fits `where`, on arrival, whatever the log's own time.

    A log that fits `resolve_when` resolves the incident of its group.
    """

    kind: Literal["match"]
    resolve_when: Where | None = Field(None, description="logs that resolve the incident of the same group")

    @model_validator(mode="after")
    def _goes_on(self) -> MatchRule:
        if self.hold_for is not None and (self.resolve_after is None or self.resolve_after > self.hold_for):
            raise ValueError("for: give resolve_after as well, not longer: with less quiet than that it goes on")
        return self
