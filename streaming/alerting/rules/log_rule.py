"""What rules that look at logs have in common."""

from __future__ import annotations

from pydantic import Field, model_validator

from streaming.alerting.rules.base import Duration, FieldName, RuleBase
from streaming.alerting.rules.conditions import Where

BUCKETS = 60
"""Parts of a window: it slides by a sixtieth of its length, 5 s for one of 5 minutes."""

SHORTEST_BUCKET_MS = 1_000


class LogRule(RuleBase):
    """A rule about logs that fit `where`, with one incident for each group of them."""

    where: Where = Field(description="which logs it is about")
    group_by: tuple[FieldName, ...] = Field(
        (), description="one incident for each set of values; a field that a log lacks is left out"
    )
    max_groups: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="how many groups may have incidents at a time; what comes beyond shares one, group 'other'",
    )


class SelectiveRule(LogRule):
    """One that every log would fit is most likely a mistake."""

    @model_validator(mode="after")
    def _is_selective(self) -> SelectiveRule:
        if not self.where.levels and not self.where.fields:
            raise ValueError("where: would match every log; give levels or fields")
        return self


class WindowRule(LogRule):
    """A rule that counts logs over a sliding window, by their own time (clamped to the time of receipt)."""

    window: Duration = Field(le=86_400, description="length of the window, at most a day, such as 5m")

    @property
    def bucket_ms(self) -> int:
        """Length of the buckets that its counts come in."""
        return bucket_ms(self.window)


def bucket_ms(window_s: float) -> int:
    """A sixtieth of the window in whole seconds, at least one."""
    return max(SHORTEST_BUCKET_MS, round(window_s * 1000 / BUCKETS / 1000) * 1000)
