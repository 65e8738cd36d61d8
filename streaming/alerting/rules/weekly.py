"""Times that return every week, in a time zone: when a rule is in force, or a maintenance window is open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from streaming.alerting.rules.strict import Strict


class Day(StrEnum):
    """A day of the week."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


DAYS = tuple(Day)

FIRST_MS, LAST_MS = 0, 32_503_593_600_000
"""1970 to the last day of 2999: a time of receipt further off was forged, and is no reason to stop."""


@lru_cache(maxsize=512)
def zone(name: str) -> ZoneInfo:
    """A time zone of the IANA database.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{name!r} is no time zone; write a name such as UTC or Europe/Berlin") from error


def _known_zone(name: str) -> str:
    zone(name)
    return name


ZoneName = Annotated[str, AfterValidator(_known_zone)]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$", examples=["08:30", "24:00"])]


def minutes(time_of_day: str) -> int:
    """Minutes since midnight."""
    hours, _, rest = time_of_day.partition(":")
    return int(hours) * 60 + int(rest)


class WeeklyTime(Strict):
    """From one time of day to another on some days of the week, by the clock on the wall there.

    A `to` that is not after `from` lies on the next day: `from: "22:00", to: "06:00"` on fri ends on Saturday morning.
    """

    days: tuple[Day, ...] = Field(DAYS, min_length=1, description="on which days it begins; none given: every day")
    begins: TimeOfDay = Field("00:00", alias="from", description="when it begins, such as 08:00")
    ends: TimeOfDay = Field("24:00", alias="to", description="when it ends, not included; 24:00 is midnight")
    timezone: ZoneName = Field("UTC", description="name of the time zone")

    @model_validator(mode="after")
    def _begins_within_the_day(self) -> WeeklyTime:
        if self.begins == "24:00":
            raise ValueError("from: 24:00 is the end of a day; write 00:00 of the next")
        return self

    def holds(self, at_ms: int) -> bool:
        """Whether a moment lies in it."""
        there = datetime.fromtimestamp(min(max(at_ms, FIRST_MS), LAST_MS) / 1000, UTC).astimezone(zone(self.timezone))
        minute = there.hour * 60 + there.minute
        begins, ends = minutes(self.begins), minutes(self.ends)
        today = DAYS[there.weekday()]
        if begins < ends:
            return today in self.days and begins <= minute < ends
        yesterday = DAYS[(there - timedelta(days=1)).weekday()]
        return (today in self.days and minute >= begins) or (yesterday in self.days and minute < ends)


def is_within(times: tuple[WeeklyTime, ...], at_ms: int) -> bool:
    """Whether a moment lies in one of them; where there are none, it does."""
    return not times or any(time.holds(at_ms) for time in times)
