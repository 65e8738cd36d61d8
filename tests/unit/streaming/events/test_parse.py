"""No input raises, and of a log nothing is lost."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.events import canonical, damaged, json_dialects, text_records
from streaming.events.ecs import Provenance, date_text, document
from streaming.events.json_keys import GROUPS, KEYS
from streaming.events.model import Heartbeat, Json, Level, LogEvent, NodeState, Registration, Unreadable
from streaming.events.parse import REASONS, parse
from streaming.events.times import iso_utc

RECEIVED_NS = 1_795_502_291_000_000_000
PROVENANCE = Provenance(RECEIVED_NS, "a.1:2:3", "a.1", 2, 3, "logs", 0, 9)
LOG: dict[str, Json] = {
    "log_id": "0001",
    "node_id": "order-1",
    "log_level": "WARN",
    "message_type": "LOG",
    "message": "slow",
    "service_name": "OrderService",
    "timestamp": "2026-11-24T06:38:11.123Z",
    "response_time_ms": 812,
    "threshold_limit_ms": 500,
    "error_details": {"error_code": "E1", "error_message": "late"},
}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.sampled_from(
        ["INFO", "error", "UP", "LOG", "HEARTBEAT", "2026-11-24T06:38:11Z", "2026-11-24 06:38:11", "812 ms"]
    ),
)
NAMES = st.one_of(
    st.sampled_from(sorted({*KEYS, *GROUPS, *LOG, "labels", "attributes", "message-type", "Log_Level", "a.b", "a_b"})),
    st.text(max_size=8),
)
VALUES: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=12,
)
RECORDS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=10)


def read(value: bytes, received_ns: int = RECEIVED_NS) -> object:
    return parse(value, received_ns=received_ns, event_ns=RECEIVED_NS - 1, tag="app")


def scalars(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for item in value.values():
            yield from scalars(item)
    elif isinstance(value, list):
        for item in value:
            yield from scalars(item)
    else:
        yield value


def as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def assert_nothing_lost(record: Json, text: str, event: LogEvent) -> None:
    """Each value of the record is in the document: as it was, as the field's own notation of it, or in the original."""
    built = document(event, PROVENANCE)
    about = built["event"]
    assert isinstance(about, dict)
    if about.get("original") == text:
        return
    held = list(scalars(built))
    texts = {as_text(value) for value in held}
    parts = "\n".join(value for value in held if isinstance(value, str))
    lengths = {value / unit for value in held if isinstance(value, int) for unit in (1, 1_000_000)}
    for value in scalars(record):
        said = as_text(value)
        if said in texts or value == "LOG" or (isinstance(value, str) and value in parts):
            continue
        if isinstance(value, str) and (time_ns := iso_utc(value)) is not None and date_text(time_ns) in texts:
            continue
        if isinstance(value, int | float) and value in lengths:
            continue
        assert json.dumps(value, ensure_ascii=False) in parts, (value, built)  # too deep in labels: JSON text


def check(value: bytes) -> None:
    event = read(value)
    if isinstance(event, Unreadable):
        assert event.reason in REASONS
        assert event.detail
        return
    assert isinstance(event, LogEvent | Heartbeat | Registration)
    if isinstance(event, LogEvent):
        text = value.decode("utf-8", "backslashreplace")
        if text.encode() != value:
            assert base64.b64decode(str(event.labels[damaged.LABEL])) == value
            return
        try:
            record = json.loads(text)
        except ValueError:
            record = text
        if isinstance(record, dict):
            assert_nothing_lost(record, text, event)
        else:
            assert text in (event.message, event.original)


@given(st.binary())
def test_any_bytes(value: bytes) -> None:
    check(value)


@given(VALUES)
def test_any_json(value: Json) -> None:
    check(json.dumps(value).encode())


@settings(max_examples=100)
@given(RECORDS, st.booleans())
def test_any_record_of_known_keys(record: dict[str, Json], ascii_only: bool) -> None:
    check(json.dumps(record, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from(sorted(LOG)), VALUES, max_size=3), st.sets(st.sampled_from(sorted(LOG)), max_size=3)
)
def test_mutated_canonical_logs(changed: dict[str, Json], missing: set[str]) -> None:
    record = {key: value for key, value in (LOG | changed).items() if key not in missing}
    check(json.dumps(record).encode())


@given(st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), min_size=1, max_size=4))
def test_canonical_logs_with_broken_bytes(edits: list[tuple[int, bytes]]) -> None:
    value = json.dumps(LOG).encode()
    for place, put in edits:
        value = value[:place] + put + value[place + len(put) :]
    check(value)


