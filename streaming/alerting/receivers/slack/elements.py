"""Block Kit: sections, contexts, and the buttons that `buttons.py` answers.

Limits by Slack's reference: 50 blocks a message, 3,000 characters a section's text, 10 fields of 2,000 each, 25
elements in an actions block, 75 characters a button's text. All blocks of a message together may have some 13,000
characters, which the reference does not say (`msg_blocks_too_long`).
"""

from __future__ import annotations

from streaming.alerting.messages import Incident, IncidentState, Severity

Block = dict[str, object]

ACKNOWLEDGE, SILENCE, RESOLVE = "vigil_acknowledge", "vigil_silence_1h", "vigil_resolve"
"""`action_id` of the buttons; their `value` is the incident's id."""

SIGN = {
    Severity.INFO: ":information_source:",
    Severity.WARNING: ":warning:",
    Severity.ERROR: ":red_circle:",
    Severity.CRITICAL: ":rotating_light:",
}
RESOLVED_SIGN = ":white_check_mark:"
ACKNOWLEDGED_SIGN = ":eyes:"
SILENCED_SIGN = ":no_bell:"
STATE_SIGN = {
    IncidentState.RESOLVED: RESOLVED_SIGN,
    IncidentState.ACKNOWLEDGED: ACKNOWLEDGED_SIGN,
    IncidentState.SILENCED: SILENCED_SIGN,
}
"""What the state says before the severity does: whether anybody need look."""


def sign_of(severity: Severity, state: IncidentState | None) -> str:
    """What one sees first: how bad it is, or why nobody need look."""
    return (STATE_SIGN.get(state) if state is not None else None) or SIGN[severity]


def section(text: str) -> Block:
    """A paragraph."""
    return {"type": "section", "text": mrkdwn(text)}


def fields(texts: list[str]) -> Block:
    """Facts in two columns, at most ten."""
    return {"type": "section", "fields": [mrkdwn(text) for text in texts[:10]]}


def context(text: str) -> Block:
    """A line in small print."""
    return {"type": "context", "elements": [mrkdwn(text)]}


def mrkdwn(text: str) -> Block:
    """Text with Slack's mark-up: whoever puts log text in escapes it. Verbatim: else Slack would make links of
    addresses and names of channels in log text, too."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def actions_for(incident: Incident) -> Block | None:
    """What can be pressed, as the incident is; resolving only where nothing else would end it."""
    if incident.state is IncidentState.RESOLVED:
        return None
    buttons = []
    if incident.state is not IncidentState.ACKNOWLEDGED:
        buttons.append(button("Acknowledge", ACKNOWLEDGE, incident.incident_id, style="primary"))
    if not incident.muted_by:
        buttons.append(button("Silence 1 h", SILENCE, incident.incident_id))
    if incident.resolve_after_s is None:
        buttons.append(button("Resolve", RESOLVE, incident.incident_id))
    return {"type": "actions", "elements": buttons} if buttons else None


def button(text: str, action: str, incident_id: str, style: str = "") -> Block:
    """One button."""
    made: Block = {
        "type": "button",
        "text": {"type": "plain_text", "text": text},
        "action_id": action,
        "value": incident_id,
    }
    return made | {"style": style} if style else made
