"""Events as JSON: nothing lost, the same every time, and coordinates as the rest of Vigil writes them."""

from __future__ import annotations

import base64
import functools
import json
import math
import tracemalloc
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.configuration.planner import load_plan
from streaming.accumulator.delivery.events import ORIGINAL, Broken, Event, read_events
from streaming.accumulator.delivery.outgoing import DEAD_LETTER_LIMIT, RECORD_LIMIT, Converter, ToFile, ToKafka
from streaming.accumulator.delivery.routes import Router
from streaming.accumulator.spool.segment import Stored
from streaming.events import coordinates
from streaming.forward import event_time
from streaming.forward.frames import FrameDecoder
from streaming.settings import CHECKOUT

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=10),
        st.binary(max_size=10),
        st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=9)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(0, 9)), inner, max_size=3),
    ),
    max_leaves=8,
)
RECORDS = st.dictionaries(st.text(max_size=8), VALUES, max_size=4)


def entry(record: object, time: object = 1) -> bytes:
    return bytes(msgpack.packb([time, record], unicode_errors="surrogateescape"))


def only(raw: bytes) -> Event:
    (event,) = read_events(raw)
    assert isinstance(event, Event)
    return event


def same(a: object, b: object) -> bool:
    return bool(msgpack.packb(a) == msgpack.packb(b))


@given(records=st.lists(RECORDS, min_size=1, max_size=4))
def test_every_event_is_json_and_nothing_is_lost(records: list[dict[str, object]]) -> None:
    body = b"".join(entry(r) for r in records)
    events = list(read_events(body))
    assert [e.value for e in read_events(body) if isinstance(e, Event)] == [
        e.value for e in events if isinstance(e, Event)
    ]
    for event, record in zip(events, records, strict=True):
        assert isinstance(event, Event)
        said = json.loads(event.value)
        if ORIGINAL in said:
            raw = base64.b64decode(said[ORIGINAL])
            assert same(msgpack.unpackb(raw, strict_map_key=False)[1], record)
        else:
            assert same(said, _binary_as_text(record))


