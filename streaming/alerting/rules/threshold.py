"""Rules of kind `threshold`: so many logs within a window."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streaming.alerting.rules.log_rule import WindowRule


class ThresholdRule(WindowRule):
    """Fires when a window of `window` holds at least `count` logs of a group; over when the latest holds fewer."""

    kind: Literal["threshold"]
    count: int = Field(ge=1, description="how many logs within the window fire it")
