"""What an event of an incident and a change of a node become: named, placed and bounded, whatever logs say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.messages import Happening, Incident, IncidentEvent, IncidentState, Note, Notification
from streaming.elastic.mapping import INCIDENTS, NODES
from streaming.events.fields import INCIDENT_FIELDS, NODE_FIELDS
from streaming.events.model import Json
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import About, State
from streaming.history import incidents, nodes
from streaming.history.document import Documents, Told, documents
from streaming.history.sources import SOURCES, Unreadable, read
from streaming.kafka.topics import INCIDENT_EVENTS, NODE_STATUS
from streaming.retention.classes import HISTORY_DAYS
from streaming.rolling.state import identified
from tests.support.fake_message import fake_message
from tests.support.hostile import NASTY_TEXTS
from tests.support.incidents import AT_MS, an_incident, hostile_notifications, plain_incident

NOW_NS = AT_MS * 1_000_000
DAY_MS = 86_400_000
BY_TOPIC = {source.topic: source for source in SOURCES}


def an_event(incident: Incident, happening: Happening = Happening.OPENED, at_ms: int = AT_MS) -> IncidentEvent:
    return IncidentEvent(happening=happening, at_ms=at_ms, actor="gateway", reason="because", incident=incident)


def full_event() -> IncidentEvent:
    """One with something in every field."""
    incident = an_incident(
        state=IncidentState.RESOLVED,
        resolved_ms=AT_MS + 90_000,
        acknowledged_ms=AT_MS + 30_000,
        acknowledged_by="ada",
        firing_since_ms=AT_MS + 10_000,
        muted_by="silence S1",
        rule_kind="match",
        text="rendered",
    )
    note = Note(note_id="n1", author="ada", text="I look")
    return msgspec.structs.replace(an_event(incident, Happening.ANNOTATED), note=note)


def a_status(**changes: object) -> NodeStatus:
    status = NodeStatus(
        node_id="payment-1",
        service="payment",
        state=State.DOWN,
        at_ms=AT_MS,
        last_beat_ms=AT_MS - 30_000,
        silent_for_ms=30_000,
        reason="silent for 30 s",
        accumulator="accumulator1",
        skew_ms=12.6,
    )
    return msgspec.structs.replace(status, **changes)


def leaves(fields: Json, before: str = "") -> dict[str, Json]:
    """By their whole names; what lies in a flattened field is one."""
    found: dict[str, Json] = {}
    assert isinstance(fields, dict)
    for name, value in fields.items():
        whole = before + name
        if isinstance(value, dict) and whole not in ("labels", "vigil.incident.group"):
            found |= leaves(value, f"{whole}.")
        else:
            found[whole] = value
    return found


def as_documents(value: bytes, topic: str = INCIDENT_EVENTS, offset: int = 7, now_ns: int = NOW_NS) -> Documents:
    return read(fake_message(value, topic=topic, offset=offset, appended_ms=AT_MS), BY_TOPIC, "vigil", now_ns)


def test_every_field_is_in_the_mapping_and_every_field_of_the_mapping_is_written() -> None:
    made = as_documents(msgspec.json.encode(full_event()))
    assert leaves(orjson.loads(made.encoded)).keys() == INCIDENT_FIELDS.keys()
    made = as_documents(msgspec.json.encode(a_status()), NODE_STATUS)
    assert leaves(orjson.loads(made.encoded)).keys() == NODE_FIELDS.keys()


def test_times_to_acknowledge_and_to_resolve_are_nanoseconds() -> None:
    found = leaves(incidents.told(full_event()).fields)
    assert found["vigil.incident.time_to_acknowledge"] == 20 * 10**9, "since it began to fire"
    assert found["event.duration"] == 90 * 10**9, "since it was opened"
    silent = an_incident(acknowledged_ms=AT_MS + 5_000, acknowledged_by="ada", firing_since_ms=0)
    assert leaves(incidents.told(an_event(silent)).fields)["vigil.incident.time_to_acknowledge"] == 5 * 10**9
    back = an_incident(resolved_ms=AT_MS - 1, state=IncidentState.RESOLVED)
    assert leaves(incidents.told(an_event(back)).fields)["event.duration"] == 0, "a clock was set back"
    assert "event.duration" not in leaves(incidents.told(an_event(an_incident())).fields)


def test_an_event_is_named_by_its_content_and_a_state_by_its_subject() -> None:
    first, moved = (as_documents(msgspec.json.encode(full_event()), offset=offset) for offset in (7, 900))
    assert (first.event_index, first.event_id) == (moved.event_index, moved.event_id), "a restore moves it"
    assert first.event_index == "vigil-incident-events-2026.09"
    assert first.last_index == "vigil-incidents-2026.09"
    other = as_documents(msgspec.json.encode(an_event(an_incident(version=9))))
    assert other.event_id != first.event_id
    assert other.last_id == first.last_id
    node = as_documents(msgspec.json.encode(a_status()), NODE_STATUS)
    assert (node.event_index, node.last_index) == ("vigil-node-status-2026.09", "vigil-nodes")


def test_a_state_stays_in_the_month_in_which_its_incident_was_opened() -> None:
    later = an_event(an_incident(), Happening.UPDATED, at_ms=AT_MS + 40 * DAY_MS)
    made = as_documents(msgspec.json.encode(later), now_ns=NOW_NS + 41 * DAY_MS * 1_000_000)
    assert (made.event_index, made.last_index) == ("vigil-incident-events-2026.10", "vigil-incidents-2026.09")


@settings(max_examples=40)
@given(age=st.integers(-40, 2 * HISTORY_DAYS))
def test_an_index_is_not_made_again_when_roll_deletes_it(age: int) -> None:
    now_ns = NOW_NS + age * DAY_MS * 1_000_000
    made = as_documents(msgspec.json.encode(an_event(an_incident())), now_ns=now_ns)
    found = identified("vigil", "vigil-incident-events-2026.09")
    assert found is not None
    is_over = found[3] + HISTORY_DAYS + 1 <= now_ns // (DAY_MS * 1_000_000)
    assert (made.event_index is None) == (made.last_index is None) == is_over
    node = as_documents(msgspec.json.encode(a_status()), NODE_STATUS, now_ns=now_ns)
    assert node.last_index == "vigil-nodes"


def test_a_time_of_no_clock_is_placed_by_kafkas() -> None:
    wild = as_documents(msgspec.json.encode(an_event(plain_incident(opened_ms=-5), at_ms=10**17)))
    assert (wild.event_index, wild.last_index) == ("vigil-incident-events-2026.09", "vigil-incidents-2026.09")


@settings(max_examples=15)
@given(hostile_notifications(), st.sampled_from(Happening), st.integers(-(2**62), 2**62))
def test_any_incident_becomes_a_bounded_document(told: Notification, happening: Happening, at_ms: int) -> None:
    event = an_event(told.incident, happening, at_ms)
    _fits(incidents.told(event), INCIDENT_FIELDS)


@settings(max_examples=30)
@given(
    st.sampled_from(NASTY_TEXTS) | st.text(max_size=50_000),
    st.floats(allow_nan=False) | st.none(),
    st.integers(-(2**63), 2**63 - 1),
)
def test_any_node_becomes_a_bounded_document(text: str, skew_ms: float | None, number: int) -> None:
    status = a_status(
        node_id=text, service=text, reason=text, accumulator=text, skew_ms=skew_ms, silent_for_ms=number, at_ms=number
    )
    _fits(nodes.told(status), NODE_FIELDS)


def test_a_huge_incident_is_cut() -> None:
    many = {f"k{n}": "v" * 10_000 for n in range(1_000)}
    big = an_incident(labels=many, group=many, incident_key="k" * 10**6, title="t" * 10**6, text="x" * 10**6)
    _fits(incidents.told(an_event(big)), INCIDENT_FIELDS)


def _fits(told: Told, declared: dict[str, str]) -> None:
    made = documents(fake_message(b"", topic="t"), told, INCIDENTS, "vigil", NOW_NS)
    assert len(made.encoded) <= 600_000
    for name, value in leaves(orjson.loads(made.encoded)).items():
        assert name in declared
        if declared[name] == "date_nanos":
            assert datetime.fromisoformat(cast(str, value)).tzinfo == UTC
        elif declared[name] == "long":
            assert isinstance(value, int)
            assert -(2**63) <= value < 2**63


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b"[]", b'{"happening":"exploded"}'])
@pytest.mark.parametrize("topic", [INCIDENT_EVENTS, NODE_STATUS])
def test_what_is_no_record_of_the_topic_is_told(value: bytes, topic: str) -> None:
    with pytest.raises(Unreadable):
        as_documents(value, topic)


def test_what_a_node_says_of_itself_is_all_there() -> None:
    found = leaves(nodes.told(a_status(about=About.SKEW, reason="")).fields)
    assert (found["event.action"], found["vigil.node.state"], found["vigil.node.skew_ms"]) == ("skew", "DOWN", 13)
    assert found["message"] == "payment-1 is DOWN"
    assert NODES.last_pattern("vigil") == "vigil-nodes"
