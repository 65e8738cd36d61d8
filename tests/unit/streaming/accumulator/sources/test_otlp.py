"""OTLP logs: requests by the protobuf classes, by hand-written JSON, and by the OpenTelemetry SDK."""

from __future__ import annotations

import base64
import json
import logging

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    EntityRef,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource as SdkResource

from streaming.accumulator.delivery.events import Event, read_events
from streaming.accumulator.sources import entries, otlp_wire
from streaming.accumulator.sources.otlp import PATH, OtlpEndpoint
from streaming.accumulator.sources.otlp_json import LEVELS_LIMIT, VALUES_LIMIT
from streaming.accumulator.sources.web import Accepted, Head, Request, Response
from streaming.events.model import Json, Level, LogEvent
from streaming.events.parse import parse
from tests.support.listening import listening, otlp_source

RECEIVED_NS = 1_795_502_400_000_000_000
AT_NS = 1_795_502_291_123_456_789
PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def post(body: bytes | str, media_type: str, path: str = PATH, **headers: str) -> Response | Accepted:
    head = Head("POST", path, "", (("content-type", media_type), *headers.items()), "192.0.2.7")
    endpoint = OtlpEndpoint(otlp_source())
    raw = body.encode() if isinstance(body, str) else body
    return endpoint.refusal(head) or endpoint.answer(Request(head, raw, b"", RECEIVED_NS))


def events_of(found: Response | Accepted) -> list[Event]:
    assert isinstance(found, Accepted), found
    events = [event for event in read_events(found.chunk.body) if isinstance(event, Event)]
    assert len(events) == found.chunk.events
    return events


def request_with(*logs: LogRecord, **resource: str) -> ExportLogsServiceRequest:
    attributes = [KeyValue(key=k.replace("_", "."), value=text(v)) for k, v in resource.items()]
    return ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(resource=Resource(attributes=attributes), scope_logs=[ScopeLogs(log_records=list(logs))])
        ]
    )


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def array(*values: AnyValue) -> AnyValue:
    return AnyValue(array_value=ArrayValue(values=values))


