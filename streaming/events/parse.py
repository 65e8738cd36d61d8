"""One Kafka value in, one typed event out, whatever dialect it is written in. No input raises.

What happens to a value, in order:

1. A log of the canonical schema, exactly as documented, is decoded straight into a struct.
2. Any other JSON object is read key by key (json_dialects.py): canonical variants, ECS, OpenTelemetry, the usual
   JSON formatters; the text of a record that holds little else is read as a line.
3. Anything else that is UTF-8 is a line of text (lines.py).

For a log nothing is lost: each value of the JSON is in a field, under `labels`, or in `original`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from streaming.events import json_dialects, lines
from streaming.events.model import Event, Level, LogEvent, Unreadable
from streaming.events.times import iso_utc

EMPTY: Final = "empty"
NOT_UTF8: Final = "not-utf8"
TOO_DEEP: Final = "too-deep"
NOT_AN_EVENT: Final = "not-an-event"

REASONS: Final[dict[str, str]] = {
    EMPTY: "no bytes, or white space alone",
    NOT_UTF8: "the bytes are not UTF-8 text",
    TOO_DEEP: "JSON nested more than 200 levels deep",
    NOT_AN_EVENT: "a JSON object without any key",
    json_dialects.NO_NODE_ID: "a heartbeat or registration that does not say of which node",
    json_dialects.BAD_STATUS: "a heartbeat or registration whose status is neither UP nor DOWN",
}
"""Every reason that `parse` gives, and what it means."""


class _ErrorDetails(msgspec.Struct, forbid_unknown_fields=True):
    error_code: str | None = None
    error_message: str | None = None


class _Canonical(msgspec.Struct, forbid_unknown_fields=True):
    """A log of the canonical schema and its extensions, exactly as documented. Anything else is read key by key."""

    message_type: str
    log_level: Level
    message: str
    timestamp: str
    service_name: str
    node_id: str
    log_id: str | None = None
    response_time_ms: int | None = None
    threshold_limit_ms: int | None = None
    error_details: _ErrorDetails | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    start_time: str | None = None
    http_method: str | None = None
    http_status: int | None = None
    http_path: str | None = None


_CANONICAL: Final = msgspec.json.Decoder(_Canonical)
_MAX_MS: Final = 2**63 // 1_000_000 - 1


def parse(value: bytes, *, received_ns: int, event_ns: int = 0, tag: str = "") -> Event | Unreadable:
    """The event that `value` holds.

    `received_ns` is when it was received; `event_ns` the time that the Forward protocol gave it (0 if none);
    both stand in for a time that the event itself lacks. `tag`, its Fluentd tag, stands in for the service name.
    Never raises; an `Unreadable` has one of `REASONS`.
    """
    if b'"message_type"' in value:
        event = _canonical_log(value)
        if event is not None:
            return event
    return _any_text(value, received_ns, event_ns, tag)


def _canonical_log(value: bytes) -> LogEvent | None:
    """The log, or None if `value` is anything but a canonical log whose struct holds every byte of it."""
    try:
        log = _CANONICAL.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    timestamp_ns = iso_utc(log.timestamp)
    if timestamp_ns is None or log.message_type != "LOG" or not _all_keys_read(value, log):
        return None
    duration, threshold, start_ns = log.response_time_ms, log.threshold_limit_ms, None
    if duration is not None or threshold is not None:
        if not (0 <= (duration or 0) <= _MAX_MS and 0 <= (threshold or 0) <= _MAX_MS):
            return None
        duration = None if duration is None else duration * 1_000_000
        threshold = None if threshold is None else threshold * 1_000_000
    if log.start_time is not None:
        start_ns = iso_utc(log.start_time)
        if start_ns is None:
            return None
    error = log.error_details
    return LogEvent(
        timestamp_ns=timestamp_ns,
        level=log.log_level,
        message=log.message,
        service=log.service_name,
        node_id=log.node_id,
        log_id=log.log_id,
        error_code=None if error is None else error.error_code,
        error_message=None if error is None else error.error_message,
        duration_ns=duration,
        threshold_ns=threshold,
        trace_id=log.trace_id,
        span_id=log.span_id,
        parent_span_id=log.parent_span_id,
        start_ns=start_ns,
        http_method=log.http_method,
        http_status=log.http_status,
        http_path=log.http_path,
    )


def _all_keys_read(value: bytes, log: _Canonical) -> bool:
    """Whether no key came twice (a decoder keeps the last) and none was null.

    As many `":` as keys, with no white space between a quote and what follows it, proves it; where a message
    holds these characters itself, the slower reader decides.
    """
    filled = msgspec.structs.astuple(log)
    keys = len(filled) - filled.count(None)
    error = log.error_details
    if error is not None:
        keys += 2 - (error.error_code, error.error_message).count(None)
    return value.count(b'":') == keys and not any(gap in value for gap in (b'" ', b'"\t', b'"\n', b'"\r'))


def _any_text(value: bytes, received_ns: int, event_ns: int, tag: str) -> Event | Unreadable:
    if not value.strip():
        return Unreadable(reason=EMPTY, detail=f"{len(value)} bytes without a visible character")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        return Unreadable(reason=NOT_UTF8, detail=str(error)[:200])
    return lines.read(text, received_ns=received_ns, event_ns=event_ns)
