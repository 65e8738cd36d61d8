"""Log events as ECS documents that Elasticsearch never refuses.

Documents are nested objects, never dotted keys. Whatever an event holds, the document keeps within what the
mapping accepts: dates of 1970 to 2262, integers of 64 bits, no NaN, no lone surrogates, labels of bounded depth
with keys that a flattened field takes. A value that does not fit its field goes to `labels` as text.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final, NamedTuple

import orjson

from streaming.events.fields import MAX_DATE_NS, MAX_LONG, MIN_DATE_NS, MIN_LONG
from streaming.events.json_text import clean_text
from streaming.events.labels import put, safe
from streaming.events.model import Json, LogEvent

_NS: Final = 1_000_000_000


class Provenance(NamedTuple):
    """Where a log was read: receive time (ns), its name for ever, its place at the accumulator and in Kafka.

    `source` is the coordinates' key, or `topic-partition-offset` where the record carries no coordinates;
    `accumulator`, `sequence` and `position` are None then.
    """

    received_ns: int
    source: str
    accumulator: str | None
    sequence: int | None
    position: int | None
    topic: str
    partition: int
    offset: int


def encode(
    event: LogEvent, provenance: Provenance, *, ingested_ns: int | None = None, fingerprint: str | None = None
) -> bytes:
    """The document as one line of JSON, without a newline inside or at the end.

    `ingested_ns` becomes event.ingested and `fingerprint` vigil.fingerprint (left out if None).
    """
    built = _build(event, provenance, ingested_ns, fingerprint)
    try:
        return orjson.dumps(built)
    except TypeError:  # a lone surrogate in some text
        return orjson.dumps(_without_surrogates(built))


def document(
    event: LogEvent, provenance: Provenance, *, ingested_ns: int | None = None, fingerprint: str | None = None
) -> dict[str, Json]:
    """The document as `encode` writes it, as a dict."""
    read: dict[str, Json] = orjson.loads(encode(event, provenance, ingested_ns=ingested_ns, fingerprint=fingerprint))
    return read


def _build(
    event: LogEvent, provenance: Provenance, ingested_ns: int | None, fingerprint: str | None
) -> dict[str, object]:
    """One statement per field and no loop over a table: this runs for every log there is."""
    received_ns, source, accumulator, sequence, position, topic, partition, offset = provenance
    labels = safe(event.labels) if event.labels else {}
    timestamp = event.timestamp_ns
    if not MIN_DATE_NS <= timestamp <= MAX_DATE_NS:
        put(labels, "timestamp_ns", str(timestamp))
        timestamp = min(max(received_ns, MIN_DATE_NS), MAX_DATE_NS)
    vigil: dict[str, object] = {
        "dialect": event.dialect,
        "time_source": event.time_source,
        "source": source,
        "kafka": {"topic": topic, "partition": partition, "offset": offset},
    }
    if accumulator is not None:
        vigil["accumulator"], vigil["sequence"], vigil["position"] = accumulator, sequence, position
    if event.log_id is not None:
        vigil["log_id"] = event.log_id
    if fingerprint is not None:
        vigil["fingerprint"] = fingerprint
    about: dict[str, object] = {"created": _batch_date(received_ns)}
    if ingested_ns is not None:
        about["ingested"] = _batch_date(ingested_ns)
    if event.original is not None:
        about["original"] = event.original
    log: dict[str, object] = {"level": event.level._value_}
    if event.logger is not None:
        log["logger"] = event.logger
    built: dict[str, object] = {
        "@timestamp": _date(timestamp),
        "message": event.message,
        "log": log,
        "event": about,
        "vigil": vigil,
    }
    service: dict[str, object] = {}
    if event.service:
        service["name"] = event.service
    if event.node_id:
        service["node"] = {"name": event.node_id}
    if service:
        built["service"] = service
    if event.host is not None:
        built["host"] = {"name": event.host}
    if event.process_id is not None or event.thread is not None:
        built["process"] = _process(event, labels)
    if event.error_code is not None or event.error_message is not None or event.error_stack is not None:
        built["error"] = _error(event)
    if (
        event.trace_id is not None
        or event.duration_ns is not None
        or event.span_id is not None
        or event.parent_span_id is not None
        or event.start_ns is not None
        or event.threshold_ns is not None
    ):
        _add_work(built, about, vigil, event, labels)
    if event.http_method is not None or event.http_status is not None or event.http_path is not None:
        _add_request(built, event, labels)
    if labels:
        built["labels"] = labels
    return built


def _process(event: LogEvent, labels: dict[str, Json]) -> dict[str, object]:
    process: dict[str, object] = {}
    if event.process_id is not None:
        _put_long(process, "pid", event.process_id, labels, "process_id")
    if event.thread is not None:
        process["thread"] = {"name": event.thread}
    return process


def _error(event: LogEvent) -> dict[str, object]:
    error: dict[str, object] = {}
    if event.error_code is not None:
        error["code"] = event.error_code
    if event.error_message is not None:
        error["message"] = event.error_message
    if event.error_stack is not None:
        error["stack_trace"] = event.error_stack
    return error


def _add_work(
    built: dict[str, object],
    about: dict[str, object],
    vigil: dict[str, object],
    event: LogEvent,
    labels: dict[str, Json],
) -> None:
    """The piece of work that the log speaks of: its trace, its start, how long it took and was allowed to take."""
    if event.trace_id is not None:
        built["trace"] = {"id": event.trace_id}
    if event.span_id is not None:
        built["span"] = {"id": event.span_id}
    if event.parent_span_id is not None:
        vigil["parent_span_id"] = event.parent_span_id
    if event.start_ns is not None:
        if MIN_DATE_NS <= event.start_ns <= MAX_DATE_NS:
            vigil["start"] = _date(event.start_ns)
        else:
            put(labels, "start_ns", str(event.start_ns))
    if event.duration_ns is not None:
        _put_long(about, "duration", event.duration_ns, labels, "duration_ns")
    if event.threshold_ns is not None:
        _put_long(vigil, "threshold", event.threshold_ns, labels, "threshold_ns")


def _add_request(built: dict[str, object], event: LogEvent, labels: dict[str, Json]) -> None:
    http: dict[str, object] = {}
    if event.http_method is not None:
        http["request"] = {"method": event.http_method}
    if event.http_status is not None:
        response: dict[str, object] = {}
        _put_long(response, "status_code", event.http_status, labels, "http_status")
        http["response"] = response
    if http:
        built["http"] = http
    if event.http_path is not None:
        built["url"] = {"path": event.http_path}


def _put_long(target: dict[str, object], key: str, value: int, labels: dict[str, Json], label: str) -> None:
    if MIN_LONG <= value <= MAX_LONG:
        target[key] = value
    else:
        put(labels, label, str(value))


def date_text(ns: int) -> str:
    """ISO 8601 in UTC with nanoseconds; what lies outside a `date_nanos` is moved to its edge."""
    return _date(min(max(ns, MIN_DATE_NS), MAX_DATE_NS))


_batch_date: Final = lru_cache(maxsize=256)(date_text)
"""For the times that a whole batch shares: when its chunk was received, when it is indexed."""


def _date(ns: int) -> str:
    seconds = ns // _NS
    return f"{_second_text(seconds)}.{ns - seconds * _NS:09d}Z"


@lru_cache(maxsize=4_096)  # logs come many to a second; 4,096 seconds of text are about 400 kB
def _second_text(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value
