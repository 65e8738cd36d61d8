"""Each dialect by example: what is read into fields, and what stays a label."""

from __future__ import annotations

import json

import pytest

from streaming.events.model import Heartbeat, Json, Level, LogEvent, NodeState, Registration
from streaming.events.parse import parse

RECEIVED_NS = 1_795_502_400_000_000_000
AT_NS = 1_795_502_291_000_000_000
AT = "2026-11-24T06:38:11Z"
LOG: dict[str, Json] = {
    "log_id": "1",
    "node_id": "n",
    "log_level": "INFO",
    "message_type": "LOG",
    "message": "hi",
    "service_name": "S",
    "timestamp": AT,
}
EVENT = LogEvent(timestamp_ns=AT_NS, level=Level.INFO, message="hi", service="S", node_id="n", log_id="1")


def read(record: object) -> object:
    return parse(json.dumps(record).encode(), received_ns=RECEIVED_NS)


def changed(**fields: object) -> LogEvent:
    """The canonical event with some fields changed."""
    event = LogEvent(**{name: getattr(EVENT, name) for name in EVENT.__struct_fields__} | fields)
    assert isinstance(event, LogEvent)
    return event


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (LOG, EVENT),
        ({key.replace("_", "-"): value for key, value in LOG.items()}, EVENT),
        ({key.title().replace("_", ""): value for key, value in LOG.items()}, EVENT),
        (LOG | {"message_type": "log"}, changed(labels={"message_type": "log"})),
        (LOG | {"message_type": "CLOSE_LOG"}, changed(labels={"message_type": "CLOSE_LOG"})),
        (LOG | {"node_id": 7}, changed(node_id="7")),
        ({key: value for key, value in LOG.items() if key != "log_id"}, changed(log_id=None)),
        (LOG | {"log_level": "warning"}, changed(level=Level.WARN, labels={"log_level": "warning"})),
        (LOG | {"log_level": "CRITICAL"}, changed(level=Level.FATAL, labels={"log_level": "CRITICAL"})),
        (LOG | {"log_level": "loud"}, changed(labels={"log_level": "loud"})),
        (LOG | {"timestamp": "2026-11-24T06:38:11"}, changed(labels={"timestamp": "2026-11-24T06:38:11"})),
        (LOG | {"timestamp": "2026-11-24 06:38:11"}, changed(labels={"timestamp": "2026-11-24 06:38:11"})),
        (LOG | {"timestamp": "2026-11-24T12:08:11+05:30"}, changed(labels={"timestamp": "2026-11-24T12:08:11+05:30"})),
        (LOG | {"timestamp": 1795502291.0}, changed(labels={"timestamp": 1795502291.0})),
        (LOG | {"timestamp": 1795502291000}, changed(labels={"timestamp": 1795502291000})),
        (
            LOG | {"timestamp": "0001-01-01T00:00:00Z"},
            changed(timestamp_ns=RECEIVED_NS, time_source="received", labels={"timestamp": "0001-01-01T00:00:00Z"}),
        ),
        (LOG | {"response_time_ms": 812}, changed(duration_ns=812_000_000)),
        (LOG | {"response_time_ms": 812.5}, changed(duration_ns=812_500_000)),
        (
            LOG | {"response_time_ms": "response_time_ms 812", "threshold_limit_ms": "500 ms"},
            changed(
                duration_ns=812_000_000,
                threshold_ns=500_000_000,
                labels={"response_time_ms": "response_time_ms 812", "threshold_limit_ms": "500 ms"},
            ),
        ),
        (LOG | {"response_time_ms": "slow"}, changed(labels={"response_time_ms": "slow"})),
        (LOG | {"response_time_ms": -3}, changed(labels={"response_time_ms": -3})),
        (LOG | {"response_time_ms": 10**30}, changed(labels={"response_time_ms": 10**30})),
        (
            LOG | {"error_details": {"error_code": 5, "error_message": "m", "hint": "h", "stack": "a\nb"}},
            changed(error_code="5", error_message="m", error_stack="a\nb", labels={"error_details": {"hint": "h"}}),
        ),
        (
            LOG | {"error_details": '{"error_code": "E", "error_message": "m"}'},
            changed(
                error_code="E",
                error_message="m",
                labels={"error_details": '{"error_code": "E", "error_message": "m"}'},
            ),
        ),
        (LOG | {"error_details": "it broke"}, changed(error_message="it broke")),
        (LOG | {"message": {"a": 1}}, changed(message='{"a":1}', labels={"message": {"a": 1}})),
        (LOG | {"seq": 3, "instance_id": "i"}, changed(labels={"seq": 3, "instance_id": "i"})),
        (
            LOG
            | {"trace_id": "t", "span_id": "s", "parent_id": "p", "start_time": AT, "http_method": "GET"}
            | {"http_status": 503, "http_path": "/x", "logger": "l", "duration_ms": 2},
            changed(
                trace_id="t",
                span_id="s",
                parent_span_id="p",
                start_ns=AT_NS,
                http_method="GET",
                http_status=503,
                http_path="/x",
                logger="l",
                duration_ns=2_000_000,
            ),
        ),
        ({"msg": LOG}, EVENT),
        ({"msg": LOG, "host": "h"}, changed(host="h")),
        ({"msg": LOG, "service_name": "other"}, changed(labels={"service_name": "other"})),
        ({"message": repr(LOG)}, changed(original=repr(LOG))),
        (LOG | {"message": repr(LOG)}, changed(message=repr(LOG))),
        (
            {"log": json.dumps(LOG) + "\n", "stream": "stdout", "time": AT},
            changed(original=json.dumps(LOG) + "\n", labels={"stream": "stdout", "time": AT}),
        ),
    ],
)
def test_canonical_variants(record: object, expected: LogEvent) -> None:
    assert read(record) == expected


