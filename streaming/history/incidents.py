"""An event of an incident as the fields of a document (`INCIDENT_FIELDS`). Pure."""

from __future__ import annotations

from typing import Final

from streaming.alerting.messages import Incident, IncidentEvent, Severity
from streaming.events.fields import MAX_LONG
from streaming.events.model import Json
from streaming.history.document import NS_PER_MS, Fields, Told, date, name, pairs, text, without_none

SEVERITIES: Final = {severity: rank for rank, severity in enumerate(Severity, 1)}
"""As `event.severity`: 1 is the least."""


def told(event: IncidentEvent) -> Told:
    """What it says. The same fields are right for the last state: they tell the incident as it was after the event."""
    incident, sample = event.incident, event.incident.sample
    fields: Fields = {
        "@timestamp": date(event.at_ms),
        "event": without_none(
            {
                "kind": "alert",
                "action": event.happening.value,
                "reason": text(event.reason),
                "severity": SEVERITIES[incident.severity],
                "start": date(incident.opened_ms),
                **_end(incident),
            }
        ),
        "rule": without_none(
            {
                "id": name(incident.rule_id),
                "category": name(incident.rule_kind),
                "reference": name(incident.runbook or ""),
            }
        ),
        "log": {"level": sample.level.value},
        "message": text(incident.title),
        "service": {"name": name(sample.service), "node": {"name": name(sample.node_id)}},
        "error": without_none({"code": name(sample.error_code or ""), "message": text(sample.error_message or "")}),
        "trace": without_none({"id": name(sample.trace_id or "")}),
        "labels": pairs(incident.labels),
        "vigil": without_none({"actor": name(event.actor), "incident": _incident(incident), "note": _note(event)}),
    }
    filled: Fields = {key: value for key, value in fields.items() if value != {}}
    return Told(event.at_ms, incident.incident_id, filled, incident.opened_ms)


def _incident(incident: Incident) -> Json:
    return without_none(
        {
            "id": name(incident.incident_id),
            "key": name(incident.incident_key),
            "state": incident.state.value,
            "severity": incident.severity.value,
            "version": incident.version,
            "count": incident.count,
            "reopened": incident.reopened,
            "escalated": incident.escalated,
            "group": pairs(incident.group),
            "owner": name(incident.owner),
            "route": name(incident.route),
            "text": text(incident.text),
            "sample": text(incident.sample.message),
            "first_log": date(incident.first_ms),
            "last_log": date(incident.last_ms),
            "muted_by": name(incident.muted_by),
            **_acknowledged(incident),
        }
    )


def _acknowledged(incident: Incident) -> Fields:
    """Counted from when it last began to fire, or, of one that was silent from its beginning, from its opening."""
    if incident.acknowledged_ms is None:
        return {}
    return {
        "acknowledged": date(incident.acknowledged_ms),
        "acknowledged_by": name(incident.acknowledged_by or ""),
        "time_to_acknowledge": _between_ns(incident.firing_since_ms or incident.opened_ms, incident.acknowledged_ms),
    }


def _end(incident: Incident) -> Fields:
    """Of one that is resolved: counted from its opening, with the times between where it was reopened."""
    if incident.resolved_ms is None:
        return {}
    return {"end": date(incident.resolved_ms), "duration": _between_ns(incident.opened_ms, incident.resolved_ms)}


def _between_ns(start_ms: int, end_ms: int) -> int:
    """None is negative, also where a clock was set back between."""
    return min(max(0, end_ms - start_ms) * NS_PER_MS, MAX_LONG)


def _note(event: IncidentEvent) -> Json:
    if event.note is None:
        return None
    return {"id": name(event.note.note_id), "author": name(event.note.author), "text": text(event.note.text)}
