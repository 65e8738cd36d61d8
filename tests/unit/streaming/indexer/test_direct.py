"""The straight way writes what the careful way writes, or nothing."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Message
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streaming.events.model import Json
from streaming.indexer.direct import Direct
from streaming.indexer.identity import NS_PER_DAY
from streaming.indexer.prepare import Prepared, Preparer
from streaming.indexer.shapes import Shapes
from streaming.kafka.records import read_record
from streaming.retention.classes import Class, Retention, Version

if TYPE_CHECKING:
    from tests.unit.streaming.indexer.conftest import MakeMessage

NOW = 20_781 * NS_PER_DAY + NS_PER_DAY // 2  # 2026-11-24, noon
AT = f"acc1:inc0:7:3:{NOW}:0:app".encode()
LOG: dict[str, Json] = {
    "log_id": "l1",
    "node_id": "n1",
    "log_level": "INFO",
    "message_type": "LOG",
    "message": "über {braces} %s and 'quotes'",
    "service_name": "s",
    "timestamp": "2026-11-24T06:40:00.123456Z",
}
MORE: dict[str, Json] = {
    "response_time_ms": 812.5,
    "threshold_limit_ms": 500,
    "logger": "a.b",
    "error_details": {"error_code": "E1", "error_message": "late", "stack": "at x"},
    "trace_id": "0af7",
    "span_id": "b7ad",
    "start_time": "2026-11-24T06:39:59Z",
    "parent_span_id": "00f0",
    "http_method": "GET",
    "http_status": 200,
    "http_path": "/a",
}

TIMES = st.sampled_from(
    [
        "2026-11-24T06:40:00Z",
        "2026-11-24 06:40:00.1Z",
        "2026-11-24T06:40:00.123456789Z",
        "2026-11-24T06:40:00.1234567891Z",
        "2026-11-24T06:40:00,5Z",
        "2026-11-24T06:40:00.Z",
        "2026-11-24T06:40:00.12+00:00",
        "2026-11-24T06:40:00.12",
        "2026-11-24T06:40:00.١٢Z",
        "2016-12-31T23:59:60.25Z",
        "2026-02-30T06:40:00.25Z",
        "1969-12-31T23:59:59.25Z",
        "2262-04-11T23:47:16.9Z",
        "9999-12-31T23:59:59.9Z",
        "",
    ]
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.text(max_size=6), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)
NUMBERS = st.one_of(st.integers(-5, 10_000), st.integers(), st.floats(-1, 1e14))
CHANGES: dict[str, st.SearchStrategy[Json]] = {
    "log_id": st.one_of(st.none(), st.text(max_size=3)),
    "log_level": st.sampled_from(["TRACE", "DEBUG", "WARN", "ERROR", "FATAL", "info"]),
    "message": st.text(),
    "service_name": st.text(max_size=3),
    "node_id": st.text(max_size=3),
    "timestamp": TIMES,
    "start_time": TIMES,
    "response_time_ms": NUMBERS,
    "threshold_limit_ms": NUMBERS,
    "http_status": st.integers(),
    "error_details": st.dictionaries(
        st.sampled_from(["error_code", "error_message", "stack"]), st.one_of(st.none(), st.text(max_size=3))
    ),
    "unknown": SCALARS,
}
KEYS = st.lists(st.sampled_from(sorted({*LOG, *MORE, "unknown"})), max_size=4, unique=True)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """Canonical logs with some optional keys, some changed, some missing, one twice; written as senders do."""
    record = dict(draw(st.permutations(list(LOG.items()))))
    record |= {key: MORE[key] for key in draw(KEYS) if key in MORE}
    record |= {key: draw(CHANGES.get(key, SCALARS)) for key in draw(KEYS)}
    for key in draw(st.lists(st.sampled_from(sorted(LOG)), max_size=1)):
        record.pop(key, None)
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = json.dumps(record, ensure_ascii=draw(st.booleans()), separators=separators)
    if draw(st.integers(0, 9)) == 0:
        text = text[:-1] + draw(
            st.sampled_from([',"message":"x"}', ',"logger":null}', ',"trace_id":null}', "]", "}\n"])
        )
    value = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(value)))
        value = value[:at] + draw(st.binary(max_size=2)) + value[at + draw(st.integers(0, 2)) :]
    return value


PLACES = st.one_of(
    st.just(AT),
    st.tuples(
        st.sampled_from(["acc1", "ä", 'a"b', "\ud800", ""]),
        st.sampled_from(["inc0", ""]),
        st.sampled_from(["7", "007", "+7", "-1", "٧", "1" * 30]),
        st.sampled_from(["0", "03", "12", " 4", "1_0", "9" * 19]),
        st.sampled_from([str(NOW), "5", str(-NOW), "x", str(NOW - 40 * NS_PER_DAY)]),
        st.sampled_from(["0", str(NOW), "-3", "x", "1" * 5_000]),
        st.sampled_from(["app", "a:b", "\udcff"]),
    ).map(lambda parts: ":".join(parts).encode("utf-8", "surrogatepass")),
    st.binary(max_size=12),
)


CLASSES = (Class("one", 90, services=("s", "x*")), Class("short", 1, levels=("DEBUG", "ERROR")))
RETENTION = Retention(30, [Version(date(2026, 10, 1), CLASSES)])


def both(message: Message, retention: Retention = RETENTION) -> tuple[bytes | None, list[bytes]]:
    """What the straight way and the careful way make of a record."""
    shapes = Shapes()
    preparer = Preparer("vigil", retention, lambda: NOW, shapes)
    preparer.prepare([])
    value = message.value() or b""
    (item,) = Direct(preparer._lines_of, NOW, shapes).items(
        [message], [value], [message.partition() or 0], [message.offset() or 0]
    )
    careful = Prepared()
    preparer._add(careful, message, read_record(message), NOW)
    return item, careful.items


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(values(), PLACES)
@example(json.dumps(LOG | MORE).encode(), b"acc1:inc0:07:03:%d:0:app" % NOW)
def test_it_writes_the_same_or_nothing(message: MakeMessage, value: bytes, place: bytes) -> None:
    for retention in (RETENTION, Retention(30)):
        item, careful = both(message(value, 4, 9, header=place), retention)
        if item is not None:
            is_same(item, careful)


def is_same(item: bytes, careful: list[bytes]) -> None:
    assert item.count(b"\n") == 2
    assert [json.loads(line) for line in item.splitlines()] == [json.loads(line) for line in careful[0].splitlines()]


@pytest.mark.parametrize(
    "more",
    [{}, MORE, *({key: value} for key, value in MORE.items()), {"error_details": {"error_code": "E"}}],
    ids=lambda more: ",".join(more),
)
def test_it_writes_every_form_of_a_canonical_log(message: MakeMessage, more: dict[str, Json]) -> None:
    """A refusal would cost three times the time, and nobody would notice."""
    item, (careful,) = both(message(json.dumps(LOG | more, ensure_ascii=False).encode(), 4, 9, header=AT))
    assert item is not None
    assert [json.loads(line) for line in item.splitlines()] == [json.loads(line) for line in careful.splitlines()]


def test_records_without_coordinates_or_with_other_headers_go_the_careful_way(message: MakeMessage) -> None:
    value = json.dumps(LOG).encode()
    assert both(message(value))[0] is None
    assert both(message(value, header=b"short:of:fields"))[0] is None
    marked = message(value, header=AT)
    marked.headers().append(("vigil-replay", b"r1:1"))  # type: ignore[union-attr]
    assert both(marked)[0] is None