def _binary_as_text(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [_binary_as_text(v) for v in value]
    if isinstance(value, dict):
        return {k: _binary_as_text(v) for k, v in value.items()}
    return value


@given(junk=st.lists(VALUES, min_size=1, max_size=4))
def test_entries_that_are_no_events_are_kept_as_they_came(junk: list[object]) -> None:
    body = b"".join(msgpack.packb(j) for j in junk)
    for found, value in zip(read_events(body), junk, strict=True):
        if isinstance(found, Broken):
            assert same(msgpack.unpackb(found.raw, strict_map_key=False), value)


def test_times_of_all_kinds() -> None:
    record = {"a": 1}
    assert only(entry(record, 1_700_000_000)).time_ns == 1_700_000_000_000_000_000
    assert only(entry(record, event_time.encode(1_700_000_000_123_456_789))).time_ns == 1_700_000_000_123_456_789
    assert only(entry(record, 1.5)).time_ns == 1_500_000_000
    assert only(entry(record, "yesterday")).time_ns == 0
    assert only(entry(record, math.nan)).time_ns == 0


@pytest.mark.parametrize("length", [0, 7, 9, 5_000])
def test_a_binary_in_the_place_of_the_time_is_no_time(length: int) -> None:
    """As a number it has more digits than Python writes, and the accumulator would end at it again and again."""
    chunk = stored(entry({"a": 1}, b"\xff" * length))
    (sent,) = converter().outgoing(chunk)
    assert isinstance(sent, ToKafka)
    assert coordinates.decode(sent.headers[0][1]).event_ns == 0


def test_an_entry_nested_too_deep_to_be_walked_is_set_aside_with_what_follows() -> None:
    deep = b"\x92\x01" + b"\x81\xa1a" * 10_000 + b"\x01"
    body = entry({"a": 1}) + deep + entry({"a": 2})
    (frame,) = FrameDecoder().feed(msgpack.packb(["app", body, {"chunk": "c"}]))
    assert frame.events == 2
    first, second = read_events(frame.body)
    assert isinstance(first, Event)
    assert second == Broken(deep + entry({"a": 2}))


@pytest.mark.parametrize("odd", [b"", entry({"n": math.nan}), entry({1: "a key that is no text"})])
def test_a_chunk_of_millions_of_entries_is_never_built_whole(odd: bytes) -> None:
    body = entry({}) * 200_000 + odd
    tracemalloc.start()
    try:
        found = sum(isinstance(e, Event) for e in read_events(body))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == 200_000 + bool(odd)
    assert peak < 10 * len(body)


def test_what_json_cannot_say_is_readable_and_marked() -> None:
    said = json.loads(only(entry({"m": b"caf\xe9", "n": math.nan, "t": "plain"})).value)
    assert (said["m"], said["n"], said["t"]) == ("caf\ufffd", "nan", "plain")
    assert ORIGINAL in said
    assert ORIGINAL not in json.loads(only(entry({"m": "café".encode()})).value)


# ------------------------------------------------------------------------------- what goes to Kafka


@functools.cache
def converter() -> Converter:
    plan = load_plan(CHECKOUT / "fluentd" / "fluent2.conf", {})
    return Converter("accumulator2", "0badcafe", Router(plan), "dead-letters")


def stored(body: bytes, tag: str = "app", sequence: int = 5) -> Stored:
    return Stored(sequence, 1_000, 1, tag, b"", "", False, body, 0, 0)


@given(tag=st.text(max_size=10), time_ns=st.integers(0, 2**32 * 10**9 - 1), sequence=st.integers(1, 2**63))
def test_coordinates_are_those_of_the_event_model(tag: str, time_ns: int, sequence: int) -> None:
    body = entry({"a": 1}) + entry({"a": 2}, event_time.encode(time_ns))
    _, second = converter().outgoing(stored(body, tag, sequence))
    assert isinstance(second, ToKafka)
    expected = coordinates.Coordinates("accumulator2", "0badcafe", sequence, 1, 1_000, time_ns, tag)
    assert second.headers == [(coordinates.HEADER, coordinates.encode(expected))]


@pytest.mark.parametrize(
    ("node_id", "key"), [("n-1", b"n-1"), (7, b"7"), ("", None), (None, None), (True, b"true"), ("é", "é".encode())]
)
def test_the_key_is_the_node_id_as_text(node_id: object, key: bytes | None) -> None:
    (record,) = converter().outgoing(stored(entry({"node_id": node_id})))
    assert isinstance(record, ToKafka)
    assert (record.topic, record.key) == ("logs", key)


def test_each_event_goes_to_its_topic() -> None:
    body = entry({"message_type": "HEARTBEAT"}) + entry({"message": "x"}) + entry({"message_type": "registration"})
    assert [r.topic for r in converter().outgoing(stored(body)) if isinstance(r, ToKafka)] == [
        "heartbeats",
        "logs",
        "registrations",
    ]


def test_a_line_of_a_megabyte_passes_and_what_is_larger_goes_to_the_dead_letters() -> None:
    (passes,) = converter().outgoing(stored(entry({"message": "x" * 1_000_000})))
    assert isinstance(passes, ToKafka)
    assert passes.topic == "logs"
    body = entry({"message": "x" * RECORD_LIMIT}) + entry({"message": "small"})
    large, behind = converter().outgoing(stored(body))
    assert isinstance(large, ToKafka)
    assert isinstance(behind, ToKafka)
    assert (large.topic, behind.topic) == ("dead-letters", "logs")
    headers = dict(large.headers)
    assert (headers["reason"], headers["topic"]) == (b"too-large", b"logs")
    assert coordinates.decode(headers[coordinates.HEADER]).sequence == 5


def test_what_is_too_large_even_for_the_dead_letters_goes_to_a_file() -> None:
    (file,) = converter().outgoing(stored(entry({"message": "x" * DEAD_LETTER_LIMIT})))
    assert isinstance(file, ToFile)
    assert file.name == "accumulator2.0badcafe-5-0.json"


def test_what_kafka_has_refused_for_its_size_goes_to_the_dead_letters() -> None:
    body = entry({"message": "a"}) + entry({"message": "b"})
    records = list(converter().outgoing(stored(body), {1: 1}))
    assert [r.topic for r in records if isinstance(r, ToKafka)] == ["logs", "dead-letters"]


def test_a_broken_entry_and_a_tag_without_a_match_go_to_the_dead_letters(tmp_path: Path) -> None:
    (broken,) = converter().outgoing(stored(msgpack.packb("no event")))
    assert isinstance(broken, ToKafka)
    assert (broken.topic, dict(broken.headers)["reason"]) == ("dead-letters", b"malformed-event")
    conf = tmp_path / "a.conf"
    conf.write_text(
        "<source>\n@type forward\n</source>\n<match a>\n@type kafka2\nbrokers k:1\ndefault_topic logs\n</match>\n"
    )
    narrow = Converter("accumulator1", "0badcafe", Router(load_plan(conf, {})), "dead-letters")
    (lost,) = narrow.outgoing(stored(entry({"a": 1}), tag="b"))
    assert isinstance(lost, ToKafka)
    assert (lost.topic, dict(lost.headers)["reason"]) == ("dead-letters", b"no-route")