WHOLE = ExportLogsServiceRequest(
    resource_logs=[
        ResourceLogs(
            schema_url="https://opentelemetry.io/schemas/1.37.0",
            resource=Resource(
                attributes=[
                    KeyValue(key="service.name", value=text("shop")),
                    KeyValue(key="service.instance.id", value=text("shop-1")),
                    KeyValue(key="host.name", value=text("h1")),
                ],
                dropped_attributes_count=1,
                entity_refs=[EntityRef(type="service", id_keys=["service.name"])],
            ),
            scope_logs=[
                ScopeLogs(
                    schema_url="s",
                    scope=InstrumentationScope(
                        name="shop.cart", version="1.2", attributes=[KeyValue(key="a", value=AnyValue(int_value=1))]
                    ),
                    log_records=[
                        LogRecord(
                            time_unix_nano=AT_NS,
                            observed_time_unix_nano=AT_NS + 5,
                            severity_number=SeverityNumber.SEVERITY_NUMBER_ERROR2,
                            severity_text="Err",
                            event_name="cart.failed",
                            body=text("no stock"),
                            trace_id=bytes(range(16)),
                            span_id=bytes(range(8)),
                            flags=1,
                            dropped_attributes_count=2,
                            attributes=[
                                KeyValue(key="bytes", value=AnyValue(bytes_value=b"\0\xff")),
                                KeyValue(key="list", value=array(text("x"), AnyValue())),
                                KeyValue(
                                    key="map",
                                    value=AnyValue(
                                        kvlist_value=KeyValueList(
                                            values=[
                                                KeyValue(key="on", value=AnyValue(bool_value=True)),
                                                KeyValue(key="rate", value=AnyValue(double_value=0.5)),
                                            ]
                                        )
                                    ),
                                ),
                                KeyValue(key="big", value=AnyValue(int_value=-(2**63))),
                                KeyValue(key="none"),
                            ],
                        )
                    ],
                )
            ],
        )
    ]
)  # fmt: skip
AS_JSON = {
    "resourceLogs": [{
        "schemaUrl": "https://opentelemetry.io/schemas/1.37.0",
        "resource": {
            "attributes": [
                {"key": "service.name", "value": {"stringValue": "shop"}},
                {"key": "service.instance.id", "value": {"stringValue": "shop-1"}},
                {"key": "host.name", "value": {"stringValue": "h1"}},
            ],
            "droppedAttributesCount": 1,
            "entityRefs": [{"type": "service", "idKeys": ["service.name"]}],
        },
        "scopeLogs": [{
            "schemaUrl": "s",
            "scope": {"name": "shop.cart", "version": "1.2", "attributes": [{"key": "a", "value": {"intValue": "1"}}]},
            "logRecords": [{
                "timeUnixNano": str(AT_NS), "observedTimeUnixNano": AT_NS + 5, "severityNumber": 18,
                "severityText": "Err", "eventName": "cart.failed", "body": {"stringValue": "no stock"},
                "traceId": "000102030405060708090A0B0C0D0E0F", "spanId": "0001020304050607", "flags": 1,
                "droppedAttributesCount": 2, "unknownField": {"x": 1},
                "attributes": [
                    {"key": "bytes", "value": {"bytesValue": "AP8="}},
                    {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {}]}}},
                    {"key": "map", "value": {"kvlistValue": {"values": [
                        {"key": "on", "value": {"boolValue": True}}, {"key": "rate", "value": {"doubleValue": 0.5}},
                    ]}}},
                    {"key": "big", "value": {"intValue": str(-(2**63))}},
                    {"key": "none"},
                ],
            }],
        }],
    }],
}  # fmt: skip
RECORD: dict[str, Json] = {
    "node_id": "shop-1",
    "timeUnixNano": AT_NS,
    "observedTimeUnixNano": AT_NS + 5,
    "severityNumber": 18,
    "severityText": "Err",
    "eventName": "cart.failed",
    "body": "no stock",
    "traceId": "000102030405060708090a0b0c0d0e0f",
    "spanId": "0001020304050607",
    "flags": 1,
    "resource": {
        "attributes": {"service.name": "shop", "service.instance.id": "shop-1", "host.name": "h1"},
        "droppedAttributesCount": 1,
        "entityRefs": [{"type": "service", "idKeys": ["service.name"]}],
        "schemaUrl": "https://opentelemetry.io/schemas/1.37.0",
    },
    "scope": {"name": "shop.cart", "version": "1.2", "attributes": {"a": 1}, "schemaUrl": "s"},
    "attributes": {
        "bytes": {"bytesValue": "AP8="},
        "list": ["x", None],
        "map": {"on": True, "rate": 0.5},
        "big": -(2**63),
        "none": None,
    },
    "droppedAttributesCount": 2,
}


@pytest.mark.parametrize(
    ("body", "media_type"), [(WHOLE.SerializeToString(), PROTOBUF), (json.dumps(AS_JSON), JSON)], ids=("pb", "json")
)
def test_every_field_is_in_the_record_and_in_the_document(body: bytes | str, media_type: str) -> None:
    found = post(body, media_type)
    (event,) = events_of(found)
    assert (event.record, event.time_ns) == (RECORD, AT_NS)
    assert isinstance(found, Accepted)
    assert found.chunk.tag == "otlp"
    log = parse(event.value, received_ns=RECEIVED_NS, event_ns=event.time_ns, tag="otlp")
    assert log == LogEvent(
        timestamp_ns=AT_NS,
        level=Level.ERROR,
        message="no stock",
        service="shop",
        node_id="shop-1",
        host="h1",
        logger="shop.cart",
        trace_id="000102030405060708090a0b0c0d0e0f",
        span_id="0001020304050607",
        dialect="otel",
        labels={
            "observedTimeUnixNano": AT_NS + 5,
            "severityNumber": 18,
            "severityText": "Err",
            "eventName": "cart.failed",
            "flags": 1,
            "resource": {
                "attributes": {"service.instance.id": "shop-1"},
                "droppedAttributesCount": 1,
                "entityRefs": [{"type": "service", "idKeys": ["service.name"]}],
                "schemaUrl": "https://opentelemetry.io/schemas/1.37.0",
            },
            "scope": {"version": "1.2", "attributes": {"a": 1}, "schemaUrl": "s"},
            "attributes": RECORD["attributes"],
            "droppedAttributesCount": 2,
        },
    )


