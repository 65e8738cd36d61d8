"""Everything that Kibana will ask for Vigil's objects, asked of a real Elasticsearch with documents of each kind that
Vigil's own code wrote: a field that is not there or cannot be aggregated fails here."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import msgspec
import pytest
from vigil_airflow.task_logs.lines import LogName, documents
from vigil_airflow.task_logs.store import TaskLogIndex

from infra.kibana.asking import answers
from infra.kibana.checks import asked, checked
from infra.kibana.indices import indices
from infra.kibana.questions import Question, questions
from streaming.alerting.context.documents import keep as keep_context
from streaming.alerting.context.model import Context
from streaming.alerting.messages import Happening, IncidentEvent, IncidentState, Severity
from streaming.audit.findings import Audit, Finding, Latency, PipelineFacts, Problem, audit_of
from streaming.audit.store import index_pending
from streaming.audit.store import keep as keep_audit
from streaming.canary import canary_record
from streaming.dead_letters import document as dead
from streaming.dead_letters.letters import read_letter
from streaming.elastic import bulk
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked as answered
from streaming.elastic.ensure import ensure_templates
from streaming.events import coordinates
from streaming.events.ecs import Provenance, encode
from streaming.events.model import Level, LogEvent
from streaming.events.parse import parse
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import State
from streaming.history.sending import items_of
from streaming.history.sources import SOURCES, read
from streaming.kafka.topics import INCIDENT_EVENTS, NODE_STATUS
from streaming.reports.store import ReportStore
from streaming.settings import Settings
from tests.support.fake_message import fake_message
from tests.support.incidents import an_incident
from tests.support.reports import sample_report

HOSTILE = '<a href="javascript:alert(1)">x</a> {{7*7}} "; drop \x1b[31m'
"""Log text as somebody may write it."""

NOW_NS = time.time_ns()
NOW_MS = NOW_NS // 1_000_000


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """No Kafka."""
    return ("elasticsearch",)


def a_log(level: str, service: str, node: str, **more: object) -> dict[str, object]:
    return {
        "log_id": f"log-{next(_ids)}",
        "node_id": node,
        "log_level": level,
        "message_type": "LOG",
        "message": "charged the card",
        "service_name": service,
        "timestamp": datetime.fromtimestamp(NOW_NS / 1e9, UTC).isoformat(),
        **more,
    }


_ids = count()


def put_logs(settings: Settings) -> None:
    """Of two services and a canary: errors, a fatal one, a slow request of a trace."""
    failed = {"error_details": {"error_code": "E42", "error_message": HOSTILE}}
    ecs = {
        "@timestamp": datetime.fromtimestamp(NOW_NS / 1e9, UTC).isoformat(),
        "log.level": "WARN",
        "message": "slow",
        "service": {"name": "order", "node": {"name": "order-1"}},
        "host": {"name": "host-1"},
        "event": {"duration": 2_500_000_000},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
        "url": {"path": "/orders"},
        "trace": {"id": "4bf92f3577b34da6a3ce929d0e0e4736"},
        "span": {"id": "00f067aa0ba902b7"},
    }
    found = [
        a_log("INFO", "order", "order-1", team="checkout"),
        a_log("ERROR", "payment", "payment-1", **failed),
        a_log("FATAL", "payment", "payment-1", **failed),
        canary_record("canary-1", Level.ERROR, NOW_NS),
        ecs,
    ]
    index = f"{settings.index_prefix}-logs-default-{datetime.fromtimestamp(NOW_NS / 1e9, UTC):%Y.%m.%d}"
    items = []
    for number, record in enumerate(found):
        event = parse(json.dumps(record).encode(), received_ns=NOW_NS)
        assert isinstance(event, LogEvent)
        provenance = Provenance(NOW_NS, f"s{number}", "accumulator1", 1, number, "logs", 0, number)
        encoded = encode(event, provenance, ingested_ns=NOW_NS, fingerprint="f")
        items.append((index, f"id{number}".encode(), encoded))
    put(settings, items)


def put_dead_letters(settings: Settings) -> None:
    at = coordinates.Coordinates("accumulator1", "inc", 3, 4, NOW_NS, 0, "app")
    headers = [
        (coordinates.HEADER, coordinates.encode(at)),
        ("reason", b"not-utf8"),
        ("detail", HOSTILE.encode("utf-8", "replace")),
        ("worker", b"indexer"),
        ("topic", b"logs"),
    ]
    letter = read_letter(fake_message(b"\xff\xfe", headers, offset=7))
    index = dead.index_of(letter, settings.index_prefix, settings.retention_days, NOW_NS)
    assert index is not None
    put(settings, [(index, dead.document_id(letter).encode(), dead.encode(dead.document(letter, NOW_NS)))])


def put(settings: Settings, items: list[tuple[str, bytes, bytes]]) -> None:
    by_index: dict[str, list[bytes]] = defaultdict(list)
    for index, name, document in items:
        by_index[index].append(bulk.item(bulk.create_line(index), name, document))
    with closing(Connection(settings.elastic)) as connection:
        ensure_templates(settings, connection)
        for index, lines in by_index.items():
            connection.request("PUT", f"/{index}")
            assert bulk.read_answer(bulk.send(connection, lines), len(lines), 1) is None
            answered(connection.request("POST", f"/{index}/_refresh"), "refreshing")


def put_audits(settings: Settings) -> None:
    found = Finding(
        problem=Problem.SILENT,
        subject="payment-1",
        severity=Severity.ERROR,
        reason=HOSTILE,
        service="payment",
        incident_id="ABCDEFGHIJ",
    )
    took = Latency.of([120, 480])
    facts = PipelineFacts(
        verify_verdict="proven",
        records=5,
        lost_events=0,
        in_spools=0,
        not_indexed=0,
        offsets={"logs-0": (0, 5)},
        log_to_document=took,
        log_to_alert=took,
    )
    audits: list[Audit] = [
        audit_of("heartbeat", NOW_MS, [found], {}, {"UP": 3}),
        audit_of("pipeline", NOW_MS + 1, [], {}, {}, facts),
    ]
    for audit in audits:
        keep_audit(settings, audit)
    assert index_pending(settings) == 2


def put_history(settings: Settings) -> None:
    """An incident that went all the way, one that is open, critical, one that is silenced; and a node in each state."""
    way = an_incident(severity=Severity.WARNING, incident_id="AWAY", opened_ms=NOW_MS - 90_000)
    taken = msgspec.structs.replace(
        way, state=IncidentState.ACKNOWLEDGED, acknowledged_ms=NOW_MS - 60_000, acknowledged_by="ada"
    )
    gone = msgspec.structs.replace(taken, state=IncidentState.RESOLVED, resolved_ms=NOW_MS)
    still = an_incident(severity=Severity.CRITICAL, incident_id="STILL", title=HOSTILE)
    silent = an_incident(incident_id="SILENT", state=IncidentState.SILENCED, muted_by="silence S")
    told = [
        (Happening.OPENED, way),
        (Happening.ACKNOWLEDGED, taken),
        (Happening.RESOLVED, gone),
        (Happening.REOPENED, still),
        (Happening.ESCALATED, still),
        (Happening.OPENED, silent),
    ]
    records = [
        (INCIDENT_EVENTS, IncidentEvent(happening=what, at_ms=NOW_MS + n, actor="r", reason=HOSTILE, incident=incident))
        for n, (what, incident) in enumerate(told)
    ]
    changes = [(NODE_STATUS, a_change(state)) for state in State]
    sources = {source.topic: source for source in SOURCES}
    found = [
        read(fake_message(msgspec.json.encode(record), topic=topic, offset=n), sources, settings.index_prefix, NOW_NS)
        for n, (topic, record) in enumerate([*records, *changes])
    ]
    items = items_of(found)
    with closing(Connection(settings.elastic)) as connection:
        ensure_templates(settings, connection)
        for index in {item.index for item in items}:
            answered(connection.request("PUT", f"/{index}"), "making an index")
        assert bulk.read_answer(bulk.send(connection, [item.line() for item in items]), len(items), 1) is None


def a_change(state: State) -> NodeStatus:
    return NodeStatus(
        node_id=f"n-{state}",
        service="payment",
        state=state,
        at_ms=NOW_MS,
        last_beat_ms=NOW_MS,
        silent_for_ms=0,
        reason=HOSTILE,
    )


def put_the_rest(settings: Settings) -> None:
    keep_context(settings, Context(an_incident(severity=Severity.CRITICAL), NOW_MS))
    ReportStore(settings).save(sample_report(), {})
    line = json.dumps({"timestamp": "2026-11-26T10:00:00Z", "level": "error", "event": HOSTILE}).encode()
    name = LogName.of("dag_id=d/run_id=r/task_id=t/attempt=1.log")
    with TaskLogIndex(settings) as index:
        assert index.write(documents(name, [line], datetime.now(UTC)), time.monotonic() + 60) is None
    with closing(Connection(settings.elastic)) as connection:
        answered(connection.request("POST", f"/{settings.index_prefix}-*/_refresh"), "refreshing")


@pytest.fixture
def filled(settings: Settings) -> Settings:
    """An Elasticsearch with documents of each kind."""
    put_logs(settings)
    put_dead_letters(settings)
    put_audits(settings)
    put_history(settings)
    put_the_rest(settings)
    return settings


def test_every_search_chart_and_control_is_answered_and_finds_what_is_there(filled: Settings) -> None:
    objects, problems = checked(filled.index_prefix)
    assert problems == []
    told = asked(filled, objects)
    assert [str(one.problem) for one in told if one.problem is not None] == []
    prefix = f"{filled.index_prefix}-"
    found = {one.question.about.id.removeprefix(prefix): one.documents for one in told}
    assert [name for name, documents in found.items() if not documents] == []
    assert found["search-errors"] == 2, "the canary is left out"
    assert found["search-trace"] == found["search-slow"] == 1
    assert (found["chart-incidents-open"], found["chart-incidents-critical"], found["search-incident-events"]) == (
        2,
        1,
        6,
    )
    assert (found["chart-nodes-now-down"], found["search-nodes-not-up"], found["chart-nodes-changes"]) == (1, 3, 6)
    with closing(Connection(filled.elastic)) as connection:
        _says_how_long_an_incident_took(connection, filled)
        _says_what_the_services_did(connection, _question(filled, "chart-logs-table"))
        _fails_where_a_field_is_of_another_type(connection, filled)


def _question(settings: Settings, name: str) -> Question:
    objects, _ = checked(settings.index_prefix)
    found = questions(objects, indices(settings.index_prefix).by_pattern())
    return next(one for one in found if one.about.id == f"{settings.index_prefix}-{name}")


def _says_how_long_an_incident_took(connection: Connection, settings: Settings) -> None:
    for name, wanted_s in (("acknowledge", 30), ("resolve", 90)):
        question = _question(settings, f"chart-incidents-{name}")
        answer = msgspec.json.decode(connection.json("POST", f"/{question.pattern}/_search", question.body).body)
        assert answer["aggregations"]["value"]["values"] == {"50.0": wanted_s * 1e9}


def _says_what_the_services_did(connection: Connection, table: Question) -> None:
    """The aggregation of the table of services, as its columns show it."""
    answer = msgspec.json.decode(connection.json("POST", f"/{table.pattern}/_search", table.body).body)
    rows = {row["key"]: row for row in answer["aggregations"]["group1"]["buckets"]}
    assert {name: row["doc_count"] for name, row in rows.items()} == {"order": 2, "payment": 2}
    assert [rows[name]["value2"]["doc_count"] for name in ("order", "payment")] == [0, 2]
    assert rows["order"]["value3"]["value"] == 1
    assert rows["order"]["value4"]["values"]["95.0"] == 2_500_000_000
    assert rows["payment"]["value5"]["value"] == pytest.approx(NOW_MS, abs=1)


def _fails_where_a_field_is_of_another_type(connection: Connection, settings: Settings) -> None:
    """What the check of the mapping refuses, Elasticsearch refuses too."""

    def refusal(name: str, field: str, other: str) -> str:
        question = _question(settings, name)
        body = json.loads(json.dumps(question.body).replace(f'{{"field": "{field}"', f'{{"field": "{other}"'))
        assert body != question.body
        [answer] = answers(connection, [replace(question, body=body)])
        return str(answer.problem)

    assert "[message]" in refusal("chart-logs-table", "service.name", "message")
    assert "[log.level]" in refusal("chart-logs-duration", "event.duration", "log.level")
    assert "[log.level]" in refusal("chart-logs-levels", "@timestamp", "log.level")
