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
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from streaming.accumulator.sources.entries import Entries, joined, packed
from streaming.events.model import Json

NODE_ATTRIBUTES: Final = ("service.instance.id", "k8s.pod.name", "host.name", "service.name")


class Log(NamedTuple):
    """One log, and what it came under. Logs that came together share the same objects."""

    resource: ResourceLogs
    scope: ScopeLogs
    record: LogRecord


def entries(logs: Iterable[Log]) -> Entries:
    """All logs of a request, in its order. The same request gives the same bytes.

    Raises:
        TooMuchError: too many, or too large together.
    """
    return joined(_packed(logs))


def _packed(logs: Iterable[Log]) -> Iterator[bytes]:
    of_resource: ResourceLogs | None = None
    of_scope: ScopeLogs | None = None
    node = ""
    resource: Json = None
    scope: Json = None
    for log in logs:
        if log.resource is not of_resource:
            of_resource = log.resource
            node, resource = _node_of(of_resource), _resource(of_resource)
        if log.scope is not of_scope:
            of_scope = log.scope
            scope = _scope(of_scope)
        record = log.record
        time_ns = record.time_unix_nano or record.observed_time_unix_nano
        yield packed(time_ns, _record(record, node, resource, scope))


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