def test_the_answer_is_an_empty_response_in_the_same_encoding() -> None:
    for body, media_type in [(WHOLE.SerializeToString(), PROTOBUF), (json.dumps(AS_JSON).encode(), JSON)]:
        found = post(body, media_type)
        assert isinstance(found, Accepted)
        assert (found.response.status, found.response.content_type) == (200, media_type)
        if media_type == PROTOBUF:
            assert ExportLogsServiceResponse.FromString(found.response.body) == ExportLogsServiceResponse()
        else:
            assert json.loads(found.response.body) == {}
    assert post(b"", PROTOBUF) == Response(200, b"", PROTOBUF)
    assert post("{}", JSON) == Response(200, b"{}", JSON)
    assert post('{"resourceLogs":null}', JSON) == Response(200, b"{}", JSON)


@pytest.mark.parametrize(
    ("attributes", "node", "service"),
    [
        ({"service_name": "s", "k8s_pod_name": "p", "host_name": "h"}, "p", "s"),
        ({"service_name": "s", "host_name": "h"}, "h", "s"),
        ({"service_name": "s"}, "s", "s"),
        ({}, "", "otlp"),
    ],
)
def test_node_and_service(attributes: dict[str, str], node: str, service: str) -> None:
    (event,) = events_of(post(request_with(LogRecord(body=text("x")), **attributes).SerializeToString(), PROTOBUF))
    log = parse(event.value, received_ns=RECEIVED_NS, event_ns=event.time_ns, tag="otlp")
    assert isinstance(log, LogEvent)
    assert (log.node_id, log.service) == (node, service)
    assert (log.timestamp_ns, log.time_source) == (RECEIVED_NS, "received")


def test_a_time_that_only_the_collector_saw() -> None:
    log = LogRecord(observed_time_unix_nano=AT_NS, body=text("x"))
    (event,) = events_of(post(request_with(log).SerializeToString(), PROTOBUF))
    found = parse(event.value, received_ns=RECEIVED_NS, event_ns=event.time_ns)
    assert isinstance(found, LogEvent)
    assert (event.time_ns, found.timestamp_ns, found.labels) == (AT_NS, AT_NS, {})


def test_a_key_given_twice_stays_a_list() -> None:
    pairs = [KeyValue(key="a", value=text("1")), KeyValue(key="a", value=text("2"))]
    odd = KeyValue(
        key="b", value=AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="bytesValue", value=text("x"))]))
    )
    (first, second) = events_of(
        post(request_with(LogRecord(attributes=pairs), LogRecord(attributes=[odd])).SerializeToString(), PROTOBUF)
    )
    assert first.record["attributes"] == [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]
    assert second.record["attributes"] == {"b": [{"key": "bytesValue", "value": "x"}]}


@pytest.mark.parametrize(
    ("log", "text"),
    [
        ({"traceId": "xyz"}, "traceId"),
        ({"traceId": "abc"}, "traceId"),
        ({"severityNumber": "SEVERITY_NUMBER_NONE"}, "SEVERITY_NUMBER_NONE"),
        ({"severityNumber": 2**40}, ""),
        ({"timeUnixNano": "-1"}, ""),
        ({"timeUnixNano": "x"}, "timeUnixNano"),
        ({"body": {"intValue": str(2**63)}}, ""),
        ({"body": {"intValue": "1", "stringValue": "x"}}, "string_value and int_value"),
        ({"body": {"bytesValue": "?"}}, "bytesValue"),
        ({"body": {"doubleValue": "x"}}, ""),
        ({"body": "plain"}, "body"),
        ({"attributes": {"a": 1}}, "attributes"),
    ],
)
def test_what_is_no_otlp_json_is_refused_with_its_place(log: dict[str, object], text: str) -> None:
    found = post(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}), JSON)
    assert isinstance(found, Response)
    said = json.loads(found.body)
    assert (found.status, found.content_type, said["code"]) == (400, JSON, 3)
    assert said["message"]
    assert text in said["message"]


def test_names_of_enums_and_special_numbers() -> None:
    log = {"severityNumber": "SEVERITY_NUMBER_WARN", "body": {"doubleValue": "-Infinity"}}
    (event,) = events_of(post(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}), JSON))
    assert event.record["severityNumber"] == 13
    assert event.record["body"] == "-inf"  # and as it came, in vigil_original_msgpack


def nested_protobuf(levels: int) -> bytes:
    """Field 5 of an AnyValue is an array, field 1 of an array a value; 42 is an AnyValue's field 5, LogRecord's too."""
    value = b""
    for _ in range(levels):
        inner = b"\x0a" + _length(value) + value
        value = b"\x2a" + _length(inner) + inner
    for tag in (0x2A, 0x12, 0x12, 0x0A):  # body, log_records, scope_logs, resource_logs
        value = bytes([tag]) + _length(value) + value
    return value