@given(st.text(), st.text(), st.sampled_from(["{}", "[{}]", '{{"msg":{}}}', '{{"log":{}}}']))
def test_events_in_events(message: str, other: str, wrapper: str) -> None:
    inner = json.dumps(LOG | {"message": message, "other": other})
    check(wrapper.format(inner).encode())
    check(json.dumps({"log": inner, "stream": "stdout"}).encode())
    check(json.dumps({"message": repr(LOG | {"message": message, "other": other})}).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" \r\n\t",
        b"\x00\x00",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        "UTF-16".encode("utf-16"),
        bytes(range(256)),
        b"{}",
        b'{"message_type":"HEARTBEAT","status":"UP"}',
        b'{"message_type":"HEARTBEAT","node_id":"","status":"UP"}',
        b'{"message_type":"HEARTBEAT","node_id":"n","status":"MAYBE"}',
        b'{"message_type":"REGISTRATION","service_name":"x"}',
        b'{"message_type":"REGISTRATION","node_id":"n","status":3}',
    ],
)
def test_what_cannot_be_read_says_why(value: bytes) -> None:
    event = read(value)
    assert isinstance(event, Unreadable)
    assert event.reason in REASONS


@pytest.mark.parametrize(
    "text",
    [
        "plain words",
        "[1, 2, 3]",
        "3.14",
        "null",
        '"text"',
        '{"cut": ',
        "{" * 100_000,
        "[" * 100_000,
        '{"a":' * 300 + "1" + "}" * 300,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        '{"a": ' + "9" * 10_000 + "}",
        "{'python': 'repr'}",
        "\ufeff{}x",
    ],
)
def test_other_text_is_a_line(text: str) -> None:
    event = read(text.encode())
    assert isinstance(event, LogEvent)
    assert text in (event.message, event.original)
    assert event.service == "app"


@pytest.mark.parametrize(
    "text",
    [
        '{"message":"a","message":"b","log_level":"INFO"}',
        '{"log_level":"INFO","message_type":"LOG","message":"b","timestamp":"2026-11-24T06:38:11Z","service_name":"s",'
        '"node_id":"n","node_id":"m"}',
        '{"a":{"b":1,"b":2}}',
        '{"a":NaN}',
        '{"a":1e999}',
        '{"a":"\\ud800"}',
        '{"a":0.12345678901234567890123}',
        '{"\\u0022":1,"\\u0022":2}',
    ],
)
def test_what_values_cannot_hold_is_kept_as_text(text: str) -> None:
    event = read(text.encode())
    assert isinstance(event, LogEvent)
    assert event.original == text
    json.dumps(document(event, PROVENANCE), allow_nan=False).encode()


@settings(max_examples=200)
@given(
    st.fixed_dictionaries(
        {
            "message": st.text(),
            "log_level": st.sampled_from(["INFO", "ERROR", "info"]),
            "message_type": st.just("LOG"),
            "timestamp": st.sampled_from(
                ["2026-11-24T06:38:11.5Z", "2026-11-24T06:38:11+00:00", "2026-11-24T06:38:11"]
            ),
            "service_name": st.text(min_size=1),
            "node_id": st.text(min_size=1),
        },
        optional={
            "log_id": st.text(min_size=1),
            "logger": st.text(min_size=1),
            "trace_id": st.text(min_size=1),
            "span_id": st.none() | st.text(min_size=1),
            "start_time": st.sampled_from(["2026-11-24T06:38:11.5Z", "soon"]),
            "response_time_ms": st.integers() | st.floats(0, 1e6),
            "http_status": st.integers(0, 999),
            "error_details": st.fixed_dictionaries(
                {}, optional={"error_code": st.text(min_size=1), "stack": st.none()}
            ),
        },
    )
)
def test_the_fast_reader_and_the_slow_one_agree(record: dict[str, Json]) -> None:
    value = json.dumps(record).encode()
    fast = canonical.read(value)
    # An unknown key, empty and so without a trace, sends the record the slow way.
    slow = parse(json.dumps(record | {"labels": {"x": 1}}).encode(), received_ns=RECEIVED_NS)
    assert isinstance(slow, LogEvent)
    assert slow.labels.pop("x") == 1
    if fast is not None:
        assert fast == slow


def test_heartbeats_and_registrations() -> None:
    beat = {
        "node_id": "n",
        "message_type": "HEARTBEAT",
        "status": "UP",
        "timestamp": "2026-11-24T06:38:11Z",
        "service_name": "S",
        "seq": 7,
        "instance_id": "i",
    }
    assert read(json.dumps(beat).encode()) == Heartbeat(
        node_id="n", status=NodeState.UP, timestamp_ns=RECEIVED_NS, service="S", seq=7, instance_id="i"
    )
    entry = {"message_type": "REGISTRATION", "node_id": "n", "service_name": "S", "status": "DOWN", "timestamp": "?"}
    assert read(json.dumps(entry).encode()) == Registration(
        node_id="n", service="S", timestamp_ns=RECEIVED_NS - 1, status=NodeState.DOWN
    )


