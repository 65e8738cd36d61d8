"""What of all there is has to do with an incident."""

from __future__ import annotations

import msgspec

from streaming.alerting.context.model import Deed
from streaming.alerting.context.selecting import DEEDS_BEFORE_MS, deeds_for, line_of, nodes_for, related_to
from streaming.alerting.messages import IncidentState, Severity
from streaming.alerting.stored.documents import StoredLog
from streaming.events.model import Level, LogEvent
from streaming.heartbeat.messages import NodeRecord
from streaming.heartbeat.states import State
from streaming.heartbeat.view import seen
from tests.support.incidents import AT_MS, an_incident, plain_sample


def test_a_log_says_its_error_where_that_says_more() -> None:
    event = LogEvent(timestamp_ns=AT_MS * 10**6, level=Level.ERROR, message="E42 again", service="s", node_id="n")
    assert line_of(StoredLog(event, AT_MS, "src")).text == "E42 again"
    event = msgspec.structs.replace(event, error_code="E42", error_message="timed out")
    assert line_of(StoredLog(event, AT_MS, "src")).text == "E42 again [timed out]"


def test_deeds_of_the_hours_before_and_since_in_order() -> None:
    incident = an_incident()
    old, first, later = (Deed(AT_MS + d, str(d)) for d in (-DEEDS_BEFORE_MS - 1, -DEEDS_BEFORE_MS, 60_000))
    assert deeds_for(incident, [later, old, first]) == (first, later)
    assert len(deeds_for(incident, [later] * 100)) == 20


def test_its_node_and_service_and_whatever_is_down() -> None:
    def node(name: str, service: str, state: State) -> NodeRecord:
        return NodeRecord(
            node_id=name,
            service=service,
            state=state,
            since_ms=AT_MS,
            first_seen_ms=0,
            last_beat_ms=AT_MS,
            mean_interval_ms=1000.0,
            reason="",
        )

    nodes = [
        node("payment-2", "payment", State.UP),
        node("payment-1", "payment", State.UP),
        node("order-1", "order", State.DOWN),
        node("order-2", "order", State.UP),
    ]
    found = nodes_for(an_incident(), [seen(record, {}, AT_MS + 9_000) for record in nodes])
    assert [line.node_id for line in found] == ["order-1", "payment-1", "payment-2"]
    assert found[0].silent_ms == 9_000


def test_the_nearest_and_worst_incidents_come_first() -> None:
    incident, far = an_incident(), AT_MS - 3_600_000
    elsewhere = plain_sample(service="x", node_id="y")
    one = {
        "trace": an_incident(incident_id="TRACE", opened_ms=far),
        "node": an_incident(incident_id="NODE", sample=plain_sample("other", "payment-1"), opened_ms=far),
        "worse": an_incident(
            incident_id="WORSE", sample=plain_sample("payment", "p2"), opened_ms=far, severity=Severity.CRITICAL
        ),
        "service": an_incident(incident_id="SERVICE", sample=plain_sample("payment", "p2"), opened_ms=far),
        "together": an_incident(incident_id="TOGETHER", sample=elsewhere, opened_ms=AT_MS - 60_000),
        "neither": an_incident(incident_id="NEITHER", sample=elsewhere, opened_ms=far),
        "over": an_incident(incident_id="OVER", state=IncidentState.RESOLVED),
    }
    found = related_to(incident, [incident, *reversed(one.values())])
    assert [(other.incident_id, other.why) for other in found] == [
        ("TRACE", "same trace"),
        ("NODE", "same node"),
        ("WORSE", "same service"),
        ("SERVICE", "same service"),
        ("TOGETHER", "opened at the same time"),
    ]
