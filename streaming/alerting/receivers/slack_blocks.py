"""What an incident looks like in Slack: Block Kit within its limits, with every log text made harmless.

Limits by Slack's reference: 50 blocks a message, 3,000 characters a section's text, 10 fields of 2,000 each.
"""

from __future__ import annotations

import re

from streaming.alerting.messages import Incident, IncidentState, Severity
from streaming.alerting.text import ELLIPSIS, without_controls

SECTION_LIMIT = 3000
FIELD_LIMIT = 2000
FALLBACK_LIMIT = 1000
"""The text that phones and screen readers show; Slack would take 4,000."""

Block = dict[str, object]

_SIGN = {
    Severity.INFO: ":information_source:",
    Severity.WARNING: ":warning:",
    Severity.ERROR: ":red_circle:",
    Severity.CRITICAL: ":rotating_light:",
}
_RESOLVED_SIGN = ":white_check_mark:"
_PARTIAL_ENTITY = re.compile(r"&[a-z]{0,3}$")


def escaped(text: str, limit: int) -> str:
    """For mrkdwn: `&`, `<` and `>` as entities, so that no text mentions, links or pages anybody; cut to `limit`
    characters without cutting an entity in two."""
    safe = without_controls(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(safe) <= limit:
        return safe
    return _PARTIAL_ENTITY.sub("", safe[: limit - 1]) + ELLIPSIS


def code_block(text: str) -> str:
    """Within a code block; a fence in the text cannot end it."""
    fence = "```"
    inner = escaped(text.replace("`", "ˋ"), SECTION_LIMIT - 2 * len(fence) - 2)
    return f"{fence}\n{inner}\n{fence}"


def headline(incident: Incident) -> str:
    """Sign, severity and title in one line; also the text for phones."""
    resolved = incident.state is IncidentState.RESOLVED
    sign = _RESOLVED_SIGN if resolved else _SIGN[incident.severity]
    word = "RESOLVED" if resolved else incident.severity.value.upper()
    return f"{sign} {word}: {escaped(incident.title, FALLBACK_LIMIT)}"


def resolution(incident: Incident) -> str:
    """The reply in the thread that tells of the resolution: an edit alone alerts nobody."""
    reason = f" ({escaped(incident.reason, 300)})" if incident.reason else ""
    return f"{_RESOLVED_SIGN} Resolved{reason}. {_events(incident)}."


def blocks_of(incident: Incident) -> list[Block]:
    """The whole message of an incident, as it is now."""
    sample = incident.sample
    facts = [
        ("Service", sample.service),
        ("Node", sample.node_id),
        ("Error code", sample.error_code),
        ("Count", str(incident.count)),
        ("Trace", sample.trace_id),
        ("Log", sample.log_id),
    ]
    fields = [f"*{name}*\n{escaped(value, 300)}" for name, value in facts if value]
    fields += [f"*First seen*\n{_date(incident.first_ms)}", f"*Last seen*\n{_date(incident.last_ms)}"]
    text = sample.message
    if sample.error_message and sample.error_message not in text:
        text = f"{text}\n{sample.error_message}"
    return [
        _section(f"*{headline(incident)}*"),
        {"type": "section", "fields": [_mrkdwn(field) for field in fields]},
        _section(code_block(text)),
        {"type": "context", "elements": [_mrkdwn(_footer(incident))]},
    ]


def _footer(incident: Incident) -> str:
    parts = [f"Incident `{incident.incident_id}`", f"rule `{incident.rule_id}`", incident.state.value]
    if incident.acknowledged_by:
        parts.append(f"by {escaped(incident.acknowledged_by, 100)}")
    elif incident.reason:
        parts.append(escaped(incident.reason, 300))
    if incident.reopened:
        parts.append(f"reopened {incident.reopened} times")
    if incident.runbook:
        parts.append(f"<{escaped(incident.runbook, 1000)}|run book>")
    return " · ".join(parts)


def _events(incident: Incident) -> str:
    return "1 event" if incident.count == 1 else f"{incident.count} events"


def _date(at_ms: int) -> str:
    """Shown in each reader's own time zone."""
    seconds = at_ms // 1000
    if not 0 < seconds < 253402300800:
        return f"{seconds} s after 1970"
    return f"<!date^{seconds}^{{date_short_pretty}} {{time_secs}}|{seconds} s after 1970>"


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text}
