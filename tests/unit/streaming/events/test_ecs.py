from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.events.ecs import Provenance, date_text, document, encode
from streaming.events.fields import FIELDS, MAX_DATE_NS, MAX_LONG, MIN_LONG, TYPES
from streaming.events.model import Json, Level, LogEvent

NOW_NS = 1_795_502_291_123_456_789
PROVENANCE = Provenance(NOW_NS, "a.1:2:3", "a.1", 2, 3, "logs", 4, 9)
FULL = LogEvent(
    timestamp_ns=NOW_NS,
    level=Level.ERROR,
    message="m",
    service="s",
    node_id="n",
    log_id="1",
    host="h",
    logger="l",
    process_id=2,
    thread="t",
    error_code="E",
    error_message="em",
    error_stack="es",
    duration_ns=3,
    threshold_ns=4,
    trace_id="5",
    span_id="6",
    parent_span_id="7",
    start_ns=8,
    http_method="GET",
    http_status=200,
    http_path="/",
    labels={"a": {"b": 1}},
    original="o",
)


def leaves(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Field names as the mapping has them; what lies in `labels` is one field."""
    if isinstance(value, dict) and path != "labels":
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value


def test_a_full_event_fills_every_field_of_the_table_and_no_other() -> None:
    found = dict(leaves(document(FULL, PROVENANCE, ingested_ns=NOW_NS, fingerprint="9f86")))
    assert found.keys() == FIELDS.keys()
    assert found == {
        "@timestamp": "2026-11-24T06:38:11.123456789Z",
        "event.created": "2026-11-24T06:38:11.123456789Z",
        "event.ingested": "2026-11-24T06:38:11.123456789Z",
        "event.original": "o",
        "vigil.fingerprint": "9f86",
        "event.duration": 3,
        "log.level": "ERROR",
        "log.logger": "l",
        "message": "m",
        "service.name": "s",
        "service.node.name": "n",
        "host.name": "h",
        "process.pid": 2,
        "process.thread.name": "t",
        "error.code": "E",
        "error.message": "em",
        "error.stack_trace": "es",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.path": "/",
        "trace.id": "5",
        "span.id": "6",
        "labels": {"a": {"b": 1}},
        "vigil.log_id": "1",
        "vigil.parent_span_id": "7",
        "vigil.start": "1970-01-01T00:00:00.000000008Z",
        "vigil.threshold": 4,
        "vigil.time_source": "event",
        "vigil.dialect": "canonical",
        "vigil.source": "a.1:2:3",
        "vigil.accumulator": "a.1",
        "vigil.sequence": 2,
        "vigil.position": 3,
        "vigil.kafka.topic": "logs",
        "vigil.kafka.partition": 4,
        "vigil.kafka.offset": 9,
    }
    assert set(FIELDS.values()) <= TYPES.keys()


def test_what_an_event_lacks_is_left_out() -> None:
    provenance = PROVENANCE._replace(accumulator=None, sequence=None, position=None)
    found = dict(leaves(document(LogEvent(timestamp_ns=1, level=Level.INFO, message=""), provenance)))
    assert found.keys() == {
        "@timestamp", "event.created", "log.level", "message", "vigil.time_source", "vigil.dialect", "vigil.source",
        "vigil.kafka.topic", "vigil.kafka.partition", "vigil.kafka.offset",
    }  # fmt: skip


@pytest.mark.parametrize("alone", ["span_id", "parent_span_id", "threshold_ns", "start_ns", "error_stack", "http_path"])
def test_each_optional_field_is_written_without_its_neighbours(alone: str) -> None:
    event = LogEvent(timestamp_ns=1, level=Level.INFO, message="")
    bare = dict(leaves(document(event, PROVENANCE)))
    setattr(event, alone, getattr(FULL, alone))
    assert len(dict(leaves(document(event, PROVENANCE)))) == len(bare) + 1


def test_what_does_not_fit_its_field_is_a_label() -> None:
    event = LogEvent(
        timestamp_ns=-1, level=Level.INFO, message="", process_id=2**63, duration_ns=-(2**70), start_ns=2**64
    )
    built = document(event, PROVENANCE)
    assert built["@timestamp"] == date_text(NOW_NS)
    assert built["labels"] == {
        "timestamp_ns": "-1",
        "process_id": str(2**63),
        "duration_ns": str(-(2**70)),
        "start_ns": str(2**64),
    }


NUMBERS = st.none() | st.integers()
TEXTS = st.none() | st.text()


@given(
    st.builds(
        LogEvent,
        timestamp_ns=st.integers(),
        level=st.sampled_from(Level),
        message=st.text(st.characters()) | st.just("\ud800 half"),
        service=st.text(),
        host=TEXTS,
        error_stack=TEXTS,
        process_id=NUMBERS,
        duration_ns=NUMBERS,
        threshold_ns=NUMBERS,
        start_ns=NUMBERS,
        http_status=NUMBERS,
        labels=st.dictionaries(st.text() | st.just("\udfff"), st.floats() | st.integers() | st.text()),
        original=TEXTS,
    ),
    st.integers(),
)
def test_any_event_is_a_document_within_the_mapping(event: LogEvent, received_ns: int) -> None:
    line = encode(event, PROVENANCE._replace(received_ns=received_ns))
    assert b"\n" not in line
    for path, value in leaves(json.loads(line)):
        kind = FIELDS[path]
        if kind == "long":
            assert isinstance(value, int)
            assert MIN_LONG <= value <= MAX_LONG
        elif kind == "date_nanos":
            assert isinstance(value, str)
            assert "1970" <= value[:4] <= "2262"
        elif kind != "flattened":
            assert isinstance(value, str)


def test_dates_at_the_edges() -> None:
    assert date_text(0) == date_text(-1) == "1970-01-01T00:00:00.000000000Z"
    assert date_text(MAX_DATE_NS) == date_text(MAX_DATE_NS + 1) == "2262-04-11T23:47:16.854775807Z"
