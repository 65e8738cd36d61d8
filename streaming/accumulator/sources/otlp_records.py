"""OpenTelemetry logs as records. Pure.

A record has the names of OTLP's JSON, with plain values for its typed ones: an attribute list is a map, a string value
a string. What a plain value could not tell keeps OTLP's form: bytes are `{"bytesValue": BASE64}`, an attribute list
that holds a key twice (or one that could be taken for such bytes) stays a list. Fields that are not set are left out.
Each record carries its resource and scope, and `node_id`: the first of `service.instance.id`, `k8s.pod.name`,
`host.name`, `service.name` that its resource has.

Source: opentelemetry-proto, logs/v1/logs.proto and common/v1/common.proto.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from streaming.accumulator.sources.entries import packed
from streaming.events.model import Json

MIB = 1024 * 1024
PACKED_LIMIT: Final = 64 * MIB
"""Bytes of all entries of a request: each repeats its resource, and a small body must not make a huge chunk."""
NODE_ATTRIBUTES: Final = ("service.instance.id", "k8s.pod.name", "host.name", "service.name")


class TooMuchError(ValueError):
    """The request becomes too large."""


class Entries(NamedTuple):
    """Entries `[time, record]` of a chunk."""

    body: bytes
    events: int


def entries(request: ExportLogsServiceRequest) -> Entries:
    """All logs of a request, in its order. The same request gives the same bytes.

    Raises:
        TooMuchError: they would be more than `PACKED_LIMIT` bytes.
    """
    parts: list[bytes] = []
    size = 0
    for time_ns, record in _records(request):
        parts.append(packed(time_ns, record))
        size += len(parts[-1])
        if size > PACKED_LIMIT:
            raise TooMuchError(f"the logs become more than {PACKED_LIMIT} bytes; send them in parts")
    return Entries(b"".join(parts), len(parts))


def _records(request: ExportLogsServiceRequest) -> Iterator[tuple[int, dict[str, Json]]]:
    for resource_logs in request.resource_logs:
        resource = _resource(resource_logs)
        node = _node_of(resource_logs)
        for scope_logs in resource_logs.scope_logs:
            scope = _scope(scope_logs)
            for log in scope_logs.log_records:
                yield log.time_unix_nano or log.observed_time_unix_nano, _record(log, node, resource, scope)


def _record(log: LogRecord, node: Json, resource: Json, scope: Json) -> dict[str, Json]:
    """Streaming/events takes the first of two keys that mean one field: what OTLP says comes before attributes."""
    return _set(
        node_id=node,
        timeUnixNano=log.time_unix_nano,
        observedTimeUnixNano=log.observed_time_unix_nano,
        severityNumber=log.severity_number,
        severityText=log.severity_text,
        eventName=log.event_name,
        **({"body": _value(log.body)} if log.HasField("body") else {}),
        traceId=log.trace_id.hex(),
        spanId=log.span_id.hex(),
        flags=log.flags,
        resource=resource,
        scope=scope,
        attributes=_attributes(log.attributes),
        droppedAttributesCount=log.dropped_attributes_count,
    )


def _resource(logs: ResourceLogs) -> Json:
    entity_refs: list[Json] = [MessageToDict(ref) for ref in logs.resource.entity_refs]
    return _set(
        attributes=_attributes(logs.resource.attributes),
        droppedAttributesCount=logs.resource.dropped_attributes_count,
        entityRefs=entity_refs,
        schemaUrl=logs.schema_url,
    )


def _scope(logs: ScopeLogs) -> Json:
    scope: InstrumentationScope = logs.scope
    return _set(
        name=scope.name,
        version=scope.version,
        attributes=_attributes(scope.attributes),
        droppedAttributesCount=scope.dropped_attributes_count,
        schemaUrl=logs.schema_url,
    )


def _set(**fields: Json) -> dict[str, Json]:
    """Without what has protobuf's default, which is how it says that a field is not set (but a body may be empty)."""
    return {name: value for name, value in fields.items() if name == "body" or value not in (None, 0, "", {}, [])}


def _node_of(logs: ResourceLogs) -> str:
    said = {a.key: a.value.string_value for a in logs.resource.attributes if a.key in NODE_ATTRIBUTES}
    return next((said[name] for name in NODE_ATTRIBUTES if said.get(name)), "")


def _attributes(pairs: Iterable[KeyValue]) -> Json:
    found: dict[str, Json] = {}
    count = 0
    for pair in pairs:
        found[pair.key] = _value(pair.value)
        count += 1
    if len(found) == count and found.keys() != {"bytesValue"}:
        return found
    return [{"key": pair.key, "value": _value(pair.value)} for pair in pairs]


def _value(value: AnyValue) -> Json:
    """The value; None where none of its kinds is set."""
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case "bytes_value":
            return {"bytesValue": base64.b64encode(value.bytes_value).decode()}
        case _:  # a kind that other signals have (an index into a table of strings)
            told: dict[str, Json] = MessageToDict(value)
            return told
