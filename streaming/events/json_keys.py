"""What the keys of JSON logs mean, whoever wrote them: key -> field of the event model, and how its value is read.

Keys are compared without case, `_`, `-` and blanks, so that `log_level`, `log-level`, `logLevel` and `Log Level` are
one. Nested keys are joined by a dot, so `{"log": {"level": ...}}` and `"log.level"` are one too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, NamedTuple

from streaming.events import json_text
from streaming.events.fields import MAX_LONG, MIN_LONG
from streaming.events.levels import Scale, level_of
from streaming.events.model import Json
from streaming.events.times import iso_utc, time_of


class Read(NamedTuple):
    """A value as its field takes it. Where the field is not the `whole` of what was sent, `labels` keeps that too."""

    value: object
    whole: bool


Reader = Callable[[Json, int], Read | None]
"""(value, receive time in ns) -> what was read, or None if the value is not one of this field."""


class Key(NamedTuple):
    """A known key. Where several keys of a record mean one field, the lowest `rank` wins, then the first."""

    field: str
    read: Reader
    rank: int


def _text(value: Json, _received_ns: int) -> Read | None:
    """A name or id: text, or a whole number as text (`node_id` is 7 at some)."""
    if isinstance(value, str):
        return Read(value, True) if value else None
    if isinstance(value, int) and not isinstance(value, bool):
        return Read(str(value), True)
    return None


def _message(value: Json, _received_ns: int) -> Read | None:
    """Any text, even an empty one; numbers, objects and arrays as JSON text."""
    if isinstance(value, str):
        return Read(value, True)
    if value is None:
        return None
    return Read(json_text.encode(value), False)


def _only_text(value: Json, _received_ns: int) -> Read | None:
    return Read(value, True) if isinstance(value, str) and value else None


def _stack(value: Json, _received_ns: int) -> Read | None:
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        return Read("\n".join(map(str, value)), True)
    return _only_text(value, 0)


def _level(value: Json, _received_ns: int, scale: Scale | None = None) -> Read | None:
    level = level_of(value, scale)
    return None if level is None else Read(level, value == level)


def _time(value: Json, received_ns: int) -> Read | None:
    """Only ISO 8601 in UTC gives back what was written: another text holds an offset, a number its unit."""
    time_ns = time_of(value, received_ns=received_ns)
    return None if time_ns is None else Read(time_ns, isinstance(value, str) and iso_utc(value) is not None)


def _unix_nano(value: Json, received_ns: int) -> Read | None:
    """OpenTelemetry's times, whose unit is known: nanoseconds give back what was written."""
    found = _time(value, received_ns)
    return found and Read(found.value, str(value) == str(found.value))


def _priority(value: Json, _received_ns: int) -> Read | None:
    """Syslog's: facility * 8 + severity (RFC 5424, 6.2.1). `labels` keeps the facility."""
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= 3 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 191:
        return None
    return Read(level_of(number & 7, Scale.SYSLOG), False)


def _body(value: Json, received_ns: int) -> Read | None:
    """OpenTelemetry's, plain or as OTLP types it. An object is shown only where nothing else is the message: elsewhere
    `body` is what a request or answer carried."""
    if isinstance(value, dict):
        return _message(value["stringValue"], received_ns) if value.keys() == {"stringValue"} else None
    return _message(value, received_ns)


def _nanoseconds(value: Json, _received_ns: int, unit_ns: int) -> Read | None:
    """A length of time, not negative; also `"812"`, `"812 ms"` and `"response_time_ms 812"` as some senders have it."""
    number = value
    if isinstance(value, str):
        number = _number_in(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= MAX_LONG / unit_ns - 1:
        return None
    nanoseconds = round(number * unit_ns)
    return Read(nanoseconds, number is value and nanoseconds / unit_ns == number)


def _number_in(text: str) -> float | None:
    """The one number among the words of a short text."""
    if len(text) > 64:
        return None
    numbers = []
    for word in text.lower().replace("=", " ").replace(":", " ").split():
        try:
            numbers.append(float(word.removesuffix("ms")))
        except ValueError:
            if any(character.isdigit() for character in word):
                return None
    return numbers[0] if len(numbers) == 1 and numbers[0] == numbers[0] else None


def _long(value: Json, _received_ns: int) -> Read | None:
    number = value
    if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 19:
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int) or not MIN_LONG <= number <= MAX_LONG:
        return None
    return Read(number, str(number) == str(value))


_MILLISECONDS: Final[Reader] = partial(_nanoseconds, unit_ns=1_000_000)
_NANOSECONDS: Final[Reader] = partial(_nanoseconds, unit_ns=1)