def found(record: object) -> dict[str, object]:
    """What of the event is not as an empty one has it."""
    event = read(record)
    assert isinstance(event, LogEvent)
    empty = LogEvent(timestamp_ns=AT_NS, level=Level.INFO, message="")
    names = event.__struct_fields__
    return {name: getattr(event, name) for name in names if getattr(event, name) != getattr(empty, name)}


def test_ecs_nested_and_dotted_are_one() -> None:
    nested = {
        "@timestamp": AT,
        "log": {"level": "warn", "logger": "x", "origin": {"line": 3}},
        "message": "m",
        "service": {"name": "s", "node": {"name": "n"}},
        "error": {"code": "E", "stack_trace": "st"},
        "event": {"duration": 5},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 500}},
        "labels": {"a": 1},
    }
    dotted = {
        "@timestamp": AT,
        "log.level": "warn",
        "log.logger": "x",
        "log.origin.line": 3,
        "message": "m",
        "service.name": "s",
        "service.node.name": "n",
        "error.code": "E",
        "error.stack_trace": "st",
        "event.duration": 5,
        "http.request.method": "GET",
        "http.response.status_code": 500,
        "labels": {"a": 1},
    }
    expected = {
        "level": Level.WARN,
        "message": "m",
        "service": "s",
        "node_id": "n",
        "logger": "x",
        "error_code": "E",
        "error_stack": "st",
        "duration_ns": 5,
        "http_method": "GET",
        "http_status": 500,
        "dialect": "ecs",
    }
    assert found(nested) == expected | {"labels": {"log": {"level": "warn", "origin": {"line": 3}}, "a": 1}}
    assert found(dotted) == expected | {"labels": {"log.level": "warn", "log.origin.line": 3, "a": 1}}


def test_opentelemetry() -> None:
    assert found(
        {
            "timeUnixNano": str(AT_NS),
            "severityNumber": 17,
            "body": {"stringValue": "boom"},
            "traceId": "t",
            "spanId": "s",
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "svc"}}]},
            "attributes": {"http.request.method": "GET", "retries": 3},
        }
    ) == {
        "level": Level.ERROR,
        "message": "boom",
        "service": "svc",
        "trace_id": "t",
        "span_id": "s",
        "http_method": "GET",
        "dialect": "otel",
        "labels": {"severityNumber": 17, "attributes": {"retries": 3}},
    }


def test_opentelemetry_s_number_is_the_level_and_its_text_is_kept() -> None:
    record: dict[str, Json] = {
        "severityNumber": 13,
        "severityText": "Oops",
        "body": "x",
        "attributes": {"level": "info"},
    }
    got = found(record)
    assert (got["level"], got["dialect"]) == (Level.WARN, "otel")
    assert got["labels"] == {"severityNumber": 13, "severityText": "Oops", "attributes": {"level": "info"}}


def test_opentelemetry_s_body_of_any_kind() -> None:
    bodies: list[tuple[Json, str]] = [
        ({"a": 1, "b": [True]}, '{"a":1,"b":[true]}'), ([1, "x"], '[1,"x"]'), (7, "7"), (False, "false"),
    ]  # fmt: skip
    for body, shown in bodies:
        got = found({"severityNumber": 9, "body": body})
        assert got["message"] == shown
        assert got["labels"] == {"severityNumber": 9, "body": body}
    assert found({"level": "info", "body": {"a": 1}, "msg": "sent"})["message"] == "sent"


