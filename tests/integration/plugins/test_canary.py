"""A canary followed through real topics and a real index. The workers' records are written by the test itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Receipt, Sample, Severity
from streaming.canary import ALERT_PATH, SERVICE, Canary, CanaryLost, Hop, await_document, await_receipt, canary_record
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked, ensure_templates
from streaming.events.model import Level
from streaming.kafka.admin import ensure_topics
from streaming.kafka.clients import producer
from streaming.settings import Settings


@pytest.fixture
def canary() -> Canary:
    return Canary("canary-0123456789abcdef", time.time_ns() // 1_000_000)


@pytest.fixture
def elasticsearch(settings: Settings) -> Iterator[Connection]:
    ensure_templates(settings)
    connection = Connection(settings.elastic)
    yield connection
    connection.close()


def incident_of(canary: Canary) -> Incident:
    now = canary.sent_ms
    return Incident(
        incident_id="i1",
        incident_key="k",
        rule_id="canary",
        group={"event.id": canary.log_id},
        severity=Severity.INFO,
        title="canary",
        state=IncidentState.FIRING,
        version=1,
        count=1,
        opened_ms=now,
        first_ms=now,
        last_ms=now,
        updated_ms=now,
        last_received_ms=now,
        sample=Sample(
            timestamp_ms=now, level=Level.ERROR, message="m", service=SERVICE, node_id="n", log_id=canary.log_id
        ),
        resolve_after_s=60,
    )


def write(settings: Settings, canary: Canary, hops: tuple[Hop, ...]) -> None:
    """What the workers would write at these hops."""
    incident = incident_of(canary)
    values: dict[Hop, object] = {
        Hop.LOGS: canary_record(canary.log_id, Level.ERROR, canary.sent_ms * 1_000_000),
        Hop.DEAD_LETTERS: canary_record(canary.log_id, Level.ERROR, canary.sent_ms * 1_000_000),
        Hop.CANDIDATES: {"sample": incident.sample},
        Hop.INCIDENTS: incident,
        Hop.NOTIFICATIONS: Notification(action=Action.OPEN, incident=incident, created_ms=1),
        Hop.RECEIPTS: Receipt(
            incident_id="i1",
            receiver="canary",
            version=1,
            action=Action.OPEN,
            rule_id="canary",
            severity=Severity.INFO,
            title="canary",
            sent_ms=1,
        ),
    }
    kafka = producer(settings.kafka)
    for hop in hops:
        kafka.produce(settings.topic(hop), key=b"i1", value=msgspec.json.encode(values[hop]))
        # One after another, so that their times are in the order of the hops.
        assert kafka.flush(10) == 0


def test_a_delivery_gives_the_time_at_each_hop(settings: Settings, canary: Canary) -> None:
    ensure_topics(settings)
    writer = threading.Thread(target=write, args=(settings, canary, ALERT_PATH))
    writer.start()
    took_ms = await_receipt(settings, canary, timeout_s=20)
    writer.join()
    assert tuple(took_ms) == ALERT_PATH
    assert list(took_ms.values()) == sorted(took_ms.values())
    assert 0 <= took_ms[Hop.RECEIPTS] < 20_000


def test_a_lost_alert_names_the_hop(settings: Settings, canary: Canary) -> None:
    ensure_topics(settings)
    write(settings, canary, (Hop.LOGS, Hop.CANDIDATES))
    with pytest.raises(CanaryLost, match="the manager opened no incident"):
        await_receipt(settings, canary, timeout_s=2)


def test_a_document_is_found_before_the_index_refreshes_by_itself(
    settings: Settings, canary: Canary, elasticsearch: Connection
) -> None:
    index = f"/{settings.index_prefix}-logs-default-2026.01.01"
    checked(elasticsearch.json("PUT", index, {"settings": {"index": {"refresh_interval": "1h"}}}), "making the index")
    document = {"@timestamp": "2026-01-01T00:00:00Z", "vigil": {"log_id": canary.log_id}}
    checked(elasticsearch.json("POST", f"{index}/_doc", document), "indexing")
    assert 0 <= await_document(settings, canary, timeout_s=10) < 10_000


@pytest.mark.parametrize(
    ("hops", "says"),
    [
        ((), "it is not in Kafka"),
        ((Hop.LOGS,), "the indexer is behind or cannot index"),
        ((Hop.LOGS, Hop.DEAD_LETTERS), "it is a dead letter"),
    ],
)
def test_a_lost_log_names_where_it_was_last(
    settings: Settings, canary: Canary, hops: tuple[Hop, ...], says: str
) -> None:
    ensure_topics(settings)
    ensure_templates(settings)
    write(settings, canary, hops)
    with pytest.raises(CanaryLost, match=says):
        await_document(settings, canary, timeout_s=0.5)
