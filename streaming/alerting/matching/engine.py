"""The rules of a set that are in force at a moment, compiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from streaming.alerting.matching.cells import AS_EVENT, EVENT, Cell, Cells, Plan
from streaming.alerting.matching.probes import Probe, Role, all_probes
from streaming.alerting.rules.match import MatchRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.weekly import is_within
from streaming.events.model import LogEvent

MINUTE_MS: Final = 60_000
MINUTES_KEPT: Final = 1_440
CHOICES_KEPT: Final = 8
"""Sets of rules in force that are compiled at a time; a week has a handful, a stream of wild receive times more."""


class Engine:
    """Pure: which rules of a set a log concerns. What it keeps from one log to the next is only answers."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self._probes = all_probes(rules.rules)
        self._timed = [probe for probe in self._probes if probe.rule.active]
        self._minutes: dict[int, Cells] = {}
        self._choices: dict[frozenset[int], Cells] = {}
        self._without: frozenset[str] = frozenset()

    def at(self, received_ms: int) -> Cells:
        """The rules in force for logs that were received in this minute."""
        minute = received_ms // MINUTE_MS if self._timed else 0
        cells = self._minutes.get(minute)
        if cells is None:
            if len(self._minutes) >= MINUTES_KEPT:
                self._minutes.clear()
            cells = self._minutes[minute] = self._chosen(minute * MINUTE_MS)
        return cells

    def clear(self, cells: Cells, evaluated: int) -> None:
        """Forgets what is full, and leaves a field out of the keys that has too many values for it. `evaluated`: logs
        so far."""
        widest = cells.clear(evaluated)
        if widest is not None:
            self._without |= {widest}
            self._minutes.clear()
            self._choices.clear()

    def match(self, event: LogEvent, received_ms: int = 0) -> Sequence[MatchRule]:
        """The match rules that this log fires, in no promised order."""
        fired = (probe.rule for probe in self.fitting(event, received_ms) if probe.role is Role.FIRES)
        return [rule for rule in fired if isinstance(rule, MatchRule)]

    def fitting(self, event: LogEvent, received_ms: int = 0) -> Iterator[Probe]:
        """The questions of rules that this log fits; for one log, where speed is no matter."""
        cell = self.at(received_ms).of_event(event)
        assert cell is not AS_EVENT, "that is of canonical logs"
        yield from (plan.probe for plan, _, _ in cell.decided)
        yield from (plan.probe for plan, _ in cell.shapes)
        for plan in _possible(cell, event):
            if plan.fits[EVENT](event):
                yield plan.probe

    def _chosen(self, at_ms: int) -> Cells:
        idle = frozenset(
            number
            for number, probe in enumerate(self._probes)
            if probe.rule.active and not is_within(probe.rule.active, at_ms)
        )
        cells = self._choices.get(idle)
        if cells is None:
            if len(self._choices) >= CHOICES_KEPT:
                self._choices.clear()
                self._minutes.clear()
            in_force = [probe for number, probe in enumerate(self._probes) if number not in idle]
            cells = self._choices[idle] = Cells(in_force, without=self._without)
        return cells


def _possible(cell: Cell, event: LogEvent) -> Iterator[Plan]:
    yield from cell.always
    for read, by_value in cell.equal:
        yield from by_value.get(read[EVENT](event), ())
    for scan, tree in cell.scans:
        yield from tree.possible(scan.read[EVENT](event).encode("utf-8", "replace"))
