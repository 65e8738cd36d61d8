"""OTLP's JSON as protobuf messages. Pure.

It is protobuf's JSON with three differences: trace and span ids are hexadecimal, enums are numbers (their names are
taken too), names are lowerCamelCase alone. Unknown names are ignored, as the specification demands.

Source: opentelemetry.io, "OTLP Specification", section "JSON Protobuf Encoding".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec
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

from streaming import decoding
from streaming.accumulator.sources.entries import TooMuchError
from streaming.accumulator.sources.otlp_records import Log

LEVELS_LIMIT: Final = 30
"""Of values within values. Protobuf's parser walks 100 messages deep, and a level takes three."""
VALUES_LIMIT: Final = 1_000_000
"""Of a body, counted by its commas and brackets: some 300 bytes each for a moment. A log has 20 to 50."""


class JsonError(ValueError):
    """Not OTLP's JSON; the text says where and why."""


class _Part(msgspec.Struct, rename="camel"):
    """A message of OTLP; what is null counts as not there."""


_Hex = Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9a-fA-F]{2})*\Z")]
_Integer = int | Annotated[str, msgspec.Meta(pattern=r"\A-?[0-9]{1,20}\Z")]


class _Value(_Part):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: _Integer | None = None
    double_value: float | str | None = None
    array_value: _Values | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: bytes | None = None


class _Values(_Part):
    values: list[_Value] | None = None


class _Pair(_Part):
    key: str | None = None
    value: _Value | None = None


class _Pairs(_Part):
    values: list[_Pair] | None = None


class _EntityRef(_Part):
    schema_url: str | None = None
    type: str | None = None
    id_keys: list[str] | None = None
    description_keys: list[str] | None = None


class _Resource(_Part):
    attributes: list[_Pair] | None = None
    dropped_attributes_count: _Integer | None = None
    entity_refs: list[_EntityRef] | None = None


class _Scope(_Part):
    name: str | None = None
    version: str | None = None
    attributes: list[_Pair] | None = None
    dropped_attributes_count: _Integer | None = None


class _Log(_Part):
    time_unix_nano: _Integer | None = None
    observed_time_unix_nano: _Integer | None = None
    severity_number: int | str | None = None
    severity_text: str | None = None
    body: _Value | None = None
    attributes: list[_Pair] | None = None
    dropped_attributes_count: _Integer | None = None
    flags: _Integer | None = None
    trace_id: _Hex | None = None
    span_id: _Hex | None = None
    event_name: str | None = None


class _ScopeLogs(_Part):
    scope: _Scope | None = None
    log_records: list[_Log] | None = None
    schema_url: str | None = None


class _ResourceLogs(_Part):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None
    schema_url: str | None = None


class _Request(_Part):
    resource_logs: list[_ResourceLogs] | msgspec.UnsetType | None = msgspec.UNSET


_DECODER: Final = decoding.decoder(_Request)


def read_logs(body: bytes) -> Iterator[Log]:
    """The logs of a request, in order.

    Raises:
        TooMuchError: more than `VALUES_LIMIT` values.
        JsonError: not JSON, or a field of another type than OTLP's, or nested too deep.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") > VALUES_LIMIT:
        raise TooMuchError(f"more than {VALUES_LIMIT} values (or commas); send them in parts")
    try:
        request = _DECODER.decode(body)
        if request.resource_logs is msgspec.UNSET and body.strip() != b"{}":
            raise JsonError("resourceLogs is missing (names are in lowerCamelCase)")
        yield from _logs(request.resource_logs or ())
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JsonError(str(error)) from error
    except (JsonError, TooMuchError):
        raise
    except (ValueError, OverflowError) as error:  # an integer out of its field's range
        raise JsonError(str(error)) from error


def _logs(said: Iterable[_ResourceLogs]) -> Iterator[Log]:
    for of_resource in said:
        resource = _resource_logs(of_resource)
        for of_scope in of_resource.scope_logs or ():
            scope = _scope_logs(of_scope)
            for log in of_scope.log_records or ():
                yield Log(resource, scope, _log(log))


def _resource_logs(said: _ResourceLogs) -> ResourceLogs:
    """Without its logs."""
    resource = said.resource or _Resource()
    return ResourceLogs(
        resource=Resource(
            attributes=_pairs(resource.attributes, 0),
            dropped_attributes_count=int(resource.dropped_attributes_count or 0),
            entity_refs=[
                EntityRef(
                    schema_url=ref.schema_url or "",
                    type=ref.type or "",
                    id_keys=ref.id_keys or (),
                    description_keys=ref.description_keys or (),
                )
                for ref in resource.entity_refs or ()
            ],
        ),
        schema_url=said.schema_url or "",
    )


def _scope_logs(said: _ScopeLogs) -> ScopeLogs:
    """Without its logs."""
    scope = said.scope or _Scope()
    return ScopeLogs(
        scope=InstrumentationScope(
            name=scope.name or "",
            version=scope.version or "",
            attributes=_pairs(scope.attributes, 0),
            dropped_attributes_count=int(scope.dropped_attributes_count or 0),
        ),
        schema_url=said.schema_url or "",
    )


def _log(said: _Log) -> LogRecord:
    return LogRecord(
        time_unix_nano=int(said.time_unix_nano or 0),
        observed_time_unix_nano=int(said.observed_time_unix_nano or 0),
        severity_number=_severity(said.severity_number),
        severity_text=said.severity_text or "",
        body=None if said.body is None else _value(said.body, 0),
        attributes=_pairs(said.attributes, 0),
        dropped_attributes_count=int(said.dropped_attributes_count or 0),
        flags=int(said.flags or 0),
        trace_id=bytes.fromhex(said.trace_id or ""),
        span_id=bytes.fromhex(said.span_id or ""),
        event_name=said.event_name or "",
    )


def _severity(said: int | str | None) -> SeverityNumber.ValueType:
    if said is None:
        return SeverityNumber.SEVERITY_NUMBER_UNSPECIFIED
    if isinstance(said, str) and not said.isdecimal():
        return SeverityNumber.Value(said)
    return SeverityNumber.ValueType(int(said))


def _pairs(said: list[_Pair] | None, level: int) -> list[KeyValue]:
    return [
        KeyValue(key=pair.key or "", value=None if pair.value is None else _value(pair.value, level))
        for pair in said or ()
    ]


def _value(said: _Value, level: int) -> AnyValue:
    """Of several kinds that are set, which protobuf forbids, none is guessed."""
    if level >= LEVELS_LIMIT:
        raise _too_deep()
    given = [name for name in _Value.__struct_fields__ if getattr(said, name) is not None]
    if len(given) > 1:
        raise JsonError(f"a value has {' and '.join(given)}")
    if said.string_value is not None:
        return AnyValue(string_value=said.string_value)
    if said.bool_value is not None:
        return AnyValue(bool_value=said.bool_value)
    if said.int_value is not None:
        return AnyValue(int_value=int(said.int_value))
    if said.double_value is not None:
        return AnyValue(double_value=float(said.double_value))
    if said.bytes_value is not None:
        return AnyValue(bytes_value=said.bytes_value)
    if said.array_value is not None:
        return AnyValue(array_value=ArrayValue(values=[_value(v, level + 1) for v in said.array_value.values or ()]))
    if said.kvlist_value is not None:
        return AnyValue(kvlist_value=KeyValueList(values=_pairs(said.kvlist_value.values, level + 1)))
    return AnyValue()


def _too_deep() -> JsonError:
    return JsonError(f"more than {LEVELS_LIMIT} levels of values within values")
