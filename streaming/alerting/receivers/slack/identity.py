"""What a message of Slack says, as metadata, that it is about: how it is found again.

Values are texts and numbers and stay below 300 bytes; what Slack takes at most it does not publish.
"""

from __future__ import annotations

from collections.abc import Mapping

from streaming.alerting.messages import Incident, Note

INCIDENT = "vigil_incident"
"""The message of an incident."""
RESOLVED = "vigil_incident_resolved"
REPEATED = "vigil_incident_repeated"
ESCALATED = "vigil_incident_escalated"
NOTED = "vigil_incident_noted"
DIGEST = "vigil_digest"
NOTICE = "vigil_digest_notice"


def of_incident(incident: Incident) -> dict[str, object]:
    """The incident's message. It is found by the id alone: edits move the rest on."""
    return _metadata(INCIDENT, incident_id=incident.incident_id, version=incident.version, opening=incident.reopened)


def of_resolution(incident: Incident) -> dict[str, object]:
    """The reply that tells that it is over, once for each time that it was open."""
    return _metadata(RESOLVED, incident_id=incident.incident_id, opening=incident.reopened)


def of_repeat(incident: Incident) -> dict[str, object]:
    """The reply that tells that it goes on, once for each time that this was due. Not by the version: what follows
    merges with a repeat that waits, and moves that on."""
    at_ms = max(incident.repeated_ms, incident.firing_since_ms)
    return _metadata(REPEATED, incident_id=incident.incident_id, opening=incident.reopened, at_ms=at_ms)


def of_escalation(incident: Incident) -> dict[str, object]:
    """The message of one step, once for each time that it began to fire."""
    return _metadata(
        ESCALATED,
        incident_id=incident.incident_id,
        opening=incident.reopened,
        step=incident.escalated,
        since_ms=incident.firing_since_ms,
    )


def of_note(incident: Incident, note: Note) -> dict[str, object]:
    """The reply that attaches a note: an incident has one of each id."""
    return _metadata(NOTED, incident_id=incident.incident_id, note_id=note.note_id)


def of_digest(digest_id: str) -> dict[str, object]:
    """A digest's message. Its members are in the receipts."""
    return _metadata(DIGEST, digest_id=digest_id)


def of_notice(notice_id: str) -> dict[str, object]:
    """A notice about members of a digest."""
    return _metadata(NOTICE, notice_id=notice_id)


def is_same(message: Mapping[str, object], metadata: Mapping[str, object]) -> bool:
    """Whether a message carries this metadata; of an incident's own message the id alone counts."""
    found = message.get("metadata")
    if not isinstance(found, dict) or found.get("event_type") != metadata["event_type"]:
        return False
    has, wanted = found.get("event_payload"), metadata["event_payload"]
    if not isinstance(has, dict) or not isinstance(wanted, dict):
        return False
    keys = ("incident_id",) if metadata["event_type"] == INCIDENT else tuple(wanted)
    return all(has.get(key) == wanted[key] for key in keys)


def incident_of(message: Mapping[str, object]) -> str | None:
    """Id of the incident whose message this is."""
    found = message.get("metadata")
    if not isinstance(found, dict) or found.get("event_type") != INCIDENT:
        return None
    payload = found.get("event_payload")
    return str(payload.get("incident_id")) if isinstance(payload, dict) else None


def _metadata(event: str, **payload: str | int) -> dict[str, object]:
    return {"event_type": event, "event_payload": payload}
