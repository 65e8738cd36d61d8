"""Which logs are kept for how long: retention classes, chosen by level or service."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from streaming.alerting.rules.strict import Strict
from streaming.events.model import Level

MOST_DAYS = 3_650
"""Ten years: an index each day and class is as much as any cluster keeps open."""

ClassName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
"""Part of the names of indices."""

ServicePattern = Annotated[str, Field(min_length=1, pattern=r"^[^*]*\*?$", examples=["payment", "audit-*"])]
"""A service's name; with `*` at its end all whose names begin so."""


class RetentionClass(Strict):
    """Logs that are kept for so many days in indices of their own. The first class that fits a log takes it; with both
    levels and services, a log must have one of each. What fits none is of class `default`."""

    name: ClassName = Field(description="unique name, a part of the indices' names")
    days: int = Field(ge=1, le=MOST_DAYS, description="days after which the day's index is deleted")
    levels: tuple[Level, ...] = Field((), description="log.level of its logs; none given: any")
    services: tuple[ServicePattern, ...] = Field(
        (), description="service.name of its logs, `audit-*` for all that begin so; none given: any"
    )

    @model_validator(mode="after")
    def _chooses(self) -> RetentionClass:
        if not self.levels and not self.services:
            raise ValueError("give levels, services or both; what fits no class is of class default")
        return self
