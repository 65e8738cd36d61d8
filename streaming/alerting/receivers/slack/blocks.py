"""What an incident looks like: Block Kit within its limits, with every log text made harmless."""

from __future__ import annotations

from streaming.alerting.messages import Incident, IncidentState
from streaming.alerting.receivers.slack.elements import (
    RESOLVED_SIGN,
    SIGN,
    Block,
    actions_for,
    context,
    fields,
    section,
    sign_of,
)
from streaming.alerting.receivers.slack.mrkdwn import (
    SECTION_LIMIT,
    code,
    code_block,
    date,
    duration,
    escaped,
    line,
    link,
    mentions,
)
from streaming.alerting.receivers.slack.view import View

TITLE_LIMIT = 500
"""Characters of a title, escaped: the rules cut it at 150, and each may become five."""

TEXT_LIMIT = 1500
"""Characters of the rule's own text. With the log's 3,000 it must stay below what Slack takes of all blocks."""

FACT_LIMIT = 300
ESCALATION_SIGN = ":arrow_double_up:"


def headline(incident: Incident) -> str:
    """Sign, severity and title in one line; also the text for phones."""
    word = "RESOLVED" if incident.state is IncidentState.RESOLVED else incident.severity.value.upper()
    return f"{sign_of(incident.severity, incident.state)} {word}: {line(incident.title, TITLE_LIMIT)}"


def blocks_of(incident: Incident, view: View, called: tuple[str, ...] = ()) -> list[Block]:
    """The whole message of an incident, as it is now; `called` are names of people to mention."""
    said = " ".join(part for part in (mentions(called, view.people), _unanswered(incident)) if part)
    blocks = [section(f"*{headline(incident)}*" + (f"\n{said}" if said else ""))]
    if incident.text.strip():
        blocks.append(section(escaped(incident.text.strip(), TEXT_LIMIT)))
    blocks += [fields(_facts(incident)), section(code_block(_log(incident)))]
    buttons = actions_for(incident) if view.buttons else None
    if buttons is not None:
        blocks.append(buttons)
    places = _places(incident, view)
    if places:
        blocks.append(context(places))
    blocks.append(context(_footer(incident)))
    return blocks


def resolution(incident: Incident) -> str:
    """The reply in the thread that tells of the resolution: an edit alone alerts nobody."""
    reason = f" ({escaped(incident.reason, 300)})" if incident.reason else ""
    return f"{RESOLVED_SIGN} Resolved{reason}. {events(incident.count)}."


def repeat(incident: Incident, view: View, called: tuple[str, ...] = ()) -> str:
    """The reply that tells that it goes on."""
    names = mentions(called, view.people)
    if incident.firing_since_ms > incident.repeated_ms and incident.reason:
        why = f"Fires again: {escaped(incident.reason, 300)}."
    else:
        since = duration(incident.updated_ms - incident.firing_since_ms)
        why = f"Still firing after {since}, not acknowledged."
    told = f"{SIGN[incident.severity]} {why} {events(incident.count)}, the last {date(incident.last_ms)}."
    return f"{told} {names}".strip()


def escalation(incident: Incident, view: View, called: tuple[str, ...], first: str) -> tuple[str, list[Block]]:
    """Text and blocks of a step of its escalation, where its message is in the channel already: `first` is that
    one's address, if it is known."""
    title = f"{SIGN[incident.severity]} {incident.severity.value.upper()}: {line(incident.title, TITLE_LIMIT)}"
    parts = (mentions(called, view.people), _unanswered(incident), link(first, "The incident's message"))
    said = " ".join(part for part in parts if part)
    blocks = [section(f"*{title}*\n{said}")]
    buttons = actions_for(incident) if view.buttons else None
    if buttons is not None:
        blocks.append(buttons)
    blocks.append(context(f"Incident `{incident.incident_id}` · escalation step {incident.escalated}"))
    return title, blocks


def _unanswered(incident: Incident) -> str:
    """What an escalated incident says while it is not acknowledged."""
    if not incident.escalated or incident.state is not IncidentState.FIRING:
        return ""
    since = duration(incident.updated_ms - incident.firing_since_ms)
    return f"{ESCALATION_SIGN} Escalated: nobody has acknowledged it for {since}."


def events(count: int) -> str:
    """`1 event`, `1,234 events`."""
    return "1 event" if count == 1 else f"{count:,} events"


def _log(incident: Incident) -> str:
    sample = incident.sample
    if sample.error_message and sample.error_message not in sample.message:
        return f"{sample.message}\n{sample.error_message}"
    return sample.message


def _facts(incident: Incident) -> list[str]:
    sample = incident.sample
    ids = [("Trace", sample.trace_id), ("Log", sample.log_id)]
    seen = [f"*First seen*\n{date(incident.first_ms)}", f"*Last seen*\n{date(incident.last_ms)}"]
    # Two columns: what is always there comes first, so that what belongs together stays side by side.
    return [
        *_named(("Service", sample.service), ("Node", sample.node_id)),
        *seen,
        *_named(("Count", f"{incident.count:,}"), ("Error code", sample.error_code), ("Owner", incident.owner)),
        *(f"*{name}*\n{code(value, FACT_LIMIT)}" for name, value in ids if value),
    ]


def _named(*facts: tuple[str, str | None]) -> list[str]:
    return [f"*{name}*\n{escaped(value, FACT_LIMIT)}" for name, value in facts if value]


def _places(incident: Incident, view: View) -> str:
    """Links, those that there are; as many as fit."""
    places = (
        link(incident.runbook or "", "Run book"),
        link(view.links.logs(incident), "Logs"),
        link(view.links.incident(incident.incident_id), "Incident"),
        link(view.links.discover(incident), "Kibana"),
    )
    shown = ""
    for place in places:
        longer = f"{shown} · {place}" if shown and place else shown or place
        shown = longer if len(longer) <= SECTION_LIMIT else shown
    return shown


def _footer(incident: Incident) -> str:
    state, mute = incident.state.value, escaped(incident.muted_by, FACT_LIMIT)
    if incident.acknowledged_by:
        state += f" by {escaped(incident.acknowledged_by, 100)}"
    if incident.muted_by:
        state += f": {mute}" if incident.state is IncidentState.SILENCED else f" · muted: {mute}"
    parts = [f"Incident `{incident.incident_id}`", f"rule `{incident.rule_id}`", state]
    if incident.reason and not incident.acknowledged_by and not incident.muted_by:
        parts.append(escaped(incident.reason, FACT_LIMIT))
    if incident.reopened:
        parts.append("reopened once" if incident.reopened == 1 else f"reopened {incident.reopened} times")
    return " · ".join(parts)
