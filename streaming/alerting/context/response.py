"""Which incidents wait for their context, and how each gets it once, whoever works on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from streaming.alerting.context.model import Context
from streaming.alerting.context.rendering import note_of
from streaming.alerting.explaining.history import History
from streaming.alerting.messages import (
    HAS_NOTE,
    NOTES_LIMIT,
    Action,
    AuditEntry,
    Incident,
    IncidentState,
    Notification,
    Severity,
)
from streaming.alerting.orders import NothingDone
from streaming.alerting.routes import CANARY
from streaming.alerting.state import read_incidents
from streaming.settings import Settings

CONTEXT_NOTE = "context"
"""Id of the note: an incident takes it once."""

URGENT: frozenset[Severity] = frozenset({Severity.CRITICAL})


class Annotates(Protocol):
    """`streaming.alerting.orders.Orders`, as much of it as is needed here."""

    def annotate(
        self, incident_id: str, text: str, *, author: str, reason: str = "", note_id: str = ""
    ) -> AuditEntry: ...


def waits(incident: Incident, severities: Collection[Severity] = URGENT) -> bool:
    """Whether an incident is open, told, urgent, no canary, and has no context yet. One that came back, or that
    somebody has acknowledged, counts; one that is muted does not."""
    return (
        incident.severity in severities
        and incident.state in (IncidentState.FIRING, IncidentState.ACKNOWLEDGED)
        and not incident.muted_by
        and incident.route != CANARY
        and CONTEXT_NOTE not in incident.notes
        and len(incident.notes) < NOTES_LIMIT
    )


def waiting(incidents: Iterable[Incident], limit: int, severities: Collection[Severity] = URGENT) -> list[Incident]:
    """Those that wait, the longest waiting first, at most `limit`."""
    found = [incident for incident in incidents if waits(incident, severities)]
    return sorted(found, key=lambda incident: (incident.firing_since_ms, incident.incident_id))[:limit]


def wakes(notification: Notification, severities: Collection[Severity] = URGENT) -> bool:
    """Whether a notification tells of an incident that waits."""
    return notification.action in (Action.OPEN, Action.REOPEN) and waits(notification.incident, severities)


def find_waiting(settings: Settings, limit: int, severities: Collection[Severity] = URGENT) -> list[Incident]:
    """`waiting`, of the incidents as the manager last committed them.

    Raises:
        Unavailable: Kafka does not answer.
    """
    return waiting(read_incidents(settings), limit, severities)


def attach(
    settings: Settings, orders: Annotates, context: Context, *, author: str, work: str, closing: str = ""
) -> bool:
    """Attaches the context as the incident's one context note. False: other work did so before; then nothing is left
    to do. True also where the same work did so in an attempt before this one.

    `work` names what is under way (a DAG's run): it is written down as the note's reason. `closing`: last line of
    the note.

    Raises:
        UnknownIncident: it is forgotten by now.
        NothingDone: it cannot have a note; the text says why.
        NotYetObeyed: no manager works now. The order is in Kafka: try again, the note will not be there twice.
        Unavailable: Kafka does not answer.
    """
    incident_id = context.incident.incident_id
    try:
        orders.annotate(incident_id, note_of(context, closing), author=author, reason=work, note_id=CONTEXT_NOTE)
    except NothingDone as nothing:
        if nothing.entry.outcome != HAS_NOTE:
            raise
        return _is_by(settings, context.incident, work)
    return True


def _is_by(settings: Settings, incident: Incident, work: str) -> bool:
    noted = History(settings).events(
        lambda event: (
            event.incident.incident_id == incident.incident_id
            and event.note is not None
            and event.note.note_id == CONTEXT_NOTE
        ),
        incident.opened_ms,
    )
    return any(event.reason == work for event in noted)
