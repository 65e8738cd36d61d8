"""TCP framing of syslog."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.sources.syslog_frames import Piece, SyslogDecoder


def decoded(parts: list[bytes], limit: int, *, octet_count: bool) -> list[Piece]:
    decoder = SyslogDecoder(limit, octet_count=octet_count)
    found = [piece for part in parts for piece in decoder.feed(part)]
    return found + list(decoder.finish())


def test_lines() -> None:
    assert decoded([b"<1>a\n<2>b\n\n<3>", b"c"], 100, octet_count=False) == [
        (b"<1>a", False), (b"<2>b", False), (b"<3>c", False),
    ]  # fmt: skip


def test_lengths_and_lines_mixed() -> None:
    found = decoded([b"5 <1>a\n4 <2>b<3>line\nwords 7\n3 <4>"], 100, octet_count=True)
    assert [raw for raw, _ in found] == [b"<1>a\n", b"<2>b", b"<3>line", b"words 7", b"<4>"]


def test_digits_begin_a_line_where_lengths_are_not_expected() -> None:
    assert decoded([b"5 <1>a\n"], 100, octet_count=False) == [(b"5 <1>a", False)]


def test_what_is_too_long_comes_in_pieces() -> None:
    assert decoded([b"abcdefgh\nx\n"], 3, octet_count=False) == [
        (b"abc", False), (b"def", True), (b"gh", True), (b"x", False),
    ]  # fmt: skip
    assert decoded([b"8 abcdefgh3 xyz"], 3, octet_count=True) == [
        (b"abc", False), (b"def", True), (b"gh", True), (b"xyz", False),
    ]  # fmt: skip


def test_it_holds_no_more_than_a_piece() -> None:
    decoder = SyslogDecoder(10, octet_count=True)
    for _ in range(1000):
        list(decoder.feed(b"999999999 " if not decoder.unfinished else b"x" * 7))
        assert decoder.unfinished <= 17


FRAME = st.one_of(
    st.binary(max_size=20),
    st.binary(min_size=1, max_size=20).map(lambda raw: b"%d " % len(raw) + raw),
    st.binary(max_size=20).map(lambda raw: raw + b"\n"),
    st.integers(0, 10**11).map(lambda n: b"%d" % n),
)


@given(
    st.lists(FRAME, max_size=6).map(b"".join), st.lists(st.integers(0, 120), max_size=6), st.integers(1, 12),
    st.booleans(),
)  # fmt: skip
def test_how_the_bytes_were_cut_does_not_matter(raw: bytes, cuts: list[int], limit: int, octet_count: bool) -> None:
    whole = decoded([raw], limit, octet_count=octet_count)
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    assert decoded([raw[a:b] for a, b in pairwise(places)], limit, octet_count=octet_count) == whole
    assert decoded([bytes([byte]) for byte in raw], limit, octet_count=octet_count) == whole
    assert all(0 < len(piece.raw) <= max(limit, 10) for piece in whole)
    if not octet_count:
        assert b"".join(piece.raw for piece in whole) == raw.replace(b"\n", b"")
