"""What a request of `@type http` means, without a server."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.accumulator.configuration.plan import HttpSource
from streaming.accumulator.delivery.events import Event, read_events
from streaming.accumulator.sources import entries
from streaming.accumulator.sources.http import HttpEndpoint
from streaming.accumulator.sources.http_records import ORIGINAL, VALUES_LIMIT, seconds_to_ns
from streaming.accumulator.sources.web import Accepted, Head, Request, Response
from tests.support.listening import http_source

RECEIVED_NS = 1_795_502_400_000_000_000
JSON = "application/json"
MSGPACK = "application/msgpack"
NDJSON = "application/x-ndjson"
FORM = "application/x-www-form-urlencoded"


def post(
    body: bytes | str,
    media_type: str = JSON,
    target: str = "/app.order",
    source: HttpSource | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Response | Accepted:
    path, _, query = target.partition("?")
    head = Head("POST", path, query, (("content-type", media_type), *headers), "192.0.2.7")
    endpoint = HttpEndpoint(source or http_source())
    raw = body.encode() if isinstance(body, str) else body
    return endpoint.refusal(head) or endpoint.answer(Request(head, raw, b"http:1", RECEIVED_NS))


def events_of(found: Response | Accepted) -> list[Event]:
    assert isinstance(found, Accepted), found
    assert found.response.status in (200, 204)
    events = [event for event in read_events(found.chunk.body) if isinstance(event, Event)]
    assert len(events) == found.chunk.events
    return events


def records_of(found: Response | Accepted) -> list[object]:
    return [event.record for event in events_of(found)]


def refused(found: Response | Accepted) -> tuple[int, str]:
    assert isinstance(found, Response)
    return found.status, found.body.decode()


@pytest.mark.parametrize(
    ("body", "media_type", "records"),
    [
        ('{"a": 1, "b": {"c": [true, null]}}', JSON, [{"a": 1, "b": {"c": [True, None]}}]),
        (' [ {"a":1} , {"a":2}\n]\n', JSON, [{"a": 1}, {"a": 2}]),
        ('{"a":1}', f"{JSON}; charset=utf-8", [{"a": 1}]),
        ('{"a":1}\n\n{"a":"\u00e9"}\r\n', NDJSON, [{"a": 1}, {"a": "\u00e9"}]),
        (msgpack.packb({"a": 1}), MSGPACK, [{"a": 1}]),
        (msgpack.packb([{"a": 1}, {"b": "x"}]), MSGPACK, [{"a": 1}, {"b": "x"}]),
        ("json=" + quote('{"a": "1+1&2"}'), FORM, [{"a": "1+1&2"}]),
        ("json=" + quote('[{"a":1},{"a":"\u00e9"}]'), FORM, [{"a": 1}, {"a": "\u00e9"}]),
        (b"msgpack=" + quote(msgpack.packb({"a": -1, "b": "\u00e9"})).encode(), FORM, [{"a": -1, "b": "\u00e9"}]),
        ("ndjson=" + quote('{"a":1}\n{"a":2}'), FORM, [{"a": 1}, {"a": 2}]),
    ],
)
def test_bodies(body: bytes | str, media_type: str, records: list[object]) -> None:
    assert records_of(post(body, media_type)) == records


def test_the_tag_is_the_path_with_dots() -> None:
    for target, tag in [("/app.order", "app.order"), ("/app/order/", "app.order"), ("/a%20b?x=1", "a%20b")]:
        found = post('{"a":1}', target=target)
        assert isinstance(found, Accepted)
        assert found.chunk.tag == tag
    found = post('{"a":1}', source=http_source(add_tag_prefix="web", label="@IN"))
    assert isinstance(found, Accepted)
    assert (found.chunk.tag, found.chunk.label, found.chunk.chunk_id) == ("web.app.order", "@IN", b"http:1")
    for target in ("/", "//", "/" + "x" * 2000):
        assert refused(post('{"a":1}', target=target))[0] == 400


def test_the_query_s_time_is_that_of_all_records() -> None:
    found = post('[{"a":1,"time":5},{"a":2}]', target="/t?time=1795502291.123456789")
    assert [event.time_ns for event in events_of(found)] == [1_795_502_291_123_456_789] * 2
    assert records_of(found) == [{"a": 1, "time": 5}, {"a": 2}]
    assert "seconds" in refused(post('{"a":1}', target="/t?time=yesterday"))[1]


@pytest.mark.parametrize("pack", [False, True])
def test_a_record_s_time_is_taken_out(pack: bool) -> None:
    def read(record: dict[str, object], source: HttpSource | None = None) -> Event:
        if pack:
            return events_of(post(msgpack.packb(record), MSGPACK, source=source))[0]
        return events_of(post(json.dumps(record), source=source))[0]

    event = read({"a": 1, "time": 1795502291.25, "b": 2})
    assert (event.time_ns, event.record) == (1_795_502_291_250_000_000, {"a": 1, "b": 2})
    event = read({"time": "1795502291"}, http_source(keep_time_key=True))
    assert (event.time_ns, event.record) == (1_795_502_291_000_000_000, {"time": "1795502291"})
    for other in ("2026-11-24T00:00:00Z", 1795502291000, None, True, {"x": 1}, -1):  # read with the rest of the event
        event = read({"a": 1, "time": other})
        assert (event.time_ns, event.record) == (0, {"a": 1, "time": other})


def test_what_came_with_the_request() -> None:
    source = http_source(add_http_headers=True, add_remote_addr=True, add_query_params=True)
    headers = (("user-agent", "curl"), ("authorization", "secret"), ("cookie", "secret"), ("x-a", "1"), ("x-a", "2"))
    expected = {
        "a": 1,
        "HTTP_USER_AGENT": "curl",
        "HTTP_X_A": "1",
        "QUERY_K": "v w",
        "REMOTE_ADDR": "192.0.2.7",
    }
    for body, media_type in [('{"a":1}', JSON), (msgpack.packb([{"a": 1}]), MSGPACK)]:
        found = post(body, media_type, "/t?k=v+w", source, headers)
        assert records_of(found) == [expected | {"HTTP_CONTENT_TYPE": media_type}]
    found = post('{"a":1}', source=source, headers=(("x-forwarded-for", "198.51.100.1, 10.0.0.1"),))
    record = events_of(found)[0].record
    assert record["REMOTE_ADDR"] == "198.51.100.1"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a":1,"a":2}', {"a": 2}),
        ('{"a":123456789012345678901234567890}', {"a": "123456789012345678901234567890"}),
        ('{"a":0.12345678901234567890123}', {"a": 0.12345678901234568}),
        ('{"a":NaN}', {"a": "nan"}),
        ('{"a":"\\ud800"}', {"a": "\\ud800"}),
    ],
)
def test_what_msgpack_cannot_hold_goes_along_as_text(text: str, values: dict[str, object]) -> None:
    for body, media_type in [(text, JSON), (f'[{{"b":1}},{text}]', JSON), (f'{{"b":1}}\n{text}', NDJSON)]:
        assert records_of(post(body, media_type))[-1] == values | {ORIGINAL: text}


@pytest.mark.parametrize(
    ("body", "media_type", "status", "text"),
    [
        ("", JSON, 400, "not JSON"),
        ("{", JSON, 400, "not JSON"),
        ('{"a":1} x', JSON, 400, "not JSON"),
        ('[{"a":1}', JSON, 400, "neither a comma"),
        ('[{"a":1},]', JSON, 400, "not JSON"),
        ('[{"a":1}] x', JSON, 400, "follows the array at character 9"),
        ("7", JSON, 400, "a record is an object"),
        ('[{"a":1}, 7]', JSON, 400, "a record is an object"),
        (b'{"a":"\xff"}', JSON, 400, "not UTF-8: invalid start byte at byte 6"),
        ("[" * 10_000, JSON, 400, "levels"),
        ('{"a":' + "[" * 300 + "]" * 300 + "}", JSON, 400, "levels"),
        ('[{"a":' + "[" * 300 + "]" * 300 + "}]", JSON, 400, "levels"),
        ('{"a":1}\n{"a"', NDJSON, 400, "line 2: not JSON"),
        (b"", MSGPACK, 400, "empty"),
        (b"\xc1", MSGPACK, 400, "not msgpack"),
        (msgpack.packb({"a": 1})[:-1], MSGPACK, 400, "too soon"),
        (msgpack.packb({"a": 1}) * 2, MSGPACK, 400, "follows the record at byte 4"),
        (msgpack.packb([{"a": 1}]) + b"\x01", MSGPACK, 400, "follows the array"),
        (msgpack.packb([{"a": 1}, 7]), MSGPACK, 400, "a record is a map"),
        (b"\x91" * 5000, MSGPACK, 400, "msgpack"),
        (b"\xdd\xff\xff\xff\xff\x80", MSGPACK, 400, "too soon"),
        ("a=1", FORM, 400, "none of the fields msgpack, json, ndjson"),
        ("json={", FORM, 400, "not JSON"),
        ("&".join(f"a{n}=1" for n in range(1001)), FORM, 400, "more than 1000 fields"),
        ('{"a":1}', "text/plain", 415, "text/plain is none of application/json"),
        ('{"a":1}', "", 415, "no Content-Type"),
        ("[" + "0," * VALUES_LIMIT + "0]", JSON, 413, "values"),
        ("[0" + "," * VALUES_LIMIT + "]", NDJSON, 413, "line 1: more than"),
    ],
)
def test_bad_input_gets_a_reason(body: bytes | str, media_type: str, status: int, text: str) -> None:
    found = refused(post(body, media_type))
    assert found[0] == status
    assert text in found[1]


def test_a_small_body_makes_no_huge_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "PACKED_LIMIT", 100_000)
    monkeypatch.setattr(entries, "EVENTS_LIMIT", 50)
    source = http_source(add_http_headers=True)
    for count, size in [(20, 10_000), (51, 1)]:
        for body, media_type in [("[" + ",".join(["{}"] * count) + "]", JSON), (msgpack.packb([{}] * count), MSGPACK)]:
            status, text = refused(post(body, media_type, source=source, headers=(("x", "x" * size),)))
            assert (status, "send them in parts" in text) == (413, True)


def test_only_loggers_may_post() -> None:
    assert refused(post('{"a":1}', headers=(("origin", "https://example.com"),)))[0] == 403
    get = HttpEndpoint(http_source()).refusal(Head("GET", "/t", "", (), ""))
    assert get is not None
    assert (get.status, get.headers) == (405, (("Allow", "POST"),))


def test_nothing_to_take_is_taken() -> None:
    assert post("[]") == Response(200)
    assert post("\n", NDJSON, source=http_source(use_204_response=True)) == Response(204)


def test_seconds() -> None:
    values: tuple[object, ...] = (True, None, [], "x", "nan", "inf", -1, 0, 2**32, 1e300, "1e999999999", float("nan"))
    for value in values:
        assert seconds_to_ns(value) is None
    assert seconds_to_ns(1.1) == 1_100_000_000


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(
    st.dictionaries(st.text().filter(lambda key: key not in ("time", ORIGINAL)), VALUES, max_size=4),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40)
@given(RECORDS)
def test_all_ways_give_the_same_records(records: list[dict[str, object]]) -> None:
    as_json = json.dumps(records)
    ways = [
        post(as_json),
        post("\n".join(map(json.dumps, records)), NDJSON),
        post(msgpack.packb(records), MSGPACK),
        post(urlencode({"json": as_json}), FORM),
        post(urlencode({"msgpack": msgpack.packb(records)}), FORM),
    ]
    shown = json.loads(as_json)
    for way in ways:
        assert [{k: v for k, v in r.items() if k != ORIGINAL} for r in records_of(way) if isinstance(r, dict)] == shown


@given(st.binary(max_size=200), st.sampled_from([JSON, NDJSON, MSGPACK, FORM]), st.sampled_from([b"", b"[", b"json="]))
def test_any_bytes_get_an_answer(raw: bytes, media_type: str, before: bytes) -> None:
    found = post(before + raw, media_type)
    if isinstance(found, Accepted):
        events_of(found)
    else:
        assert found.status in (200, 400, 413)
