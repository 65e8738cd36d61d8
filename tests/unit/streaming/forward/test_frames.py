"""Frames: every mode survives a round trip in any cut; nothing but FrameError comes of broken bytes."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import time
from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.forward import event_time
from streaming.forward.frames import (
    Frame,
    FrameDecoder,
    FrameError,
    acknowledgement,
    count,
    decode,
    inflate,
)

TIMES = st.one_of(
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 * 10**9 - 1).map(event_time.encode), st.floats(0, 2**31)
)
TEXT = st.text(max_size=20)
RECORDS = st.dictionaries(
    TEXT, st.one_of(TEXT, st.integers(-(2**63), 2**64 - 1), st.none(), st.lists(TEXT)), max_size=5
)
ENTRIES = st.lists(st.tuples(TIMES, RECORDS), max_size=5)


def packed_entries(entries: list[tuple[object, dict[str, object]]]) -> bytes:
    return b"".join(msgpack.packb([time, record]) for time, record in entries)


def as_forward(tag: str, entries: list[tuple[object, dict[str, object]]], options: dict[str, object]) -> bytes:
    frame = [tag, [list(e) for e in entries]]
    return bytes(msgpack.packb([*frame, options] if options else frame))


def as_packed(tag: str, entries: list[tuple[object, dict[str, object]]], options: dict[str, object]) -> bytes:
    frame = [tag, packed_entries(entries)]
    return bytes(msgpack.packb([*frame, options] if options else frame))


def as_compressed(tag: str, entries: list[tuple[object, dict[str, object]]], options: dict[str, object]) -> bytes:
    half = len(entries) // 2
    body = gzip.compress(packed_entries(entries[:half]), mtime=0) + gzip.compress(
        packed_entries(entries[half:]), mtime=0
    )
    return bytes(msgpack.packb([tag, body, {"compressed": "gzip"} | options]))


MODES_OF_MANY = [as_forward, as_packed, as_compressed]
MODES = st.sampled_from(MODES_OF_MANY)
OPTIONS: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.just({}), st.fixed_dictionaries({"chunk": st.text(min_size=1, max_size=30)})
)


def body_of(frame: Frame) -> bytes:
    return inflate(frame.body) if frame.gzip else frame.body


@given(mode=MODES, tag=TEXT, entries=ENTRIES, options=OPTIONS, cuts=st.lists(st.integers(0, 400), max_size=6))
def test_a_stream_of_frames_is_read_whatever_its_cuts(
    mode: Callable[..., bytes],
    tag: str,
    entries: list[tuple[object, dict[str, object]]],
    options: dict[str, object],
    cuts: list[int],
) -> None:
    stream = mode(tag, entries, options) * 2
    places = [0, *sorted(min(c, len(stream)) for c in cuts), len(stream)]
    decoder = FrameDecoder()
    frames = [f for a, b in itertools.pairwise(places) for f in decoder.feed(stream[a:b])]
    assert len(frames) == 2
    for frame in frames:
        assert (frame.tag, frame.events, frame.chunk) == (tag, len(entries), options.get("chunk"))
        assert body_of(frame) == packed_entries(entries)


@given(tag=TEXT, time=TIMES, record=RECORDS, options=OPTIONS)
def test_message_mode_is_one_event(
    tag: str, time: object, record: dict[str, object], options: dict[str, object]
) -> None:
    raw = msgpack.packb([tag, time, record, options] if options else [tag, time, record])
    assert decode(raw) == Frame(tag, packed_entries([(time, record)]), 1, chunk=options.get("chunk"))  # type: ignore[arg-type]


SAMPLES: list[list[tuple[object, dict[str, object]]]] = [
    [],
    [(1, {"a": None, "text": "x" * 40})],
    [(event_time.encode(10**18), {"list": ["a", "b"], "n": 2**63}), (1.5, {"é": -(2**63)}), (7, {})],
]
WHOLE = [mode("app.web", sample, {"chunk": "c1"}) for mode in MODES_OF_MANY for sample in SAMPLES]
"""Frames to be broken."""


@settings(max_examples=400)
@given(
    whole=st.sampled_from(WHOLE),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 10_000),
)
def test_broken_frames_raise_nothing_but_frame_error(whole: bytes, edits: list[tuple[int, int]], cut: int) -> None:
    raw = bytearray(whole)
    for place, value in edits:
        raw[place % len(raw)] = value
    data = bytes(raw[: cut % len(raw) + 1])
    with contextlib.suppress(FrameError):
        for frame in FrameDecoder(limit=4096).feed(data):
            assert count(body_of(frame)) == frame.events


@given(data=st.binary(max_size=200))
def test_noise_raises_nothing_but_frame_error(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        list(FrameDecoder(limit=100).feed(data))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "malformed-frame"),
        (msgpack.packb(["tag"]), "malformed-frame"),
        (msgpack.packb([1, b""]), "malformed-frame"),
        (msgpack.packb(["tag", 1]), "malformed-frame"),
        (msgpack.packb(["tag", b"", 5]), "malformed-frame"),
        (msgpack.packb(["tag", b"", {"chunk": 5}]), "malformed-frame"),
        (msgpack.packb(["tag", b"\x92\x01", {}]), "malformed-entries"),
        (msgpack.packb(["tag", b"\xc1", {}]), "malformed-entries"),
        (msgpack.packb(["tag", b"xx", {"compressed": "gzip"}]), "malformed-gzip"),
        (msgpack.packb(["tag", gzip.compress(b"\x90", mtime=0)[:-2], {"compressed": "gzip"}]), "malformed-gzip"),
        (msgpack.packb(["tag", b"", {"compressed": "zstd"}]), "unknown-compression"),
        (b"\xc1", "not-msgpack"),
    ],
)
def test_what_is_wrong_is_named(raw: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as caught:
        list(FrameDecoder().feed(raw))
    assert caught.value.reason == reason


def test_a_frame_past_the_limit_is_refused_before_it_is_whole() -> None:
    decoder = FrameDecoder(limit=1000)
    start = msgpack.packb(["tag", b"x" * 5000])[:1000]
    assert list(decoder.feed(start)) == []
    with pytest.raises(FrameError, match="frame-too-large"):
        list(decoder.feed(b"x"))


def test_a_gzip_bomb_is_refused() -> None:
    with pytest.raises(FrameError, match="frame-too-large"):
        inflate(gzip.compress(b"\xc0" * 100_000), limit=10_000)


def test_many_small_gzip_members_cost_no_more_than_their_bytes() -> None:
    """Fluentd compresses each emit by itself; a full frame of 700,000 took minutes."""
    body = gzip.compress(b"\x92\x01\x80") * 150_000
    begun = time.process_time()
    assert count(inflate(body)) == 150_000
    assert time.process_time() - begun < 3.0


def test_nil_is_a_sign_of_life_and_a_packed_body_may_be_a_string() -> None:
    old = b"\xc0" + msgpack.packb([b"tag", packed_entries([(1, {"a": b"\xff"})])], use_bin_type=False)
    (frame,) = FrameDecoder().feed(old)
    assert (frame.tag, frame.events) == ("tag", 1)


def test_an_acknowledgement_repeats_the_chunk_as_it_was_typed() -> None:
    assert msgpack.unpackb(acknowledgement("abc")) == {"ack": "abc"}
    assert msgpack.unpackb(acknowledgement(b"abc")) == {"ack": b"abc"}


DEEP = b"\x92\x01" + b"\x81\xa1a" * 5_000 + b"\x01"


@pytest.mark.parametrize("piece", [1000, 10**6])
@pytest.mark.parametrize(
    ("raw", "events", "body"),
    [
        (b"\x93\xa3app" + b"\x92" + DEEP + b"\x92\x02\x80" + b"\x81\xa5chunk\xa2c1", 1, DEEP + b"\x92\x02\x80"),
        (b"\x93\xa3app" + b"\x92" + b"\x92\x02\x80" + DEEP + b"\x81\xa5chunk\xa2c1", 2, b"\x92\x02\x80" + DEEP),
        (b"\x94\xa3app" + DEEP[1:] + b"\x81\xa5chunk\xa2c1", 1, DEEP),
    ],
    ids=["forward, deep first", "forward, deep last", "message"],
)
def test_a_frame_nested_deeper_than_the_library_walks_is_taken(
    raw: bytes, events: int, body: bytes, piece: int
) -> None:
    """Refused, its sender would come back with it for ever. What follows on the connection is read as ever."""
    follow = as_packed("app", [], {"chunk": "c2"})
    stream = raw + follow + raw
    decoder = FrameDecoder()
    frames = [f for at in range(0, len(stream), piece) for f in decoder.feed(stream[at : at + piece])]
    assert [(f.events, f.chunk, f.body) for f in frames] == [(events, "c1", body), (0, "c2", b""), (events, "c1", body)]
