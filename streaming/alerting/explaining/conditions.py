"""Every condition of a rule put to one log, one by one, with the value that decided. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from streaming.alerting.fields import getter, group_of
from streaming.alerting.rules.absence import AbsenceRule
from streaming.alerting.rules.conditions import TextCondition, Where
from streaming.alerting.rules.error_ratio import ErrorRatioRule
from streaming.alerting.rules.log_rule import LogRule
from streaming.alerting.rules.match import MatchRule
from streaming.alerting.rules.new_value import NewTemplateRule, NewValueRule
from streaming.alerting.rules.ruleset import Rule
from streaming.alerting.rules.spike import SpikeRule
from streaming.alerting.rules.threshold import ThresholdRule
from streaming.alerting.rules.weekly import FIRST_MS, LAST_MS, WeeklyTime, is_within
from streaming.alerting.text import cut
from streaming.alerting.times import length
from streaming.events.model import LogEvent

VALUE_LIMIT = 200
"""Characters of a value that are shown."""

_ASKS = {
    "equals": "is",
    "prefix": "begins with",
    "contains": "holds",
    "matches": "matches",
    "not_equals": "is not",
    "not_prefix": "does not begin with",
    "not_contains": "does not hold",
    "not_matches": "does not match",
}


class Check(msgspec.Struct, frozen=True):
    """One condition: of what it asks, what, the value that was found, and whether it holds."""

    of: str
    asked: str
    value: str
    holds: bool


@dataclass(frozen=True)
class Verdict:
    """What one rule had to do with one log: all its checks, whether they hold together, and what followed then."""

    rule_id: str
    kind: str
    fits: bool
    checks: tuple[Check, ...]
    group: dict[str, str]
    effect: str
    """What a log that fits does: fires, counts towards something, is remembered; empty where it does not fit."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if not check.holds)


def judge(rule: Rule, event: LogEvent, received_ms: int) -> Verdict | None:
    """A rule put to a log; None for one that is not about logs."""
    if not isinstance(rule, LogRule):
        return None
    checks = (*_in_force(rule, received_ms), *_where(rule.where, event))
    fits = all(check.holds for check in checks)
    effect = _effect(rule, event) if fits else ""
    if not fits and isinstance(rule, MatchRule) and rule.resolve_when is not None:
        resolving = (*_in_force(rule, received_ms), *_where(rule.resolve_when, event))
        if all(check.holds for check in resolving):
            fits, checks, effect = True, resolving, "resolves the incident of its group (resolve_when)"
    group = group_of(event, rule.group_by) if fits else {}
    return Verdict(rule.id, rule.kind, fits, checks, group, effect)


def _in_force(rule: LogRule, received_ms: int) -> Iterator[Check]:
    if not rule.enabled:
        yield Check("rule", "is enabled", "disabled", holds=False)
    if rule.active:
        at = datetime.fromtimestamp(min(max(received_ms, FIRST_MS), LAST_MS) / 1000, UTC).isoformat(timespec="seconds")
        asked = "lies in " + " or ".join(_weekly(time) for time in rule.active)
        yield Check("time of receipt", asked, at, is_within(rule.active, received_ms))


def _where(where: Where, event: LogEvent) -> Iterator[Check]:
    if where.levels:
        asked = "is " + " or ".join(level.value for level in where.levels)
        yield Check("log.level", asked, event.level.value, event.level in where.levels)
    for name, condition in where.fields.items():
        yield from _condition(name, condition, getter(name)(event))


def _condition(name: str, condition: TextCondition, value: str) -> Iterator[Check]:
    for key, asks in _ASKS.items():
        texts: tuple[str, ...] = getattr(condition, key)
        if texts:
            alone = TextCondition.model_validate({key: list(texts)})
            asked = f"{asks} {(' nor ' if key.startswith('not_') else ' or ').join(map(repr, texts))}"
            yield Check(name, asked, cut(value, VALUE_LIMIT), alone.fits(value))


def _effect(rule: LogRule, event: LogEvent) -> str:
    match rule:
        case ThresholdRule():
            return f"counts towards {rule.count} within {length(rule.window)}"
        case SpikeRule():
            usual = f"{rule.factor:g} times the usual of the last {length(rule.baseline)}"
            return f"counts towards {usual} within {length(rule.window)}, at least {rule.min_count}"
        case ErrorRatioRule():
            is_error = all(check.holds for check in _where(rule.errors, event))
            share = f"a share of {rule.ratio:g} within {length(rule.window)} ({rule.min_count} logs at least)"
            return f"counts as {'an error' if is_error else 'no error'} towards {share}"
        case AbsenceRule():
            return f"ends a silence, and begins the next {length(rule.window)}"
        case NewValueRule():
            return f"fires if {rule.field} was never {cut(getter(rule.field)(event), VALUE_LIMIT)!r} before"
        case NewTemplateRule():
            return "fires if no message of this shape was seen before"
        case _:
            held = f" once it has gone on for {length(rule.hold_for)}" if rule.hold_for else ""
            return f"fires{held}"


def _weekly(time: WeeklyTime) -> str:
    days = ",".join(day.value for day in time.days) if len(time.days) < 7 else "every day"
    return f"{days} {time.begins}-{time.ends} {time.timezone}"
