"""A backtest in figures: per rule what would have fired, and whom it would have reached. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Severity
from streaming.alerting.rehearsal.run import Rehearsed
from streaming.alerting.rules.ruleset import RuleSet

ALERTING = (Action.OPEN, Action.REOPEN, Action.REPEAT, Action.ESCALATE, Action.RESOLVE)
"""What a person hears of; an update only edits a message."""


class FiredIncident(msgspec.Struct, kw_only=True, frozen=True):
    """One incident that would have been."""

    incident_id: str
    rule_id: str
    severity: Severity
    title: str
    group: dict[str, str]
    state: IncidentState
    count: int
    opened_ms: int
    resolved_ms: int | None
    reopened: int
    muted_by: str


class RuleFigures(msgspec.Struct, kw_only=True, frozen=True):
    """What one rule did. `interruptions` are messages that alert somebody, one for each receiver."""

    rule_id: str
    kind: str
    incidents: int
    logs: int
    interruptions: int


class Summary(msgspec.Struct, kw_only=True, frozen=True):
    """A whole backtest; times in ms. Rules are in the order of their interruptions, those that did nothing last;
    incidents in the order of opening."""

    since_ms: int
    until_ms: int
    source: str
    logs: int
    rules_version: str
    rules: tuple[RuleFigures, ...]
    incidents: tuple[FiredIncident, ...]
    interruptions: Mapping[str, int]
    """By receiver; the empty name is the default route's."""


def summarize(rules: RuleSet, found: Rehearsed, *, since_ms: int, until_ms: int, source: str) -> Summary:
    """The figures of a backtest."""
    incidents = sorted(found.incidents.values(), key=lambda incident: (incident.opened_ms, incident.incident_id))
    fired = [incident for incident in incidents if incident.state is not IncidentState.PENDING]
    heard = Counter(_heard(found.notifications))
    by_rule = Counter(incident.rule_id for incident in fired)
    logs = Counter[str]()
    for incident in fired:
        logs[incident.rule_id] += incident.count
    messages = Counter(n.incident.rule_id for n in found.notifications if n.action in ALERTING)
    kinds = {rule.id: rule.kind for rule in rules.rules}
    figures = [
        RuleFigures(
            rule_id=name,
            kind=kinds.get(name, ""),
            incidents=by_rule[name],
            logs=logs[name],
            interruptions=messages[name],
        )
        for name in dict.fromkeys([*kinds, *by_rule])
    ]
    return Summary(
        since_ms=since_ms,
        until_ms=until_ms,
        source=source,
        logs=found.logs,
        rules_version=rules.version,
        rules=tuple(sorted(figures, key=lambda one: (-one.interruptions, -one.incidents, one.rule_id))),
        incidents=tuple(map(_fired, fired)),
        interruptions=dict(heard),
    )


def _heard(notifications: Sequence[Notification]) -> list[str]:
    return [
        receiver
        for notification in notifications
        if notification.action in ALERTING
        for receiver in (notification.receivers or ("",))
    ]


def _fired(incident: Incident) -> FiredIncident:
    return FiredIncident(
        incident_id=incident.incident_id,
        rule_id=incident.rule_id,
        severity=incident.severity,
        title=incident.title,
        group=incident.group,
        state=incident.state,
        count=incident.count,
        opened_ms=incident.opened_ms,
        resolved_ms=incident.resolved_ms,
        reopened=incident.reopened,
        muted_by=incident.muted_by,
    )
