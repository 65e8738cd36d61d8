"""What of all there is has to do with an incident: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streaming.alerting.context.model import Deed, LogLine, NodeLine, Related, began_ms
from streaming.alerting.incidents.lifecycle import SEVERITY_RANK, is_open
from streaming.alerting.messages import Incident
from streaming.alerting.stored.documents import StoredLog
from streaming.heartbeat.states import State
from streaming.heartbeat.view import NodeView

DEEDS_BEFORE_MS = 6 * 60 * 60 * 1000
"""What was done up to six hours before is told: effects of a deployment may take a daily peak to show."""
DEEDS_LIMIT = 20
NODES_LIMIT = 20
RELATED_LIMIT = 20

TOGETHER_MS = 5 * 60 * 1000
"""What opened within five minutes of it may have the same cause."""

TEXT_LIMIT = 2_000
"""Characters of a log that are kept, as of an incident's own."""


def line_of(log: StoredLog) -> LogLine:
    """A log as a line."""
    event = log.event
    error = ": ".join(part for part in (event.error_code, event.error_message) if part and part not in event.message)
    text = f"{event.message} [{error}]" if error else event.message
    return LogLine(
        at_ms=event.timestamp_ns // 1_000_000,
        level=event.level.value,
        service=event.service,
        node=event.node_id,
        text=text[:TEXT_LIMIT],
        source=log.source,
    )


def deeds_for(incident: Incident, deeds: Iterable[Deed]) -> tuple[Deed, ...]:
    """What was done in the hours before it opened or since, the oldest first; of many the latest."""
    since_ms = began_ms(incident) - DEEDS_BEFORE_MS
    return tuple(sorted((deed for deed in deeds if deed.at_ms >= since_ms), key=lambda deed: deed.at_ms))[-DEEDS_LIMIT:]


def nodes_for(incident: Incident, nodes: Iterable[NodeView]) -> tuple[NodeLine, ...]:
    """Its node and those of its service, then others that are not up; what is not up comes first."""
    sample = incident.sample

    def concerns(view: NodeView) -> bool:
        record = view.record
        same = record.node_id == sample.node_id or (record.service == sample.service and bool(sample.service))
        return same or record.state in (State.DOWN, State.UNKNOWN)

    def rank(view: NodeView) -> tuple[bool, bool, str]:
        record = view.record
        return (record.state is State.UP, record.node_id != sample.node_id, record.node_id)

    chosen = sorted(filter(concerns, nodes), key=rank)[:NODES_LIMIT]
    return tuple(
        NodeLine(
            node_id=view.record.node_id,
            service=view.record.service,
            state=view.record.state.value,
            since_ms=view.record.since_ms,
            reason=view.record.reason,
            silent_ms=view.silent_ms,
        )
        for view in chosen
    )


def related_to(incident: Incident, others: Iterable[Incident]) -> tuple[Related, ...]:
    """Other open incidents that share its trace, node or service, or opened with it: the nearest and worst first."""
    found: list[tuple[int, int, Related]] = []
    for other in others:
        why, distance = _why_related(incident, other)
        if why:
            related = Related(
                other.incident_id, other.severity.value, other.state.value, other.title, other.opened_ms, why
            )
            found.append((distance, -SEVERITY_RANK[other.severity], related))
    found.sort(key=lambda entry: (entry[0], entry[1], entry[2].opened_ms))
    return tuple(related for _, _, related in found[:RELATED_LIMIT])


def not_among(lines: Sequence[LogLine], shown: Iterable[LogLine]) -> tuple[LogLine, ...]:
    """The lines that are not shown already."""
    known = {(line.source, line.at_ms, line.text) for line in shown}
    return tuple(line for line in lines if (line.source, line.at_ms, line.text) not in known)


def _why_related(incident: Incident, other: Incident) -> tuple[str, int]:
    """Why, and how far away that is; empty: it is not."""
    if other.incident_id == incident.incident_id or not is_open(other):
        return "", 0
    one, two = incident.sample, other.sample
    if one.trace_id and one.trace_id == two.trace_id:
        return "same trace", 0
    if one.node_id and one.node_id == two.node_id:
        return "same node", 1
    if one.service and one.service == two.service:
        return "same service", 2
    together = abs(began_ms(incident) - began_ms(other)) <= TOGETHER_MS
    return ("opened at the same time", 3) if together else ("", 0)
