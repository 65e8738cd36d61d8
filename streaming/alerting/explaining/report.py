"""Everything about one incident, or one log, put together from what was kept."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.alerting.explaining.conditions import Verdict, judge
from streaming.alerting.explaining.history import History
from streaming.alerting.messages import (
    Attempt,
    AuditEntry,
    Happening,
    Incident,
    IncidentEvent,
    Notification,
    Receipt,
    Sample,
    incident_key,
)
from streaming.alerting.receipts import read_receipts
from streaming.alerting.rules.ruleset import Rule
from streaming.alerting.state import read_incidents
from streaming.alerting.stored.documents import StoredLog, documents_of_log
from streaming.errors import Unavailable
from streaming.settings import Settings

BEFORE_MS = 60_000
"""An incident's history is looked for from this long before it opened: clocks of manager and broker differ."""


@dataclass(frozen=True)
class IncidentStory:
    """One incident: as it is or last was, its history, the orders about it, what was to be sent, what receivers made of
    it and where its message is; the log that opened it, and what its rule had to do with that one (None: it is not
    found, or the rule is not about logs)."""

    incident: Incident
    events: tuple[IncidentEvent, ...]
    orders: tuple[AuditEntry, ...]
    notifications: tuple[Notification, ...]
    attempts: tuple[Attempt, ...]
    receipts: tuple[Receipt, ...]
    opening: Sample
    verdict: Verdict | None
    rules_version: str
    rules_certain: bool


@dataclass(frozen=True)
class LogStory:
    """One log: what every rule in force at its receipt had to do with it, and the incidents that it is part of."""

    log: StoredLog
    verdicts: tuple[Verdict, ...]
    incidents: tuple[Incident, ...]
    """Of the rules that it fits, in its group, open when it came; as they were last told of."""
    rules_version: str
    rules_certain: bool


def incidents_named(settings: Settings, name: str) -> list[Incident]:
    """The incidents whose id begins so: those that are kept, and those of the history that are forgotten.

    Raises:
        Unavailable: Kafka does not answer.
    """
    found = {i.incident_id: i for i in read_incidents(settings) if i.incident_id.startswith(name)}
    if not found:
        for event in History(settings).events(lambda event: event.incident.incident_id.startswith(name)):
            found[event.incident.incident_id] = event.incident
    return list(found.values())


def story_of_incident(settings: Settings, incident: Incident) -> IncidentStory:
    """All that is known of it.

    Raises:
        Unavailable: Kafka does not answer.
        ConfigError: the rule set of that time cannot be read.
    """
    history, since_ms = History(settings), incident.opened_ms - BEFORE_MS
    events = history.events(lambda event: event.incident.incident_id == incident.incident_id, since_ms)
    names = (incident.incident_id, incident.incident_key)
    rules, certain = history.rules_at(incident.opened_ms)
    rule = next((rule for rule in rules.rules if rule.id == incident.rule_id), None) if rules else None
    # What an incident shows is its latest log; its first event shows the one that opened it.
    opening = events[0].incident.sample if events else incident.sample
    return IncidentStory(
        incident,
        tuple(events),
        tuple(history.audit(lambda entry: entry.target in names, since_ms)),
        tuple(history.notifications(incident.incident_id, since_ms)),
        tuple(history.attempts(incident.incident_id, since_ms)),
        tuple(r for r in read_receipts(settings) if r.incident_id == incident.incident_id),
        opening,
        _verdict_of(settings, rule, opening),
        rules.version if rules else "",
        certain,
    )


def notes_of(settings: Settings, incident: Incident) -> list[IncidentEvent]:
    """The notes that are attached to it, in order, as entries of its history.

    Raises:
        Unavailable: Kafka does not answer.
    """
    if not incident.notes:
        return []
    return History(settings).events(
        lambda event: event.note is not None and event.incident.incident_id == incident.incident_id,
        incident.opened_ms - BEFORE_MS,
    )


def story_of_log(settings: Settings, log: StoredLog) -> LogStory:
    """What became of it.

    Raises:
        Unavailable, ConfigError: as for an incident.
    """
    history = History(settings)
    rules, certain = history.rules_at(log.received_ms)
    judged = [judge(rule, log.event, log.received_ms) for rule in rules.rules] if rules else []
    verdicts = sorted((v for v in judged if v is not None), key=lambda verdict: (not verdict.fits, len(verdict.failed)))
    keys = {incident_key(verdict.rule_id, verdict.group) for verdict in verdicts if verdict.fits}
    return LogStory(
        log,
        tuple(verdicts),
        tuple(_open_at(history, keys, log.received_ms)),
        rules.version if rules else "",
        certain,
    )


def _open_at(history: History, keys: set[str], at_ms: int) -> list[Incident]:
    """Incidents of these keys that were open at a time, as their history last shows them."""
    latest: dict[str, Incident] = {}
    resolved_before: set[str] = set()
    for event in history.events(lambda event: event.incident.incident_key in keys):
        incident_id = event.incident.incident_id
        latest[incident_id] = event.incident
        if event.at_ms < at_ms - BEFORE_MS:
            if event.happening is Happening.RESOLVED:
                resolved_before.add(incident_id)
            else:
                resolved_before.discard(incident_id)
    return [
        incident
        for incident_id, incident in latest.items()
        if incident_id not in resolved_before and incident.opened_ms <= at_ms + BEFORE_MS
    ]


def _verdict_of(settings: Settings, rule: Rule | None, sample: Sample) -> Verdict | None:
    # A log id may be given twice, by a service that starts its counter again; a source never is.
    name = sample.source or sample.log_id
    if rule is None or not name:
        return None
    try:
        logs = documents_of_log(settings, name, limit=1)
    except Unavailable:
        return None  # the rest of the story does not need Elasticsearch
    return judge(rule, logs[0].event, logs[0].received_ms) if logs else None
