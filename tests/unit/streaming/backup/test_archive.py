"""A backup's file: what was written is read, and nothing else passes for it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.backup.archive import VERSION, Entry, Head, Writer, read
from streaming.errors import ConfigError

HEAD = Head(VERSION, "2026-11-25T21:00:00+00:00", ["rule-sets"])
entries = st.builds(
    Entry,
    st.sampled_from(["rule-sets", "dead-letters"]),
    st.integers(0, 5),
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=200),
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=20)), max_size=3),
)


def _written(path: Path, items: list[Entry]) -> Path:
    writer = Writer(path, HEAD)
    for item in items:
        writer.add(item)
    writer.close()
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(entries, max_size=20))
def test_what_was_written_is_read(tmp_path: Path, items: list[Entry]) -> None:
    path = _written(tmp_path / "backup.zst", items)
    assert list(read(path)) == [HEAD, *items]
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = _written(tmp_path / "backup.zst", [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_that_is_not_finished_has_no_name(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "backup.zst", HEAD)
    assert not (tmp_path / "backup.zst").exists()
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def _lines(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return zstandard.ZstdDecompressor().stream_reader(file).read().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "is torn"),
        (lambda lines: [lines[0], *lines[2:]], "was changed"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "its head is not where it should be"),
        (lambda lines: [*lines[:1], b'{"kind":"other"}\n', *lines[1:]], ":2: is no backup"),
        (lambda lines: [lines[0].replace(b'"version":1', b'"version":9'), *lines[1:]], "is of version 9"),
        (lambda lines: [], "is torn"),
    ],
)
def test_a_file_that_was_harmed_is_refused(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    path = _written(tmp_path / "backup.zst", [Entry("rule-sets", 0, b"k", b"v")] * 3)
    harmed = b"".join(change(_lines(path)))
    path.write_bytes(zstandard.ZstdCompressor().compress(harmed))
    with pytest.raises(ConfigError, match=said):
        list(read(path))


@pytest.mark.parametrize("content", [b"", b"plain text", b"\x28\xb5\x2f\xfd\x00"])
def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "backup.zst"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"backup\.zst"):
        list(read(path))


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = _written(tmp_path / "backup.zst", [Entry("rule-sets", 0, b"k", bytes(range(256)))] * 5)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigError):
            list(read(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        list(read(tmp_path / "none.zst"))


def test_a_place_that_takes_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        Writer(tmp_path / "none" / "backup.zst", HEAD)
