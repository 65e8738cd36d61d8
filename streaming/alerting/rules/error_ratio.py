"""Rules of kind `error-ratio`: too large a share of a group's logs are errors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streaming.alerting.rules.conditions import Where
from streaming.alerting.rules.log_rule import WindowRule
from streaming.events.model import Level


class ErrorRatioRule(WindowRule):
    """Fires when, of the logs of a group that fit `where` in a window, at least the share `ratio` fit `errors` too;
    with fewer than `min_count` logs in the window nothing is concluded."""

    kind: Literal["error-ratio"]
    where: Where = Field(Where(), description="all logs that are counted; none given: every log")
    errors: Where = Field(
        Where(levels=(Level.ERROR, Level.FATAL)), description="which of them are errors; none given: ERROR and FATAL"
    )
    ratio: float = Field(gt=0, le=1, description="share of errors that fires it, such as 0.05")
    min_count: int = Field(20, ge=1, description="with fewer logs than so many in the window nothing is concluded")