def test_canonical() -> None:
    event = read(json.dumps(LOG).encode())
    assert event == LogEvent(
        timestamp_ns=RECEIVED_NS + 123_000_000,
        level=Level.WARN,
        message="slow",
        service="OrderService",
        node_id="order-1",
        log_id="0001",
        error_code="E1",
        error_message="late",
        duration_ns=812_000_000,
        threshold_ns=500_000_000,
    )


@given(
    st.text() | st.sampled_from(['2015-10-18 18:01:47,978 INFO [main] a.B: x "y"\r', '{"a":1}', " {}", "[error] x"]),
    st.none() | st.text(),
    st.none() | st.text(),
    st.booleans(),
)
def test_lines_in_records_are_read_the_same_the_fast_way(
    text: str, service: str | None, node_id: str | None, spaced: bool
) -> None:
    record: dict[str, Json] = {"message": text}
    record |= {} if service is None else {"service_name": service}
    record |= {} if node_id is None else {"node_id": node_id}
    value = json.dumps(record, separators=(", ", " : ") if spaced else (",", ":"), ensure_ascii=spaced).encode()
    fast = text_records.read(value, received_ns=RECEIVED_NS, event_ns=0, tag="app")
    assert fast is None or fast == json_dialects.read(record, received_ns=RECEIVED_NS, event_ns=0, tag="app")


def spelt(number: int, digits: int, zero: str, one: str) -> str:
    """One of 2 ** digits ways to write a key that is read as the same."""
    return f"{number:0{digits}b}".replace("0", zero).replace("1", one)


def of_keys(keys: Iterator[str], value: str = "1") -> str:
    return "{" + ",".join(f'"{key}":{value}' for key in keys) + "}"


HOSTILE = {
    "digits beside a float": '{"a":1.5,"message":"' + "1" * 500_000 + '"}',
    "digits and dots": '{"a":1.5,"message":"' + "1." * 250_000 + '"}',
    "labels spelt in many ways": of_keys((spelt(n, 40, "-", "_") + "labels" for n in range(9_000)), '{"a":1}'),
    "levels spelt in many ways": of_keys((spelt(n, 40, "-", "_") + "level" for n in range(9_000)), '"INFO"'),
    "many keys": of_keys("-" * (n % 50) + str(n) for n in range(9_000)),
    "half surrogates": '{"k":[' + ",".join(['{"\\ud800":1,"\\\\ud800":2}'] * 9_000) + "]}",
    "half surrogates and escapes": of_keys(spelt(n, 13, "\\ud800", "\\\\ud800") for n in range(8_000)),
    "one key many times": of_keys("a" for _ in range(50_000)),
    "wrappers": '{"msg":' * 150 + '{"a":1}' + "}" * 150,
    "texts in texts": json.dumps({"msg": json.dumps({"msg": json.dumps({"msg": "{" * 50_000})})}),
    "minus signs of Python": json.dumps({"message": "{'a':" + "-" * 16_000 + "1}"}),
    "a sum of Python": json.dumps({"message": "{'a':" + "1+" * 8_000 + "1}"}),
    "a long number of Python": json.dumps({"message": "{'a':" + "9" * 16_000 + "}"}),
    "arrays of Python": json.dumps({"message": "{'a':" + "[" * 190 + "]" * 190 + "}"}),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_records_cost_no_more_than_long_ones(text: str) -> None:
    start = time.process_time()
    event = read(text.encode())
    assert isinstance(event, LogEvent)
    document(event, PROVENANCE)
    assert time.process_time() - start < 2


def test_an_empty_log_id_is_none() -> None:
    event = read(json.dumps(LOG | {"log_id": ""}).encode())
    assert isinstance(event, LogEvent)
    assert event.log_id is None


@pytest.mark.parametrize("value", [b"a line", b'{"msg":"no service","level":"error"}', b"a line \xff", b'{"k":"\xff"}'])
def test_a_tag_that_is_no_utf8_is_shown_as_the_indexer_shows_it(value: bytes) -> None:
    event = parse(value, received_ns=RECEIVED_NS, tag="app-\udcff")
    assert isinstance(event, LogEvent)
    assert event.service == "app-\\udcff"
    assert document(event, PROVENANCE)["service"] == {"name": "app-\\udcff"}
    event.service = "app-\udcff"  # as an event held it before
    assert document(event, PROVENANCE)["service"] == {"name": "app-\\udcff"}