# Field, reader, the keys that surely mean it, and those that mean it where none of the first is there.
_MEANINGS: Final[tuple[tuple[str, Reader, str, str], ...]] = (
    (
        "timestamp_ns",
        _time,
        "timestamp @timestamp eventtime",
        "time ts @t asctime datetime date created logtime syslogtimestamp realtimetimestamp sourcerealtimetimestamp "
        "observedtimestamp t",
    ),
    ("timestamp_ns", _unix_nano, "timeunixnano", "observedtimeunixnano"),
    ("level", _level, "loglevel level severity severitytext levelname lvl @l log.level", "status.level loglevelname"),
    ("level", partial(_level, scale=Scale.OTEL), "severitynumber", ""),
    ("level", partial(_level, scale=Scale.PYTHON), "", "levelno"),
    ("level", partial(_level, scale=Scale.SYSLOG), "", "priority syslogseverity log.syslog.severity.code"),
    ("level", _priority, "", "pri"),
    ("level", partial(_level, scale=Scale.LOG4J), "", "levelvalue"),
    (
        "message",
        _message,
        "message",
        "msg log shortmessage @m renderedmessage text textpayload logmessage line @mt",
    ),
    ("message", _body, "body", ""),
    ("message", _only_text, "", "event"),  # structlog; elsewhere `event` is an object
    (
        "service",
        _text,
        "servicename service.name service",
        "app appname application program programname ident syslogidentifier",
    ),
    ("node_id", _text, "nodeid service.node.name service.instance.id", "serviceinstanceid node"),
    ("log_id", _text, "logid vigil.logid", "event.id"),
    ("host", _text, "host.name hostname", "host @hostname"),
    ("logger", _text, "logger loggername log.logger", "name category sourcecontext scope.name"),
    ("process_id", _long, "processid pid process.pid", "process procid"),
    ("thread", _text, "threadname thread process.thread.name thread.name", ""),
    ("error_code", _text, "errorcode error.code errordetails.errorcode errordetails.code", "error.type exception.type"),
    (
        "error_message",
        _text,
        "errormessage error.message errordetails.errormessage errordetails.message",
        "errordetails error err exceptionmessage exception.message",
    ),
    (
        "error_stack",
        _stack,
        "stacktrace error.stacktrace errorstack errordetails.stack errordetails.stacktrace excinfo",
        "stack error.stack exception exception.stacktrace exctext @x traceback stackinfo",
    ),
    ("duration_ns", _MILLISECONDS, "responsetimems", "durationms elapsedms latencyms"),
    ("duration_ns", _NANOSECONDS, "event.duration durationns", ""),
    ("threshold_ns", _MILLISECONDS, "thresholdlimitms", "thresholdms"),
    ("threshold_ns", _NANOSECONDS, "vigil.threshold", ""),
    ("trace_id", _text, "traceid trace.id", ""),
    ("span_id", _text, "spanid span.id", ""),
    ("parent_span_id", _text, "parentspanid vigil.parentspanid span.parent.id", "parentid parent.id"),
    ("start_ns", _time, "starttime event.start vigil.start starttimeunixnano", ""),
    ("http_method", _only_text, "httpmethod http.request.method", "requestmethod http.method"),
    ("http_status", _long, "httpstatus httpstatuscode http.response.statuscode", "statuscode http.statuscode"),
    ("http_path", _only_text, "httppath url.path", "urlpath requestpath http.target http.request.url"),
)

KEYS: Final[dict[str, Key]] = {
    key: Key(field, read, rank)
    for field, read, sure, likely in _MEANINGS
    for rank, keys in enumerate((sure, likely))
    for key in keys.split()
}
"""Known key, in the form that `plain` gives -> its meaning."""

_ECS_GROUPS: Final = (
    "error errordetails event exception host http http.request http.response log log.syslog log.syslog.severity "
    "process process.thread scope service service.instance service.node span span.parent thread trace url vigil"
)

GROUPS: Final[dict[str, str]] = {
    **{group: f"{group}." for group in _ECS_GROUPS.split()},
    # OpenTelemetry names what is in these by the same names at any level.
    "resource": "",
    "attributes": "",
    "instrumentationscope": "scope.",
    # pino's own names
    "err": "error.",
    "req": "http.request.",
    "res": "http.response.",
}
"""Objects whose keys have a meaning -> what is put before these keys. Other objects are values of `labels`."""

_LONGEST: Final = 64


def plain(key: str) -> str:
    """The key as `KEYS` and `GROUPS` spell it; no known key is longer than 64 characters."""
    return _plain(key) if len(key) <= _LONGEST else key


@lru_cache(maxsize=8_192)  # of keys of at most 64 characters: under 3 MB, whatever is sent
def _plain(key: str) -> str:
    return key.lower().translate(_IGNORED)


_IGNORED: Final = {ord(character): None for character in "_- "}