def _length(value: bytes) -> bytes:
    size = len(value)
    return bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])


def nested_json(levels: int) -> str:
    value = '{"arrayValue":{"values":[' * levels + "{}" + "]}}" * levels
    return '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + value + "}]}]}]}"


@pytest.mark.parametrize(
    ("body", "media_type", "status", "code", "text"),
    [
        ("{", JSON, 400, 3, "truncated"),
        ("[]", JSON, 400, 3, "object"),
        ('{"resource_logs":[]}', JSON, 400, 3, "lowerCamelCase"),
        (b'{"resourceLogs":[{"schemaUrl":"\xff"}]}', JSON, 400, 3, ""),
        (nested_json(LEVELS_LIMIT + 1), JSON, 400, 3, "levels"),
        (nested_json(5000), JSON, 400, 3, "levels"),
        ('{"a":[0' + ",0" * VALUES_LIMIT + "]}", JSON, 413, 8, "values"),
        (b"\xff", PROTOBUF, 400, 3, ""),
        (nested_protobuf(200), PROTOBUF, 400, 3, ""),
        (b"{}", "text/plain", 415, 3, "text/plain"),
    ],
)
def test_errors_are_status_messages(body: bytes | str, media_type: str, status: int, code: int, text: str) -> None:
    found = post(body, media_type)
    assert isinstance(found, Response)
    if media_type == PROTOBUF:
        said = Status.FromString(found.body)
        assert (found.status, said.code, found.content_type) == (status, code, PROTOBUF)
        assert said.message
    else:
        message = json.loads(found.body)
        assert (found.status, message["code"]) == (status, code)
        assert text in message["message"]


def test_the_rest_of_otlp_is_not_here() -> None:
    found = post(b"", PROTOBUF, "/v1/traces")
    assert isinstance(found, Response)
    assert (found.status, Status.FromString(found.body).code) == (404, 12)
    endpoint = OtlpEndpoint(otlp_source())
    get = endpoint.refusal(Head("GET", PATH, "", (), ""))
    assert get is not None
    assert (get.status, get.headers) == (405, (("Allow", "POST"),))
    assert endpoint.failure(None, 431, "x").status == 431
    unavailable = endpoint.failure(Head("POST", PATH, "", (("content-type", PROTOBUF),), ""), 503, "\u00e9" * 300)
    assert Status.FromString(unavailable.body) == Status(code=14, message="\u00e9" * 300)
    page = post("{}", JSON, origin="https://example.com")
    assert isinstance(page, Response)
    assert page.status == 403


def test_a_small_body_makes_no_huge_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "PACKED_LIMIT", 100_000)
    body = request_with(*[LogRecord()] * 200, service_name="x" * 1000).SerializeToString()
    found = post(body, PROTOBUF)
    assert isinstance(found, Response)
    assert (found.status, Status.FromString(found.body).code) == (413, 8)


@pytest.mark.parametrize(
    "part",
    [
        ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord(body=text("x" * 5000))])]),
        ResourceLogs(resource=Resource(attributes=[KeyValue(key="x" * 5000)]), scope_logs=[ScopeLogs()]),
        ResourceLogs(scope_logs=[ScopeLogs(scope=InstrumentationScope(name="x" * 5000))]),
        ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord()] * 60)]),
        ResourceLogs(scope_logs=[ScopeLogs()] * 60),
    ],
)
def test_parts_are_bounded(monkeypatch: pytest.MonkeyPatch, part: ResourceLogs) -> None:
    request = ExportLogsServiceRequest(resource_logs=[part]).SerializeToString()
    found = post(request, PROTOBUF)
    assert isinstance(found, Accepted) or found.status == 200
    monkeypatch.setattr(otlp_wire, "PART_LIMIT", 4000)
    monkeypatch.setattr(otlp_wire, "EVENTS_LIMIT", 50)
    found = post(request, PROTOBUF)
    assert isinstance(found, Response)
    assert found.status == 413


