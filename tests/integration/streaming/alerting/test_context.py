"""What is gathered around an incident, from a real Elasticsearch and a real Kafka."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest
from confluent_kafka import Producer

from streaming.alerting.context.gathering import gather
from streaming.alerting.context.model import Deed
from streaming.alerting.messages import Severity
from streaming.elastic import bulk
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import ensure_templates
from streaming.events.ecs import Provenance, encode
from streaming.events.model import Level, LogEvent
from streaming.heartbeat.messages import NodeRecord
from streaming.heartbeat.states import State
from streaming.kafka import topics as catalogue
from streaming.settings import Settings
from tests.support.incidents import AT_MS, an_incident, plain_sample

if TYPE_CHECKING:
    from streaming.kafka.admin import TopicReport

INCIDENT = an_incident(sample=msgspec.structs.replace(an_incident().sample, source="s6"))
TRACE = INCIDENT.sample.trace_id


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    return ("kafka", "elasticsearch")


def index(settings: Settings) -> None:
    """Seven logs of its node up to its own, one second apart; then one after it opened, one of another node, and one
    of its trace elsewhere."""
    found = [(n - 6, "payment", "payment-1", TRACE if n == 6 else None) for n in range(7)]
    found += [(5, "payment", "payment-1", None), (-1, "payment", "payment-2", None), (30, "order", "order-1", TRACE)]
    name = f"{settings.index_prefix}-logs-default-2026.09.21"
    with closing(Connection(settings.elastic)) as connection:
        ensure_templates(settings)
        connection.request("PUT", f"/{name}")
        items = []
        for number, (second, service, node, trace) in enumerate(found):
            at_ns = (AT_MS + second * 1000) * 10**6
            event = LogEvent(
                timestamp_ns=at_ns,
                level=Level.INFO,
                message=f"m{number}",
                service=service,
                node_id=node,
                trace_id=trace,
            )
            provenance = Provenance(at_ns, f"s{number}", "a", 1, number, "logs", 0, number)
            items.append(
                bulk.item(bulk.create_line(name), f"id{number}".encode(), encode(event, provenance, ingested_ns=at_ns))
            )
        assert bulk.read_answer(bulk.send(connection, items), len(items), 1) is None
        connection.request("POST", f"/{name}/_refresh")


def test_all_sources(settings: Settings, topics: TopicReport) -> None:
    index(settings)
    node = NodeRecord(
        node_id="payment-1",
        service="payment",
        state=State.DOWN,
        since_ms=AT_MS,
        first_seen_ms=0,
        last_beat_ms=AT_MS,
        mean_interval_ms=1000.0,
        reason="silent for 9 s",
    )
    other = an_incident(incident_id="KLMNOPQRST", sample=plain_sample("payment", "p2"), severity=Severity.CRITICAL)
    out = Producer({"bootstrap.servers": settings.bootstrap})
    out.produce(settings.topic(catalogue.NODE_REGISTRY), msgspec.json.encode(node), key="payment-1")
    for one in (INCIDENT, other):
        out.produce(settings.topic(catalogue.INCIDENT_STATE), msgspec.json.encode(one), key=one.incident_id)
    assert out.flush(30) == 0

    found = gather(settings, INCIDENT, [Deed(AT_MS - 1000, "started: payment")])
    assert [line.text for line in found.logs.items] == [f"m{n}" for n in range(7)]
    assert [line.text for line in found.trace.items] == ["m9"]
    assert (found.logs.by, found.logs.away) == ("Elasticsearch", "")
    assert [deed.what for deed in found.deeds.items] == ["started: payment"]
    assert [(line.node_id, line.state) for line in found.nodes.items] == [("payment-1", "DOWN")]
    assert [(one.incident_id, one.why) for one in found.related.items] == [("KLMNOPQRST", "same service")]
