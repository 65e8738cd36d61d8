"""From a `logging.LogRecord` to a log in Vigil's canonical schema."""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Mapping
from types import TracebackType

from microservices.client.identity import Identity, iso
from microservices.client.tracing import Span

_LEVELS = ((50, "FATAL"), (40, "ERROR"), (30, "WARN"), (20, "INFO"), (10, "DEBUG"))

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""Attributes that every record has; what else is there came by `extra`."""

_MAX_DEPTH = 8
"""Deeper values are written as text; also the end of one that contains itself."""

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def level_name(number: int) -> str:
    """The canonical level of a logging level: 50 is FATAL, 30 is WARN, below 10 is TRACE."""
    return next((name for least, name in _LEVELS if number >= least), "TRACE")


def log_of(record: logging.LogRecord, identity: Identity, time_ns: int, span: Span | None) -> dict[str, object]:
    """The record as a canonical log. Never raises; what cannot be carried as it is becomes text.

    `extra` may give `response_time_ms`, `threshold_limit_ms`, `error_code`, `error_message` or whole
    `error_details`; other keys stand beside the canonical ones (as `extra_KEY` where the name is taken).
    """
    extra = {key: plain(value) for key, value in record.__dict__.items() if key not in _STANDARD}
    level, message = level_name(record.levelno), _message(record)
    log = canonical_log(identity, level, message, time_ns)
    log["logger"] = record.name
    details = _error_details(level, message, record, extra)
    if details:
        log["error_details"] = details
    if span:
        log |= {"trace_id": span.trace_id, "span_id": span.span_id, "start_time": iso(span.start_ns)}
        if span.parent_span_id:
            log["parent_span_id"] = span.parent_span_id
    for key, value in extra.items():
        log[f"extra_{key}" if key in log else key] = value
    return log


def canonical_log(identity: Identity, level: str, message: str, time_ns: int) -> dict[str, object]:
    """The fields every log has."""
    return {
        "log_id": identity.next_log_id(),
        "node_id": identity.node_id,
        "log_level": level,
        "message_type": "LOG",
        "message": message,
        "service_name": identity.service,
        "timestamp": iso(time_ns),
    }


def plain(value: object, depth: int = 0) -> object:
    """The value as msgpack and JSON can carry it."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {_text(key): plain(item, depth + 1) for key, item in list(value.items())}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in list(value)]
    return _text(value)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - arguments may be of any type and raise anything; the log must survive
        return f"{_text(record.msg)} (arguments {_text(record.args)} do not fit: {_text(error)})"


def _error_details(
    level: str, message: str, record: logging.LogRecord, extra: dict[str, object]
) -> dict[str, object] | None:
    """`error_details` of an ERROR, a FATAL, or whatever carries an exception; takes its keys out of `extra`."""
    given = extra.pop("error_details", None)
    code, text = extra.pop("error_code", None), extra.pop("error_message", None)
    info: ExcInfo = record.exc_info if isinstance(record.exc_info, tuple) else (None, None, None)
    if level not in ("ERROR", "FATAL") and info[0] is None and given is None and code is None:
        return None
    details: dict[str, object] = {"error_code": "UNSPECIFIED", "error_message": message}
    if info[0]:
        details = {"error_code": info[0].__name__, "error_message": _text(info[1])}
    details |= {key: value for key, value in (("error_code", code), ("error_message", text)) if value is not None}
    details |= given if isinstance(given, dict) else {} if given is None else {"error_message": _text(given)}
    stack = _stack(record, info)
    return details | {"stack": stack} if stack else details


def _stack(record: logging.LogRecord, info: ExcInfo) -> str | None:
    if info[0] is not None:
        try:
            return "".join(traceback.format_exception(*info))
        except Exception as error:  # noqa: BLE001 - an exception's own __str__ may raise anything
            return f"{info[0].__name__} (not printable: {_text(error)})"
    return record.exc_text or record.stack_info


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a foreign __str__ may raise anything; a log must not
        return f"<{type(value).__name__}, whose text raised {type(error).__name__}>"
