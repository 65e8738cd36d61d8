"""Counts what one rule and group matched within a transaction, so that a flood makes one candidate."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from streaming.alerting.candidates import from_log
from streaming.alerting.fields import group_of
from streaming.alerting.messages import Candidate
from streaming.alerting.rules.match import MatchRule
from streaming.events.model import LogEvent


@dataclass(slots=True)
class _Count:
    rule: MatchRule
    event: LogEvent
    source: str
    received_ms: int
    count: int
    first_ms: int
    last_ms: int


class Tally:
    """Matches since the last transaction, by rule and group. The latest of the worst level is the sample."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, tuple[tuple[str, str], ...]], _Count] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, rule: MatchRule, event: LogEvent, *, source: str, received_ms: int) -> None:
        """Counts one match."""
        key = (rule.id, tuple(group_of(event, rule.group_by).items()))
        at_ms = event.timestamp_ns // 1_000_000
        so_far = self._counts.get(key)
        if so_far is None:
            self._counts[key] = _Count(rule, event, source, received_ms, 1, at_ms, at_ms)
            return
        so_far.count += 1
        so_far.first_ms, so_far.last_ms = min(so_far.first_ms, at_ms), max(so_far.last_ms, at_ms)
        if event.level.rank >= so_far.event.level.rank:
            so_far.event, so_far.source, so_far.received_ms = event, source, received_ms

    def candidates(self) -> list[Candidate]:
        """One candidate for each rule and group."""
        return [
            msgspec.structs.replace(
                from_log(c.rule, c.event, source=c.source, received_ms=c.received_ms),
                count=c.count,
                first_ms=c.first_ms,
                last_ms=c.last_ms,
            )
            for c in self._counts.values()
        ]

    def clear(self) -> None:
        """Starts from nothing."""
        self._counts.clear()