def test_the_order_of_fields_and_fields_of_later_versions_do_not_matter() -> None:
    log = LogRecord(body=text("x")).SerializeToString()
    later = b"\x78\x81\x01" + b"\x79" + bytes(8) + b"\x7d" + bytes(4) + b"\x82\x01\x03abc"  # fields 15 and 16
    scope = b"\x12" + _length(log) + log + later + NAMED_SCOPE
    of_service = request_with(service_name="s").resource_logs[0].SerializeToString()
    resource = later + b"\x12" + _length(scope) + scope + of_service
    (event,) = events_of(post(later + b"\x0a" + _length(resource) + resource, PROTOBUF))
    assert event.record == {
        "node_id": "s",
        "body": "x",
        "resource": {"attributes": {"service.name": "s"}},
        "scope": {"name": "a.b"},
    }


NAMED_SCOPE = ScopeLogs(scope=InstrumentationScope(name="a.b")).SerializeToString()


@given(st.binary(max_size=200), st.sampled_from([PROTOBUF, JSON]))
def test_any_bytes_get_an_answer(raw: bytes, media_type: str) -> None:
    _check_answer(post(raw, media_type))


@settings(max_examples=200)
@given(st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 4), st.sampled_from([PROTOBUF, JSON]))
def test_a_damaged_request_gets_an_answer(at: int, noise: bytes, cut: int, media_type: str) -> None:
    whole = WHOLE.SerializeToString() if media_type == PROTOBUF else json.dumps(AS_JSON).encode()
    place = at % len(whole)
    _check_answer(post(whole[:place] + noise + whole[place + cut :], media_type))


def _check_answer(found: Response | Accepted) -> None:
    if isinstance(found, Accepted):
        for event in events_of(found):
            assert isinstance(parse(event.value, received_ns=RECEIVED_NS), LogEvent)
    else:
        assert found.status in (200, 400)


VALUES = st.recursive(
    st.text(max_size=20).map(text)
    | st.booleans().map(lambda b: AnyValue(bool_value=b))
    | st.integers(-(2**63), 2**63 - 1).map(lambda n: AnyValue(int_value=n))
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda f: AnyValue(double_value=f))
    | st.binary(max_size=9).map(lambda b: AnyValue(bytes_value=b)),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: array(*v))
        | st.lists(st.tuples(st.text(max_size=9), inner), max_size=3).map(
            lambda v: AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key=k, value=i) for k, i in v]))
        )
    ),
    max_leaves=6,
)


def _as_json(value: AnyValue) -> dict[str, object]:
    match value.WhichOneof("value"):
        case "string_value":
            return {"stringValue": value.string_value}
        case "bool_value":
            return {"boolValue": value.bool_value}
        case "int_value":
            return {"intValue": str(value.int_value)}
        case "double_value":
            return {"doubleValue": value.double_value}
        case "bytes_value":
            return {"bytesValue": base64.b64encode(value.bytes_value).decode()}
        case "array_value":
            return {"arrayValue": {"values": [_as_json(v) for v in value.array_value.values]}}
        case _:
            pairs = [{"key": p.key, "value": _as_json(p.value)} for p in value.kvlist_value.values]
            return {"kvlistValue": {"values": pairs}}


@settings(max_examples=60)
@given(VALUES)
def test_protobuf_and_json_are_the_same_records(value: AnyValue) -> None:
    by_protobuf = events_of(post(request_with(LogRecord(body=value)).SerializeToString(), PROTOBUF))
    log = {"body": _as_json(value)}
    by_json = events_of(post(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}), JSON))
    assert by_protobuf == by_json


@pytest.mark.filterwarnings("ignore:`LoggingHandler`:DeprecationWarning")
@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_opentelemetry_sdk(compression: Compression) -> None:
    source = otlp_source()
    with listening(source) as disk:
        exporter = OTLPLogExporter(f"http://127.0.0.1:{source.port}{PATH}", compression=compression, timeout=10)
        provider = LoggerProvider(SdkResource({"service.name": "shop", "service.instance.id": "shop-1"}))
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        handler = LoggingHandler(logger_provider=provider)
        error = ValueError("no stock")
        told = (ValueError, error, None)
        handler.emit(logging.LogRecord("shop.cart", logging.ERROR, "cart.py", 7, "cart %s", ("7",), told))
        provider.shutdown()
        submitted = disk.next()
        assert disk.submitted.empty()
    (event,) = submitted.events
    log = parse(event.value, received_ns=RECEIVED_NS, event_ns=event.time_ns)
    assert isinstance(log, LogEvent)
    assert (log.level, log.message, log.service, log.node_id) == (Level.ERROR, "cart 7", "shop", "shop-1")
    assert (log.logger, log.error_code, log.error_message) == ("shop.cart", "ValueError", "no stock")
