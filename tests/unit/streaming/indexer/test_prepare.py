"""Every record ends as exactly one thing: document, dead letter, stray or expired."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.elastic import bulk
from streaming.fingerprint.shapes import fingerprint
from streaming.indexer.identity import NS_PER_DAY, index_name
from streaming.indexer.prepare import RECEIVE_TIME, Prepared, Preparer
from streaming.indexer.shapes import Shapes
from streaming.kafka.topics import HEARTBEATS, REGISTRATIONS
from streaming.retention.classes import Class, Retention, Version

if TYPE_CHECKING:
    from tests.unit.streaming.indexer.conftest import MakeMessage

TODAY = 20_781
NOW = TODAY * NS_PER_DAY + NS_PER_DAY // 2  # 2026-11-24, noon
LOG = (
    b'{"log_id":"l1","node_id":"n1","log_level":"INFO","message_type":"LOG","message":"x","service_name":"s",'
    b'"timestamp":"2026-11-24T06:40:00Z"}'
)


@pytest.fixture
def preparer() -> Preparer:
    """On a fixed day, with 30 days of retention."""
    return Preparer("vigil", Retention(30), lambda: NOW)


def sinks(out: Prepared) -> int:
    return len(out.documents) + len(out.letters) + len(out.strays) + out.expired


def test_a_log_becomes_one_item(preparer: Preparer, message: MakeMessage) -> None:
    out = preparer.prepare([message(LOG, received_ns=NOW, offset=3)])
    action, document = (json.loads(line) for line in out.items[0].splitlines())
    assert action["create"]["_index"] == "vigil-logs-default-2026.11.24"
    assert document["vigil"]["source"] == "acc1.inc0:7:3"
    assert document["event"]["ingested"].startswith("2026-11-24T12:00:00")
    assert out.offsets == {0: (3, 3)}


def test_a_document_carries_the_fingerprint_of_its_message_either_way(message: MakeMessage) -> None:
    told: list[str] = []

    class Told(Shapes):
        def name(self, text: str, received_ns: int) -> str:
            assert received_ns == NOW
            told.append(text)
            return super().name(text, received_ns)

    canonical, dialect = LOG, b'{"message":"x","level":"info"}'
    out = Preparer("vigil", Retention(30), lambda: NOW, Told()).prepare(
        [message(canonical, received_ns=NOW), message(dialect, offset=1, received_ns=NOW)]
    )
    marks = [json.loads(item.splitlines()[1])["vigil"]["fingerprint"] for item in out.items]
    assert marks == [fingerprint("x")] * 2
    assert told == ["x"] * 2
    without = Preparer("vigil", Retention(30), lambda: NOW).prepare([message(canonical, received_ns=NOW)])
    assert b"fingerprint" not in without.items[0]


def test_the_same_record_again_has_the_same_id_wherever_it_lies(preparer: Preparer, message: MakeMessage) -> None:
    def name(item: bytes) -> str:
        return str(json.loads(item.splitlines()[0])["create"]["_id"])

    one, two = preparer.prepare([message(LOG, offset=1, received_ns=NOW), message(LOG, 4, 9, NOW)]).items
    assert name(one) == name(two)
    one, two = preparer.prepare([message(b"plain", offset=1), message(b"plain", offset=2)]).items
    assert name(one) != name(two)


@pytest.mark.parametrize(("days_ago", "kept"), [(0, True), (30, True), (31, False), (400, False)])
def test_past_retention_is_expired(preparer: Preparer, message: MakeMessage, days_ago: int, kept: bool) -> None:
    record = message(LOG, received_ns=NOW - days_ago * NS_PER_DAY)
    out = preparer.prepare([record])
    assert (len(out.items), out.expired) == ((1, 0) if kept else (0, 1))
    assert preparer.is_kept(index_name("vigil", TODAY - days_ago)) == kept


def test_the_turn_of_a_day_expires_what_was_kept(message: MakeMessage) -> None:
    now = [NOW]
    preparer = Preparer("vigil", Retention(30), lambda: now[0])
    old = message(LOG, received_ns=NOW - 30 * NS_PER_DAY)
    assert preparer.prepare([old]).expired == 0
    now[0] += NS_PER_DAY
    assert preparer.prepare([old]).expired == 1


def test_the_class_of_the_receive_day_names_the_index(message: MakeMessage) -> None:
    debug = LOG.replace(b"INFO", b"DEBUG")
    retention = Retention(30, [Version(date(2026, 11, 24), (Class("short", 3, levels=("DEBUG",)),))])
    preparer = Preparer("vigil", retention, lambda: NOW + 3 * NS_PER_DAY)
    dialect = b'{"message":"x","level":"debug"}'
    for value, received_ns, index in [
        (LOG, NOW, "vigil-logs-default-2026.11.24"),
        (debug, NOW, "vigil-logs-short-2026.11.24"),
        (dialect, NOW, "vigil-logs-short-2026.11.24"),
        (debug, NOW - NS_PER_DAY, "vigil-logs-default-2026.11.23"),
    ]:
        (item,) = preparer.prepare([message(value, received_ns=received_ns)]).items
        assert bulk.index_of(item) == index
    later = Preparer("vigil", retention, lambda: NOW + 4 * NS_PER_DAY)
    assert later.prepare([message(v, received_ns=NOW) for v in (LOG, debug, dialect)]).expired == 2


def test_beats_and_registrations_go_to_their_topics(preparer: Preparer, message: MakeMessage) -> None:
    beat = b'{"node_id":"n1","message_type":"HEARTBEAT","status":"UP","timestamp":"2026-11-24T06:40:00Z"}'
    new = b'{"node_id":"n2","message_type":"REGISTRATION","service_name":"s","timestamp":"2026-11-24T06:40:00Z"}'
    out = preparer.prepare([message(beat), message(new, offset=1)])
    assert [(s.topic, s.node_id) for s in out.strays] == [(HEARTBEATS, "n1"), (REGISTRATIONS, "n2")]


def test_a_receive_time_that_nobody_set_is_a_dead_letter(preparer: Preparer, message: MakeMessage) -> None:
    out = preparer.prepare([message(LOG, received_ns=10**30)])
    assert [letter.reason for letter in out.letters] == [RECEIVE_TIME]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary() | st.text().map(str.encode), max_size=8), st.integers(-(2**63), 2**63))
def test_no_record_is_lost_between_the_chairs(message: MakeMessage, values: list[bytes], received_ns: int) -> None:
    preparer = Preparer("vigil", Retention(30), lambda: NOW)
    records = [message(value, offset=n, received_ns=received_ns if n % 2 else None) for n, value in enumerate(values)]
    out = preparer.prepare(records)
    assert sinks(out) == out.read == len(values)
    assert all(item.count(b"\n") == 2 for item in out.items)
    if values:
        assert out.offsets == {0: (0, len(values) - 1)}
