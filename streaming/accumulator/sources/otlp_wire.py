"""OTLP's protobuf taken apart log by log. Pure.

Protobuf's own parser builds a message whole, and two bytes of an empty log become three hundred. So the three levels
above a log (request, resource, scope) are walked here, and only one log at a time is parsed.

Source: protobuf.dev, "Encoding"; opentelemetry-proto, collector/logs/v1/logs_service.proto and logs/v1/logs.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from streaming.accumulator.sources.entries import EVENTS_LIMIT, TooMuchError
from streaming.accumulator.sources.otlp_records import Log

MIB = 1024 * 1024
PART_LIMIT: Final = 8 * MIB
"""Bytes of one log, or of what stands beside the logs of a resource or scope. Parsed, the worst take thirty times as
much. Even the dead letters take no larger event."""

# Field numbers.
_RESOURCE_LOGS: Final = 1  # of a request
_SCOPE_LOGS: Final = 2  # of a resource's logs
_LOG_RECORDS: Final = 2  # of a scope's logs


class WireError(ValueError):
    """Not protobuf; the text says where."""


def read_logs(body: bytes) -> Iterator[Log]:
    """The logs of an ExportLogsServiceRequest, in order.

    Raises:
        WireError: not protobuf.
        DecodeError: a part of it is not the message that it should be.
        TooMuchError: too many parts, or one too large.
    """
    for of_resource in _split(body, 0, len(body), _RESOURCE_LOGS)[1]:
        rest, scopes = _split(body, *of_resource, _SCOPE_LOGS)
        resource = ResourceLogs.FromString(rest)
        for of_scope in scopes:
            rest, logs = _split(body, *of_scope, _LOG_RECORDS)
            scope = ScopeLogs.FromString(rest)
            for start, end in logs:
                _check_size(end - start)
                yield Log(resource, scope, LogRecord.FromString(body[start:end]))


def _split(body: bytes, start: int, end: int, field: int) -> tuple[bytes, list[tuple[int, int]]]:
    """A message without one of its repeated fields, and where the messages of that field lie."""
    rest: list[bytes] = []
    found: list[tuple[int, int]] = []
    at = kept = start
    while at < end:
        begin = at
        tag, at = _varint(body, at, end)
        wire_type = tag & 7
        if wire_type == _LENGTH:
            size, at = _varint(body, at, end)
        elif wire_type == _VARINT:
            size, at = 0, _varint(body, at, end)[1]
        else:
            size = _FIXED.get(wire_type, -1)
        if size < 0 or size > end - at:
            raise WireError(f"not protobuf at byte {begin}")
        if tag == field << 3 | _LENGTH:
            rest.append(body[kept:begin])
            found.append((at, at + size))
            kept = at + size
            if len(found) > EVENTS_LIMIT:
                raise TooMuchError(f"more than {EVENTS_LIMIT} logs; send them in parts")
        at += size
    rest.append(body[kept:end])
    _check_size(sum(map(len, rest)))
    return b"".join(rest), found


_VARINT: Final = 0
_LENGTH: Final = 2
_FIXED: Final = {1: 8, 5: 4}
_LONGEST_VARINT: Final = 10


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at`, and what is behind it: seven bits a byte, the lowest first; the top bit says that more
    follow."""
    if at < end and (byte := body[at]) < 0x80:
        return byte, at + 1
    number = 0
    for n in range(min(_LONGEST_VARINT, end - at)):
        byte = body[at + n]
        number |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            return number, at + n + 1
    raise WireError(f"not protobuf at byte {at}")


def _check_size(size: int) -> None:
    if size > PART_LIMIT:
        raise TooMuchError(f"a log, or a resource, of more than {PART_LIMIT} bytes")
