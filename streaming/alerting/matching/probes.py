"""What each rule asks of every log, and what an answer means for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto

from streaming.alerting.fields import getter
from streaming.alerting.rules.absence import AbsenceRule
from streaming.alerting.rules.base import RuleBase
from streaming.alerting.rules.conditions import TextCondition, Where
from streaming.alerting.rules.error_ratio import ErrorRatioRule
from streaming.alerting.rules.log_rule import LogRule
from streaming.alerting.rules.match import MatchRule
from streaming.alerting.rules.new_value import NewTemplateRule, NewValueRule
from streaming.alerting.rules.spike import SpikeRule
from streaming.alerting.rules.threshold import ThresholdRule
from streaming.events.model import Level, LogEvent


class Role(IntEnum):
    """What it means that a log fits. A number, since those of Python are hashed at once."""

    FIRES = auto()
    RESOLVES = auto()
    COUNTS = auto()
    """Counted at its own time."""
    COUNTS_IN_ALL = auto()
    """Counted as one of those of which `COUNTS` is a share."""
    ARRIVES = auto()
    """Counted at the time of receipt."""
    SHOWS_VALUE = auto()
    """Its value of the rule's field was seen."""
    SHOWS_SHAPE = auto()
    """The fingerprint of its message was seen."""


@dataclass(frozen=True, eq=False)
class Probe:
    """One question of a rule: a log fits it that has one of the levels and fits every condition."""

    rule: LogRule
    role: Role
    levels: frozenset[Level]
    conditions: tuple[tuple[str, TextCondition], ...]
    """Fields and what they must hold; a field may be named twice."""

    def fits(self, event: LogEvent) -> bool:
        """The plain answer, by which the indexed one is measured."""
        return event.level in self.levels and all(
            condition.fits(getter(name)(event)) for name, condition in self.conditions
        )


def probes_of(rule: RuleBase) -> tuple[Probe, ...]:
    """The questions of one rule; none for kinds that do not look at logs."""
    match rule:
        case MatchRule(resolve_when=None):
            return (_probe(rule, Role.FIRES, rule.where),)
        case MatchRule():
            assert rule.resolve_when is not None, "the case before"
            return _probe(rule, Role.FIRES, rule.where), _probe(rule, Role.RESOLVES, rule.resolve_when)
        case ErrorRatioRule():
            return (
                _probe(rule, Role.COUNTS_IN_ALL, rule.where),
                _probe(rule, Role.COUNTS, rule.where, rule.errors),
            )
        case ThresholdRule() | SpikeRule():
            return (_probe(rule, Role.COUNTS, rule.where),)
        case AbsenceRule():
            return (_probe(rule, Role.ARRIVES, rule.where),)
        case NewValueRule():
            return (_probe(rule, Role.SHOWS_VALUE, rule.where),)
        case NewTemplateRule():
            return (_probe(rule, Role.SHOWS_SHAPE, rule.where),)
        case _:
            return ()


def all_probes(rules: Sequence[RuleBase]) -> tuple[Probe, ...]:
    """The questions of all rules that are enabled."""
    return tuple(probe for rule in rules if rule.enabled for probe in probes_of(rule))


def _probe(rule: LogRule, role: Role, *all_of: Where) -> Probe:
    levels = frozenset(Level)
    for where in all_of:
        levels &= frozenset(where.levels or Level)
    conditions = tuple(condition for where in all_of for condition in where.fields.items())
    return Probe(rule, role, levels, conditions)
