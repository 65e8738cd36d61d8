"""Logs of the canonical schema, exactly as documented: one decode into a struct, the way nearly all logs come.

Whatever departs from it (a key of another name or type, a time that is not UTC, a key that comes twice) is left to
json_dialects.py, which reads the same schema key by key and loses nothing.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from streaming import decoding
from streaming.events.model import Level, LogEvent
from streaming.events.times import iso_naive, iso_utc

LevelName = Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
"""The names of `Level`, as plain text."""


class ErrorDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """`error_details` of an ERROR or FATAL."""

    error_code: str | None = None
    error_message: str | None = None
    stack: str | None = None


class Canonical(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A log of the canonical schema and its extensions, exactly as documented. Anything else is read key by key.

    The fields stand in the order in which senders write them: the decoder looks for the next one first. It holds
    nothing but text and numbers, so the cyclic garbage collector need not know of it.
    """

    log_id: str | None = None
    node_id: str
    log_level: LevelName
    message_type: str
    message: str
    service_name: str
    timestamp: str
    response_time_ms: int | float | None = None
    threshold_limit_ms: int | float | None = None
    logger: str | None = None
    error_details: ErrorDetails | None = None
    trace_id: str | None = None
    span_id: str | None = None
    start_time: str | None = None
    parent_span_id: str | None = None
    http_method: str | None = None
    http_status: int | None = None
    http_path: str | None = None


_decode: Final = decoding.decoder(Canonical).decode
_LEVELS: Final[dict[str, Level]] = {str(level): level for level in Level}
_MAX_MS: Final = 2**63 // 1_000_000 - 1  # that of 64 bits of nanoseconds


def decode(value: bytes) -> Canonical | None:
    """The struct, or None where `value` is no canonical log. It may not hold all of `value`: see `QUOTES_OF_SEVEN`."""
    try:
        log = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return log if log.message_type == "LOG" else None


def read(value: bytes) -> LogEvent | None:
    """The log, or None if `value` is anything but a canonical log whose struct holds every byte of it."""
    log = decode(value)
    if log is None:
        return None
    timestamp_ns = utc = iso_utc(log.timestamp)
    if timestamp_ns is None:
        timestamp_ns = iso_naive(log.timestamp)
        if timestamp_ns is None:
            return None
    event = LogEvent(
        timestamp_ns=timestamp_ns,
        level=_LEVELS[log.log_level],
        message=log.message,
        service=log.service_name,
        node_id=log.node_id,
        log_id=log.log_id or None,  # an empty id is none: documents with equal ids and content are one
    )
    if utc is None:
        event.labels = {"timestamp": log.timestamp}  # that it came without a zone is worth keeping
    quotes = value.count(b'"')
    if quotes == QUOTES_OF_SEVEN and log.log_id is not None:
        return event
    return event if quotes == _extend(event, log, value) else None


# How the struct is known to hold all of a value: a decoder keeps the last of two keys with one name, and a key that
# is null looks like one that is missing. Either makes more quotation marks than what was decoded accounts for: two
# for each key and each text, and one for each in the message.
_QUOTES_OF_SIX: Final = 4 * 6  # the keys that must be there, and their texts
QUOTES_OF_SEVEN: Final = 4 * 7  # with log_id
_REFUSED: Final = -1  # no value has as many


def _extend(event: LogEvent, log: Canonical, value: bytes) -> int:
    """Fills in what goes beyond the seven keys; how many quotation marks a value has that holds this and no more.

    One statement per key and no loop: this runs for nearly every log of an instrumented service.
    """
    quotes = _QUOTES_OF_SIX if log.log_id is None else QUOTES_OF_SEVEN
    if '"' in log.message:
        if b"\\u00" in value:  # \u0022 is a quotation mark too
            return _REFUSED
        quotes += log.message.count('"')
    if log.logger is not None:
        event.logger = log.logger
        quotes += 4
    if log.trace_id is not None:
        event.trace_id = log.trace_id
        quotes += 4
    if log.span_id is not None:
        event.span_id = log.span_id
        quotes += 4
    if log.parent_span_id is not None:
        event.parent_span_id = log.parent_span_id
        quotes += 4
    if log.start_time is not None:
        event.start_ns = iso_utc(log.start_time)
        if event.start_ns is None:
            return _REFUSED
        quotes += 4
    if log.http_method is not None:
        event.http_method = log.http_method
        quotes += 4
    if log.http_path is not None:
        event.http_path = log.http_path
        quotes += 4
    if log.http_status is not None:
        event.http_status = log.http_status
        quotes += 2
    if log.response_time_ms is not None or log.threshold_limit_ms is not None or log.error_details is not None:
        return _extend_rare(event, log, quotes)
    return quotes


def _extend_rare(event: LogEvent, log: Canonical, quotes: int) -> int:
    """The keys of WARN, ERROR and FATAL."""
    if log.response_time_ms is not None:
        event.duration_ns = nanoseconds(log.response_time_ms)
        if event.duration_ns is None:
            return _REFUSED
        quotes += 2
    if log.threshold_limit_ms is not None:
        event.threshold_ns = nanoseconds(log.threshold_limit_ms)
        if event.threshold_ns is None:
            return _REFUSED
        quotes += 2
    error = log.error_details
    if error is not None:
        event.error_code, event.error_message, event.error_stack = error.error_code, error.error_message, error.stack
        inside = 3 - (error.error_code, error.error_message, error.stack).count(None)
        if not inside:
            return _REFUSED
        quotes += 2 + 4 * inside
    return quotes


def nanoseconds(milliseconds: float) -> int | None:
    """Milliseconds as nanoseconds; None for what nanoseconds do not hold exactly, and for what is negative."""
    if not 0 <= milliseconds <= _MAX_MS:
        return None
    nanoseconds = round(milliseconds * 1_000_000)
    return nanoseconds if nanoseconds / 1_000_000 == milliseconds else None
