"""What keeps incidents from being told: maintenance windows, inhibitions, dependencies of services."""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, Field, model_validator

from streaming.alerting.rules.base import Name
from streaming.alerting.rules.incident_conditions import AttributeName, IncidentCondition
from streaming.alerting.rules.strict import Strict
from streaming.alerting.rules.weekly import WeeklyTime


class Maintenance(IncidentCondition):
    """Nobody is told of incidents that fit `where` from `begins` to `ends`, or each week at the times of `weekly`."""

    name: Name = Field(description="unique name")
    reason: str = Field(min_length=1, description="what is done then")
    begins: AwareDatetime | None = Field(None, alias="from", description="such as 2026-12-01T22:00:00+01:00")
    ends: AwareDatetime | None = Field(None, alias="to", description="when it ends")
    weekly: tuple[WeeklyTime, ...] = Field((), description="times that return every week")

    @model_validator(mode="after")
    def _has_a_time(self) -> Maintenance:
        if (self.begins is None) != (self.ends is None) or (self.begins is None and not self.weekly):
            raise ValueError("give from and to, or weekly")
        if self.begins and self.ends and self.ends <= self.begins:
            raise ValueError("to: is not after from")
        return self

    def holds(self, at_ms: int) -> bool:
        """Whether a moment lies in it."""
        once = self.begins is not None and self.ends is not None and _ms(self.begins) <= at_ms < _ms(self.ends)
        return once or any(time.holds(at_ms) for time in self.weekly)


class Inhibition(Strict):
    """While an incident that fits `source` is open, nobody is told of those that fit `target` and agree with it in the
    attributes of `equal`; one that neither has counts as equal. What fits both `source` and `target` is not muted by
    others that do so too."""

    name: Name = Field(description="unique name")
    source: IncidentCondition = Field(description="incidents that mute others")
    target: IncidentCondition = Field(description="incidents that are muted by them")
    equal: tuple[AttributeName, ...] = Field((), description="attributes in which both must agree")


class Dependency(Strict):
    """A service that cannot work without others: while one of these, or one that they need in turn, has an open
    incident of severity `error` or `critical`, nobody is told of the incidents of `service`. Services that need each
    other do not mute one another."""

    service: str = Field(min_length=1, description="service.name of the one that depends")
    needs: tuple[str, ...] = Field(min_length=1, description="service.name of those that it needs")


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