def test_syslog_s_priority_is_a_level() -> None:
    for pri, level in [(34, Level.FATAL), ("187", Level.ERROR), (7, Level.DEBUG), (191, Level.DEBUG)]:
        got = found({"pri": pri, "message": "INFO x"})
        assert (got["level"], got["message"], got["labels"]) == (level, "INFO x", {"pri": pri})
    for none in (192, -1, "x", True, 3.5):
        assert found({"pri": none, "message": "x"}).get("level", Level.INFO) == Level.INFO
    simple = {"severityText": "Error", "body": "boom", "resource": {"service.name": "svc"}, "timestamp": AT}
    assert found(simple) == {
        "level": Level.ERROR,
        "message": "boom",
        "service": "svc",
        "dialect": "otel",
        "labels": {"severityText": "Error"},
    }


def test_json_formatters() -> None:
    python = {"asctime": "2026-11-24 06:38:11,000", "levelname": "ERROR", "name": "a.b", "message": "m", "process": 3}
    assert found(python) == {
        "level": Level.ERROR,
        "message": "m",
        "logger": "a.b",
        "process_id": 3,
        "dialect": "python",
        "labels": {"asctime": "2026-11-24 06:38:11,000"},
    }
    pino = {"level": 50, "time": AT_NS // 1_000_000, "pid": 3, "hostname": "h", "msg": "m", "err": {"stack": "st"}}
    assert found(pino) == {
        "level": Level.ERROR,
        "message": "m",
        "process_id": 3,
        "host": "h",
        "error_stack": "st",
        "dialect": "json",
        "labels": {"level": 50, "time": AT_NS // 1_000_000},
    }
    structlog = {"event": "started", "level": "INFO", "timestamp": AT, "user": {"id": 1}}
    assert found(structlog) == {"message": "started", "dialect": "json", "labels": {"user": {"id": 1}}}


def test_a_line_in_a_record_says_what_the_record_does_not() -> None:
    line = "2015-10-18 18:01:47,978 ERROR [main] a.b.C: boom\r\n"
    expected = {
        "level": Level.ERROR,
        "message": "boom",
        "logger": "a.b.C",
        "thread": "main",
        "original": line,
        "dialect": "log4j",
    }
    # Docker's time has a zone, the line's has not.
    assert found({"log": line, "stream": "stderr", "time": AT}) == expected | {"labels": {"stream": "stderr"}}
    assert found({"message": line}) == expected | {"timestamp_ns": 1_445_191_307_978_000_000}
    assert found({"message": line, "level": "INFO", "timestamp": AT}) == {"message": line, "dialect": "json"}


def test_a_record_without_text_shows_itself() -> None:
    assert found({"cpu": 3, "timestamp": AT}) == {
        "message": '{"cpu":3,"timestamp":"2026-11-24T06:38:11Z"}',
        "dialect": "json",
        "labels": {"cpu": 3},
    }


@pytest.mark.parametrize(
    "record",
    [
        {"message_type": "HEARTBEAT", "node_id": "7", "status": "DOWN", "timestamp": AT},
        {"message-type": "heartbeat", "node-id": 7, "Status": "down", "timestamp": "2026-11-24 06:38:11"},
        {"msg": {"messageType": "Heartbeat", "nodeId": 7, "status": " Down ", "timestamp": AT_NS // 1_000_000_000}},
        {"log": json.dumps({"message_type": "HEARTBEAT", "node_id": 7, "status": "DOWN", "timestamp": AT}) + "\n"},
    ],
)
def test_heartbeats(record: object) -> None:
    assert read(record) == Heartbeat(node_id="7", status=NodeState.DOWN, timestamp_ns=AT_NS)


def test_a_beat_without_status_is_alive() -> None:
    beat = read({"message_type": "HEARTBEAT", "node_id": "n", "seq": -1, "service_name": "S"})
    assert beat == Heartbeat(node_id="n", status=NodeState.UP, timestamp_ns=RECEIVED_NS, service="S")


@pytest.mark.parametrize("kind", ["REGISTRATION", "registration", "Register"])
def test_registrations(kind: str) -> None:
    record = {"message_type": kind, "node_id": "n", "service_name": "S", "timestamp": AT, "instance_id": "i"}
    expected = Registration(node_id="n", service="S", timestamp_ns=AT_NS, instance_id="i")
    assert read(record) == expected
    assert read(record | {"status": "up"}) == Registration(
        node_id="n", service="S", timestamp_ns=AT_NS, instance_id="i", status=NodeState.UP
    )
