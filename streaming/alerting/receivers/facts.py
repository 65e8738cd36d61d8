"""What receivers say of an incident, in words that a person reads, and what tells them to stay silent.

Texts come from logs: nothing here is escaped for where it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Receipt, Severity
from streaming.alerting.text import without_controls

Pages = Callable[[Incident], Sequence[tuple[str, str]]]
"""What pages there are of an incident: their texts and addresses."""

_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_000
"""The years 1 to 9999: what dates can be written of."""

_RANK = {severity: rank for rank, severity in enumerate(Severity)}


def no_pages(_: Incident) -> Sequence[tuple[str, str]]:
    """Where no page shows incidents."""
    return ()


def iso(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds; a time that no date can be written of is the nearest that can."""
    at_ms = min(_LAST_MS, max(_FIRST_MS, at_ms))
    # By a difference, since `fromtimestamp` cannot go as far back.
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def shown_time(at_ms: int) -> str:
    """As a person reads it: `2026-11-26 03:54:52 UTC`."""
    return iso(at_ms)[:19].replace("T", " ") + " UTC"


def headline(incident: Incident) -> str:
    """`CRITICAL: the title`, `RESOLVED: the title`."""
    return f"{state_word(incident)}: {incident.title or incident.rule_id}"


def state_word(incident: Incident) -> str:
    """How it is now, in one word: its severity as long as nobody has acknowledged it."""
    if incident.state in (IncidentState.RESOLVED, IncidentState.ACKNOWLEDGED, IncidentState.SILENCED):
        return incident.state.value.upper()
    return incident.severity.value.upper()


def log_text(incident: Incident) -> str:
    """The log's message, and its error's where that says more."""
    sample = incident.sample
    if sample.error_message and sample.error_message not in sample.message:
        return f"{sample.message}\n{sample.error_message}"
    return sample.message


def group_text(incident: Incident) -> str:
    """`error.code=E42, service.name=payment`."""
    return ", ".join(f"{name}={value}" for name, value in sorted(incident.group.items()))


def facts(notification: Notification) -> list[tuple[str, str]]:
    """Names and values, the most telling first; what is not known is left out."""
    incident, sample = notification.incident, notification.incident.sample
    found = [
        ("Service", sample.service),
        ("Node", sample.node_id),
        ("Level", sample.level.name),
        ("Error code", sample.error_code),
        ("Events", str(incident.count)),
        ("First seen", shown_time(incident.first_ms)),
        ("Last seen", shown_time(incident.last_ms)),
        ("State", incident.state.value),
        ("Reason", incident.reason),
        ("Acknowledged by", incident.acknowledged_by),
        ("Resolved", None if incident.resolved_ms is None else shown_time(incident.resolved_ms)),
        ("Severity", incident.severity.value),
        ("On call", ", ".join(notification.mentions)),
        ("Owner", incident.owner),
        ("Trace", sample.trace_id),
        ("Log", sample.log_id),
        ("Group", group_text(incident)),
        ("Reopened", f"{incident.reopened} times" if incident.reopened else None),
        ("Rule", incident.rule_id),
        ("Incident", incident.incident_id),
    ]
    return [(name, value) for name, value in found if value]


def links(incident: Incident, pages: Pages) -> list[tuple[str, str]]:
    """Texts and addresses worth following: the run book, and what pages there are."""
    found = [("Run book", incident.runbook or ""), *pages(incident)]
    return [(text, address) for text, address in found if address]


def is_open_there(receipt: Receipt | None) -> bool:
    """Whether this receiver was told that the incident fires, and not yet that it is over."""
    if receipt is None or receipt.version == 0:
        return False
    return receipt.state is not IncidentState.RESOLVED and receipt.action is not Action.RESOLVE


def is_told_anew(notification: Notification, receipt: Receipt | None) -> bool:
    """Whether it is worth a message where nothing can be edited: a count that rose is not, nor what is muted, nor a
    note. An
    update is where the severity rose, or where this receiver was told nothing before.

    An opening of which a receipt tells already is an update, too: after a crash it is read once more, and what came
    later has merged with it.
    """
    incident, action = notification.incident, notification.action
    if action is Action.ANNOTATE:
        return False
    opens = action in (Action.OPEN, Action.REOPEN)
    if action is not Action.UPDATE and not (opens and is_open_there(receipt)):
        return True
    if incident.state in (IncidentState.RESOLVED, IncidentState.SILENCED, IncidentState.PENDING):
        return False
    return receipt is None or _RANK[incident.severity] > _RANK[receipt.severity]


def json_bytes(value: object) -> bytes:
    """As JSON in UTF-8; half surrogate pairs, which UTF-8 cannot hold, become `?`."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_whole(value))


def clean(text: str) -> str:
    """For people: no control characters but tabs and line feeds."""
    return without_controls(text)


def _whole(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(inner) for inner in value]
    return value
