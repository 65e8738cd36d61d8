"""Until when an index is kept."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.retention.classes import Retention
from streaming.rolling.state import HISTORIES, Index, Kind


@dataclass(frozen=True)
class Expiry:
    """The rules, as of today (in days since the epoch, UTC)."""

    retention: Retention
    today: int
    history_days: int

    def days(self, kind: Kind, retention_class: str) -> int | None:
        """For how many days after the last one that it holds an index is kept; None: for ever, since nobody declared
        its class."""
        if kind is Kind.LOGS:
            return self.retention.days_of(retention_class, self.today)
        return self.history_days if kind in HISTORIES else self.retention.default_days

    def on(self, index: Index) -> int | None:
        """The first day on which it is past its retention; None: never."""
        days = self.days(index.kind, index.retention_class)
        return None if days is None else index.last_day + days + 1

    def is_over(self, index: Index) -> bool:
        """Whether it is past its retention."""
        on = self.on(index)
        return on is not None and on <= self.today
