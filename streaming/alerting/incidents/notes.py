"""Notes that people and programs attach to an incident: pure.

A note becomes an entry of the incident's history and raises its version; nothing else of it changes, and nobody is
alerted. It is told wherever people were told of the incident; of one that nobody was told of it is kept in the history
alone. An incident takes a note of one id once, so that an order of unknown outcome can be given again.
"""

from __future__ import annotations

import msgspec

from streaming.alerting.incidents.decision import NOTHING, Decision
from streaming.alerting.messages import (
    HAS_NOTE,
    NOTE_ID_LIMIT,
    NOTE_LIMIT,
    NOTES_LIMIT,
    Action,
    Command,
    Happening,
    Incident,
    IncidentEvent,
    Note,
    Notification,
)


def annotate(current: Incident, command: Command, now_ms: int) -> Decision:
    """What follows from an order to attach a note; nothing where it cannot be attached."""
    if why_not_annotated(current, command):
        return NOTHING
    note = Note(note_id=_id_of(current, command), author=command.author, text=trimmed(command.note))
    version = current.version + 1
    was_told, is_up_to_date = current.notified_version > 0, current.notified_version == current.version
    incident = msgspec.structs.replace(
        current,
        version=version,
        updated_ms=now_ms,
        notes=(*current.notes, note.note_id),
        # What its message does not say yet is still due at its time.
        notified_version=version if is_up_to_date else current.notified_version,
    )
    told = Notification(action=Action.ANNOTATE, incident=incident, created_ms=now_ms, note=note)
    event = IncidentEvent(
        happening=Happening.ANNOTATED,
        at_ms=now_ms,
        actor=command.author,
        reason=command.reason,
        incident=incident,
        note=note,
    )
    return Decision(changed=(incident,), notifications=(told,) if was_told else (), events=(event,))


def why_not_annotated(current: Incident, command: Command) -> str:
    """Why a note cannot be attached; empty: it can."""
    if fault := fault_of(command.note, command.note_id):
        return fault
    if _id_of(current, command) in current.notes:
        return HAS_NOTE
    return f"it has {NOTES_LIMIT} notes already" if len(current.notes) >= NOTES_LIMIT else ""


def trimmed(text: str) -> str:
    """Without empty lines around it; the blanks stay that the first line begins with, which mean something."""
    return text.strip("\r\n").rstrip()


def fault_of(text: str, note_id: str = "") -> str:
    """Why no incident takes such a note; empty: it is one."""
    if not text.strip():
        return "the note is empty"
    length = len(trimmed(text))
    if length > NOTE_LIMIT:
        return f"the note has {length:,} characters; at most {NOTE_LIMIT:,} are taken"
    too_long = len(note_id) > NOTE_ID_LIMIT
    return f"the note's id has {len(note_id)} characters; at most {NOTE_ID_LIMIT} are taken" if too_long else ""


def _id_of(current: Incident, command: Command) -> str:
    return command.note_id or command.order_id[:NOTE_ID_LIMIT] or f"v{current.version + 1}"
