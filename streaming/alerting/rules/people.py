"""Who is on call: people, rotations and overrides."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from streaming.alerting.rules.base import Duration, Name, ascii_only
from streaming.alerting.rules.strict import Strict
from streaming.alerting.rules.weekly import ZoneName

LONGEST_SHIFT_S = 366 * 86_400


def _within_reason(at: datetime) -> datetime:
    """Far from the ends of what Python's dates can hold, so that reckoning with them never fails."""
    if not 1970 <= at.year < 3000:
        raise ValueError("lies outside the years 1970 to 2999")
    return at


Moment = Annotated[AwareDatetime, AfterValidator(_within_reason)]


class Person(Strict):
    """Somebody who can be called."""

    name: Name = Field(description="unique name")
    slack: str = Field("", pattern=r"^([UW][A-Z0-9]{4,})?$", description="member id in Slack, such as U024BE7LH")
    email: Annotated[str, AfterValidator(ascii_only)] = Field(
        "", pattern=r"^([^@\s]+@[^@\s]+)?$", description="mail address"
    )


class Override(Strict):
    """Somebody else for a time."""

    person: Name = Field(description="who is on call then")
    begins: Moment = Field(alias="from", description="such as 2026-12-24T08:00:00+01:00")
    ends: Moment = Field(alias="to", description="when it ends")

    @model_validator(mode="after")
    def _has_a_length(self) -> Override:
        if self.ends <= self.begins:
            raise ValueError("to: is not after from")
        return self


class Rotation(Strict):
    """People who are on call one after the other, each for `every`, from `starts` on, by the clock on the wall in
    `timezone`: a shift of 7d ends at the same time of day also where summer time begins within it."""

    name: Name = Field(description="unique name")
    people: tuple[Name, ...] = Field(min_length=1, description="names, in turn")
    starts: Moment = Field(description="when the first one's first shift begins")
    every: Duration = Field(
        7 * 86_400, ge=3_600, le=LONGEST_SHIFT_S, description="length of a shift, 7d; an hour at least"
    )
    timezone: ZoneName = Field("UTC", description="name of the time zone whose clock shifts follow")
    overrides: tuple[Override, ...] = Field((), description="who stands in, and when; the last that fits counts")
