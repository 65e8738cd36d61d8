"""Rules of kind `absence`: logs that should come do not."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from streaming.alerting.rules.base import Duration, FieldName
from streaming.alerting.rules.conditions import Where
from streaming.alerting.rules.log_rule import WindowRule


class AbsenceRule(WindowRule):
    """Fires when for the time of `window` no log of a group came that was seen before, or that `expected` names;
    over when one comes. Silence counts by the matchers' progress, so that an outage of the pipeline is none."""

    kind: Literal["absence"]
    where: Where = Field(Where(), description="which logs are signs of life; none given: every log")
    expected: tuple[dict[FieldName, str], ...] = Field(
        (), description="groups that must come though they were never seen, such as {service.name: billing}"
    )
    forget_after: Duration = Field(
        7 * 86_400, description="a group that is not expected and was silent for so long is forgotten, 7d"
    )

    @model_validator(mode="after")
    def _is_sound(self) -> AbsenceRule:
        for group in self.expected:
            if set(group) != set(self.group_by):
                raise ValueError(f"expected: {group} does not give the fields of group_by: {list(self.group_by)}")
        if len(self.expected) > self.max_groups:
            raise ValueError("expected: are more groups than max_groups")
        if self.resolve_after is not None:
            raise ValueError("resolve_after: leave it out; the next log of the group ends the incident")
        if not self.group_by and not self.where.levels and not self.where.fields:
            raise ValueError("give where, group_by or both: it would fire only when no log at all comes")
        return self
