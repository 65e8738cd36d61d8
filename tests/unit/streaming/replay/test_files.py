"""Lines of files, whatever they are packed with; no byte of them is lost."""

from __future__ import annotations

import gzip
import io
import itertools
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from streaming.errors import ConfigError
from streaming.replay.files import STDIN, Line, check, lines_of, opened


def lines(data: bytes) -> list[Line]:
    return list(lines_of(io.BytesIO(data), Path("a.log")))


def test_lf_and_crlf_end_a_line_and_the_last_needs_no_end() -> None:
    assert lines(b"a\r\nb\n\r\nc\rd\ne") == [(0, b"a"), (3, b"b"), (5, b""), (7, b"c\rd"), (11, b"e")]


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"").rstrip(b"\r")), max_size=20))
def test_no_byte_of_a_file_is_lost(texts: list[bytes]) -> None:
    data = b"\r\n".join(texts)
    found = lines(data)
    assert b"\r\n".join(line.text for line in found) == data.removesuffix(
        b"\r\n" if not texts or not texts[-1] else b""
    )
    assert all(data[line.offset :].startswith(line.text) for line in found)


def test_a_line_without_end_in_sight_is_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.replay.files.MAX_LINE_BYTES", 10)
    with pytest.raises(ConfigError, match=r"a\.log:2: .*is it a log"):
        lines(b"short\n" + b"x" * 11)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def read(path: Path) -> list[bytes]:
    with opened(path) as file:
        return [line.text for line in lines_of(file.lines, path)]


TEXT = b"".join(b"line %d\n" % n for n in range(30_000))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.log", TEXT),
        ("a.log.gz", gzip.compress(TEXT, mtime=0)),
        ("a.log.zst", zst(TEXT)),
        ("misnamed.log", zst(TEXT)),
        ("frames.zst", zst(TEXT[:9_000]) + zst(b"") + zst(TEXT[9_000:])),
        ("members.gz", gzip.compress(TEXT[:9_000], mtime=0) + gzip.compress(TEXT[9_000:], mtime=0)),
    ],
)
def test_what_is_packed_is_told_by_its_first_bytes(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert read(path) == TEXT.splitlines()
    with opened(path) as file:
        positions = [file.position() for _ in lines_of(file.lines, path)]
        assert file.size == len(data)
    assert positions == sorted(positions)
    assert positions[-1] == len(data)


@pytest.mark.parametrize("packed", [gzip.compress(TEXT, mtime=0), zst(TEXT)])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_what_is_damaged_is_named_with_its_line(tmp_path: Path, packed: bytes, damage: str) -> None:
    path = tmp_path / "a.log"
    middle = len(packed) // 2
    path.write_bytes(packed[:-20] if damage == "cut" else packed[:middle] + b"\0" * 64 + packed[middle + 64 :])
    with pytest.raises(ConfigError, match=r"a\.log:\d+: cannot be read"):
        read(path)


def test_standard_input_may_be_packed_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "piped"
    path.write_bytes(zst(b"one\ntwo"))
    with path.open() as piped:
        monkeypatch.setattr("sys.stdin", piped)
        check(STDIN)
        assert read(STDIN) == [b"one", b"two"]


@pytest.mark.parametrize("data", [b"", zst(b""), gzip.compress(b"", mtime=0)])
def test_of_nothing_there_are_no_lines(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "empty"
    path.write_bytes(data)
    assert read(path) == []


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=5))
def test_any_frames_give_back_what_was_packed(data: bytes, cuts: list[int]) -> None:
    edges = [0, *itertools.accumulate(cuts), len(data)]
    packed = b"".join(zst(data[a:b]) for a, b in itertools.pairwise(edges) if a < b) or zst(b"")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(packed))))
        with opened(STDIN) as file:
            assert file.lines.read() == data
