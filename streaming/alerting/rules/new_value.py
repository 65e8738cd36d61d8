"""Rules of kind `new-value` and `new-template`: something that was never seen before."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from streaming.alerting.rules.base import Duration, FieldName
from streaming.alerting.rules.conditions import Where
from streaming.alerting.rules.log_rule import LogRule

TEMPLATE_FIELD = "vigil.fingerprint"
"""Field of the group of a new template's incident: the fingerprint of its message."""


class NewRule(LogRule):
    """Fires once for each value that no log of its group had before; incidents are grouped by `group_by` and the value.

    For the time of `learn_for` after the rule came into force values are learned and nothing fires. Of each rule at
    most `max_values` are remembered; beyond, the value not seen for longest is forgotten.
    """

    where: Where = Field(Where(), description="which logs are looked at; none given: every log")
    learn_for: Duration = Field(3_600, description="time after the rule came into force in which it only learns, 1h")
    forget_after: Duration = Field(30 * 86_400, description="a value not seen for so long is new again, 30d")
    max_values: int = Field(10_000, ge=1, le=1_000_000, description="how many values are remembered")

    @model_validator(mode="after")
    def _fires_once(self) -> NewRule:
        if self.hold_for is not None:
            raise ValueError("for: leave it out; a value is new only once, so that nothing goes on")
        return self


class NewValueRule(NewRule):
    """A value of `field` that was never seen."""

    kind: Literal["new-value"]
    field: FieldName = Field(description="the field whose values are watched")


class NewTemplateRule(NewRule):
    """A shape of message (its fingerprint, `streaming.fingerprint`) that was never seen."""

    kind: Literal["new-template"]
