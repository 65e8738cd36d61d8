"""Events as JSON: nothing lost, and the same every time."""

from __future__ import annotations

import base64
import json
import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.accumulator.delivery.events import (
    FED_AT_ONCE,
    ORIGINAL,
    Broken,
    Event,
    _read_carefully,
    read_events,
)
from streaming.forward import event_time
from streaming.forward.frames import FrameDecoder
from streaming.forward.walk import VALUES_LIMIT
from tests.support.memory import peak_of

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


@settings(max_examples=60)
@given(records=st.lists(RECORDS, min_size=1, max_size=3))
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


@given(
    entries=st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, 2**32).map(lambda s: event_time.encode(s * 10**9 + 5)),
                st.builds(msgpack.ExtType, st.integers(0, 1), st.binary(min_size=4, max_size=12)),
                st.builds(msgpack.Timestamp, st.integers(0, 2**34), st.integers(0, 10**9 - 1)),
                VALUES,
            ),
            st.one_of(RECORDS, VALUES),
        ),
        max_size=5,
    ),
    stamp=st.one_of(st.none(), st.builds(msgpack.Timestamp, st.integers(0, 2**34), st.integers(0, 10**9 - 1))),
)
def test_the_fast_way_reads_as_the_careful_one_does(
    entries: list[tuple[object, object]], stamp: msgpack.Timestamp | None
) -> None:
    raw = [bytes(msgpack.packb(pair)) for pair in entries]
    raw.append(entry({"a": stamp} if stamp else {b"k": 1}))
    raw.append(entry({"a": "cut \udcff"}))
    found = list(map(repr, read_events(b"".join(raw))))  # NaN is not itself
    assert found == [repr(_read_carefully(one)) for one in raw]


def test_times_of_all_kinds() -> None:
    record = {"a": 1}
    assert only(entry(record, 1_700_000_000)).time_ns == 1_700_000_000_000_000_000
    assert only(entry(record, event_time.encode(1_700_000_000_123_456_789))).time_ns == 1_700_000_000_123_456_789
    assert only(entry(record, 1.5)).time_ns == 1_500_000_000
    assert only(entry(record, "yesterday")).time_ns == 0
    assert only(entry(record, math.nan)).time_ns == 0


def test_an_entry_nested_too_deep_to_be_walked_is_set_aside_with_what_follows() -> None:
    deep = b"\x92\x01" + b"\x81\xa1a" * 10_000 + b"\x01"
    body = entry({"a": 1}) + deep + entry({"a": 2})
    (frame,) = FrameDecoder().feed(msgpack.packb(["app", body, {"chunk": "c"}]))
    assert frame.events == 2
    first, second = read_events(frame.body)
    assert isinstance(first, Event)
    assert second == Broken(deep + entry({"a": 2}))


@pytest.mark.parametrize("odd", [b"", entry({"n": math.nan}), entry({1: "a key that is no text"})])
def test_a_chunk_of_many_entries_is_never_built_whole(odd: bytes) -> None:
    """Each would be some 300 bytes; msgpack's own buffer has a megabyte."""
    body = entry({}) * 25_000 + odd
    found, peak = peak_of(lambda: sum(isinstance(e, Event) for e in read_events(body)))
    assert found == 25_000 + bool(odd)
    assert peak < 10 * len(body) + 2**20


def test_what_json_cannot_say_is_readable_and_marked() -> None:
    said = json.loads(only(entry({"m": b"caf\xe9", "n": math.nan, "t": "plain"})).value)
    assert (said["m"], said["n"], said["t"]) == ("caf\ufffd", "nan", "plain")
    assert ORIGINAL in said
    assert ORIGINAL not in json.loads(only(entry({"m": "café".encode()})).value)


def test_an_event_of_too_many_values_is_set_aside_alone_and_unbuilt() -> None:
    many, small = 300_000, b"\x80"
    raw = b"\x92\x01\x81\xa1a\xdd" + many.to_bytes(4, "big") + small * many
    body = entry({"n": 1}) + raw + entry({"n": 2}) + raw
    found, peak = peak_of(
        lambda: [e.record if isinstance(e, Event) else (e.reason, e.raw == raw) for e in list(read_events(body))]
    )
    assert found == [
        {"n": 1},
        ("too-many-values", True),
        {"n": 2},
        ("too-many-values", True),
    ]
    assert peak < 3 * len(body) + 35_000_000


def test_a_long_event_of_few_values_is_an_event() -> None:
    records = [{"text": "x" * 3 * FED_AT_ONCE}, {"n": 1}, {"list": list(range(VALUES_LIMIT // 2))}, {"n": 2}]
    found = list(read_events(b"".join(map(entry, records))))
    assert [e.record for e in found if isinstance(e, Event)] == records


@given(
    st.lists(
        st.tuples(
            st.one_of(st.binary(min_size=8, max_size=8), st.integers(0, 2**32)),
            st.sampled_from([1, "\u00cb\u007f", 1.5, math.nan, math.inf, -math.inf, "x"]),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_an_event_reads_the_same_among_others_as_alone(entries: list[tuple[bytes | int, object, bool]]) -> None:
    """Only those that may hold what orjson gets wrong are read the slow way, not their whole chunk."""
    raw = [
        msgpack.packb(
            [msgpack.ExtType(0, time) if isinstance(time, bytes) else time, {"v": value}], use_single_float=single
        )
        for time, value, single in entries
    ]
    assert list(map(repr, read_events(b"".join(raw)))) == [repr(only(one)) for one in raw]
