"""What a canary is, how it is recognised on its way, and what is said when it gets lost."""

from __future__ import annotations

import socket
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.messages import (
    Action,
    Candidate,
    Incident,
    IncidentState,
    Notification,
    Receipt,
    Sample,
    Severity,
)
from streaming.canary import (
    ALERT_PATH,
    RULE_ID,
    SERVICE,
    TAG,
    Hop,
    Sightings,
    canary_record,
    explain_missing_document,
    explain_missing_receipt,
    send_canary,
)
from streaming.errors import Unavailable
from streaming.events.model import Level
from streaming.settings import Settings

LOG_ID = "canary-0123456789abcdef"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, topic_prefix="t-")


def records_of(log_id: str, incident_id: str) -> list[tuple[Hop, bytes]]:
    """One record of each hop of the alert path, as the workers write them."""
    sample = Sample(timestamp_ms=1, level=Level.ERROR, message="m", service=SERVICE, node_id="n", log_id=log_id)
    candidate = Candidate(
        rule_id=RULE_ID,
        group={"event.id": log_id},
        severity=Severity.INFO,
        title="canary",
        count=1,
        first_ms=1,
        last_ms=1,
        received_ms=1,
        sample=sample,
    )
    incident = Incident(
        incident_id=incident_id,
        incident_key=candidate.incident_key,
        rule_id=RULE_ID,
        group=candidate.group,
        severity=Severity.INFO,
        title="canary",
        state=IncidentState.FIRING,
        version=1,
        count=1,
        opened_ms=1,
        first_ms=1,
        last_ms=1,
        updated_ms=1,
        last_received_ms=1,
        sample=sample,
        resolve_after_s=60,
    )
    receipt = Receipt(
        incident_id=incident_id,
        receiver="console",
        version=1,
        action=Action.OPEN,
        rule_id=RULE_ID,
        severity=Severity.INFO,
        title="canary",
        sent_ms=1,
    )
    encode = msgspec.json.encode
    return [
        (Hop.LOGS, encode(canary_record(log_id, Level.ERROR, 1))),
        (Hop.CANDIDATES, encode(candidate)),
        (Hop.INCIDENTS, encode(incident)),
        (Hop.NOTIFICATIONS, encode(Notification(action=Action.OPEN, incident=incident, created_ms=1))),
        (Hop.RECEIPTS, encode(receipt)),
    ]


def sighted(records: list[tuple[Hop, bytes]]) -> Sightings:
    seen = Sightings(LOG_ID)
    for hop, value in records:
        seen.note(hop, value, ALERT_PATH.index(hop) + 100)
    return seen


@pytest.mark.parametrize("level", list(Level))
def test_a_canary_is_a_canonical_log(level: Level) -> None:
    record = canary_record(LOG_ID, level, 1_700_000_000_123_456_000)
    assert record["log_level"] == level.value
    assert record["service_name"] == SERVICE
    assert record["log_id"] == LOG_ID
    assert datetime.fromisoformat(str(record["timestamp"])).timestamp() == pytest.approx(1_700_000_000.123456)
    assert ("error_details" in record) == (level in (Level.ERROR, Level.FATAL))


def test_each_is_sent_with_an_id_of_its_own(forward_server: Any, settings: Settings) -> None:
    here = settings.model_copy(update={"accumulator1_port": forward_server.port})
    before_ms = time.time_ns() // 1_000_000
    sent = [send_canary(here, Level.INFO), send_canary(here, Level.ERROR)]
    assert [r["log_id"] for r in forward_server.records("LOG")] == [c.log_id for c in sent]
    assert len({c.log_id for c in sent}) == 2
    assert all(before_ms <= c.sent_ms <= time.time_ns() // 1_000_000 for c in sent)
    assert {e.tag for e in forward_server.events} == {TAG}


def test_without_an_accumulator_it_says_which(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable, match=f"accumulator 127.0.0.1:{port}"):
        send_canary(settings.model_copy(update={"accumulator1_port": port}), Level.INFO)


@given(st.permutations(records_of(LOG_ID, "i1") + records_of("canary-of-another", "i2")))
def test_it_is_recognised_at_every_hop_in_whatever_order(records: list[tuple[Hop, bytes]]) -> None:
    assert sighted(records).at_ms == {hop: n + 100 for n, hop in enumerate(ALERT_PATH)}


def test_another_canary_is_not_this_one() -> None:
    assert sighted(records_of("canary-of-another", "i2")).at_ms == {}


@given(st.sampled_from(list(Hop)), st.binary())
def test_anything_may_lie_in_a_topic(hop: Hop, value: bytes) -> None:
    Sightings(LOG_ID).note(hop, value, 1)


@pytest.mark.parametrize(
    ("arrived", "says"),
    [
        (0, "accumulator1 acknowledged it, but it is not in Kafka (topic t-logs)"),
        (1, "the matcher made no candidate of it; is rule `canary`"),
        (2, "the manager opened no incident"),
        (3, "the manager ordered no notification"),
        (4, "the notifier has no receipt"),
    ],
)
def test_a_lost_alert_names_the_first_hop_it_did_not_reach(settings: Settings, arrived: int, says: str) -> None:
    text = explain_missing_receipt(sighted(records_of(LOG_ID, "i1")[:arrived]), settings, 30)
    assert text.startswith(f"canary alert {LOG_ID} was not delivered within 30 s: ")
    assert says in text
    assert str(settings.log_dir) in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("hops", "says"),
    [
        ([], "not in Kafka"),
        ([Hop.LOGS], "the indexer is behind or cannot index"),
        ([Hop.LOGS, Hop.DEAD_LETTERS], "it is a dead letter (topic t-dead-letters)"),
    ],
)
def test_a_lost_log_names_where_it_was_seen_last(settings: Settings, hops: list[Hop], says: str) -> None:
    seen = Sightings(LOG_ID, dict.fromkeys(hops, 1))
    text = explain_missing_document(seen, settings, 30)
    assert text.startswith(f"canary log {LOG_ID} was not found in Elasticsearch within 30 s: ")
    assert says in text
