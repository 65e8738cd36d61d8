from __future__ import annotations

import gzip
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.errors import ConfigError, Unavailable
from streaming.replay import (
    Address,
    Line,
    Source,
    chunk_id,
    json_object,
    lines_of,
    record_of,
    replay,
    source_of,
)

if TYPE_CHECKING:
    from tests.conftest import ForwardServer

PLAIN = Source(Path("Apache_2k.log"), "apache", "replay-apache")


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
    monkeypatch.setattr("streaming.replay.MAX_LINE_BYTES", 10)
    with pytest.raises(ConfigError, match=r"a\.log:2: .*is it a log"):
        lines(b"short\n" + b"x" * 11)


def test_a_plain_line_is_told_with_its_place_and_no_log_id() -> None:
    assert record_of(Line(81, b"[error] state 6"), PLAIN) == {
        "message": "[error] state 6",
        "service_name": "apache",
        "node_id": "replay-apache",
        "log.file.path": "Apache_2k.log",
        "log.offset": 81,
    }


def test_what_is_not_utf8_goes_as_bytes() -> None:
    assert record_of(Line(0, b"caf\xe9"), PLAIN)["message"] == b"caf\xe9"


def test_a_json_object_is_sent_as_it_is_unless_that_is_switched_off() -> None:
    text = b'{"log_level": "ERROR", "message": "no"}'
    assert record_of(Line(0, text), PLAIN) == {"log_level": "ERROR", "message": "no"}
    never = Source(PLAIN.path, "apache", "n", json_lines=False)
    assert record_of(Line(0, text), never)["message"] == text.decode()


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": 18446744073709551616}',
        b'{"a": 1e999}',
        b'{"a": 0.12345678901234567890123}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"a": ' + b"[" * 600 + b"]" * 600 + b"}",
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a": 1',
        b"[1]",
        b'{"a": "\xff"}',
    ],
)
def test_json_that_could_not_be_carried_unchanged_is_text(text: bytes) -> None:
    assert json_object(text) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_any_other_object_comes_through_unchanged(value: dict[str, object]) -> None:
    text = json.dumps(value).encode()
    expected = None if _infinite(value) else value
    assert json_object(text) == expected


def _infinite(value: object) -> bool:
    if isinstance(value, float):
        return math.isinf(value)
    if isinstance(value, dict):
        return any(map(_infinite, value.values()))
    return isinstance(value, list) and any(map(_infinite, value))


@pytest.mark.parametrize(
    ("name", "service"),
    [("Apache_2k.log", "apache"), ("access.log.gz", "access"), ("OpenSSH", "openssh"), ("_x.log", "replay")],
)
def test_the_service_is_told_by_the_file_name(name: str, service: str) -> None:
    source = source_of(Path("/var/log") / name)
    assert (source.service, source.node_id) == (service, f"replay-{service}")


def test_chunk_ids_are_those_of_run_file_and_place() -> None:
    ids = {chunk_id(*key) for key in [("r", "f", 0, 5), ("s", "f", 0, 5), ("r", "g", 0, 5), ("r", "f", 5, 5)]}
    assert len(ids) == 4
    assert chunk_id("r", "f", 0, 5) in ids


def write(path: Path, count: int, end: bytes = b"\n") -> Path:
    path.write_bytes(end.join(f"{path.stem} line {n}".encode() for n in range(count)))
    return path


def addresses(*servers: ForwardServer) -> list[Address]:
    return [Address("127.0.0.1", server.port) for server in servers]


def messages(server: ForwardServer) -> list[object]:
    return [record["message"] for record in server.records()]


def test_every_line_is_acknowledged(forward_server: ForwardServer, tmp_path: Path) -> None:
    file = write(tmp_path / "a.log", 2_500, b"\r\n")
    seen: list[tuple[int, int]] = []
    summary = replay([source_of(file)], addresses(forward_server), progress=lambda n, size: seen.append((n, size)))
    assert (summary.files, summary.lines, summary.acknowledged, summary.blank) == (1, 2_500, 2_500, 0)
    assert messages(forward_server) == [f"a line {n}" for n in range(2_500)]
    assert sum(n for n, _ in seen) == 2_500
    assert sum(size for _, size in seen) == file.stat().st_size


def test_files_go_to_the_accumulators_in_turn(tmp_path: Path, forward_servers: list[ForwardServer]) -> None:
    first, second, _ = forward_servers
    files = [write(tmp_path / f"{name}.log", 3) for name in "abc"]
    replay([source_of(f) for f in files], addresses(first, second))
    assert messages(first) == [f"{name} line {n}" for name in "ac" for n in range(3)]
    assert messages(second) == [f"b line {n}" for n in range(3)]


def test_gz_is_unpacked_and_blank_lines_are_counted(forward_server: ForwardServer, tmp_path: Path) -> None:
    file = tmp_path / "app.log.gz"
    file.write_bytes(gzip.compress(b"one\n\n\r\ntwo"))
    summary = replay([source_of(file)], addresses(forward_server))
    assert (summary.lines, summary.acknowledged, summary.blank) == (2, 2, 2)
    assert [(r["message"], r["log.offset"]) for r in forward_server.records()] == [("one", 0), ("two", 7)]


def test_a_damaged_gz_is_named(forward_server: ForwardServer, tmp_path: Path) -> None:
    file = tmp_path / "app.log.gz"
    file.write_bytes(gzip.compress(b"one\ntwo\n" * 1000)[:-20])
    with pytest.raises(ConfigError, match=r"app\.log\.gz:\d+: cannot be read"):
        replay([source_of(file)], addresses(forward_server))


def test_an_empty_file_is_fine(forward_server: ForwardServer, tmp_path: Path) -> None:
    file = tmp_path / "empty.log"
    file.touch()
    assert replay([source_of(file)], addresses(forward_server)).lines == 0


def test_a_missing_file_is_named_before_anything_is_sent(forward_server: ForwardServer, tmp_path: Path) -> None:
    good = write(tmp_path / "a.log", 3)
    with pytest.raises(ConfigError, match=r"b\.log: cannot be read: No such file"):
        replay([source_of(good), source_of(tmp_path / "b.log")], addresses(forward_server))
    with pytest.raises(ConfigError, match=r"is a folder"):
        replay([source_of(tmp_path)], addresses(forward_server))
    assert forward_server.records() == []


def test_an_accumulator_that_is_away_is_named_with_the_remedy(forward_server: ForwardServer, tmp_path: Path) -> None:
    forward_server.stop()
    with pytest.raises(Unavailable, match=rf"{forward_server.port} does not answer: .*vigil up"):
        replay([source_of(write(tmp_path / "a.log", 3))], addresses(forward_server))


def test_a_cut_in_the_middle_loses_and_doubles_nothing(forward_server: ForwardServer, tmp_path: Path) -> None:
    forward_server.cuts = 2
    summary = replay([source_of(write(tmp_path / "a.log", 5_000))], addresses(forward_server))
    assert summary.acknowledged == 5_000
    assert sorted(map(str, messages(forward_server))) == sorted(f"a line {n}" for n in range(5_000))
    assert len(forward_server.chunks) > len(set(forward_server.chunks))


def test_one_run_id_makes_one_set_of_chunk_ids(forward_server: ForwardServer, tmp_path: Path) -> None:
    source = source_of(write(tmp_path / "a.log", 2_000))
    replay([source], addresses(forward_server), run_id="r", sent_ns=7)
    replay([source], addresses(forward_server), run_id="r", sent_ns=7)
    assert len(forward_server.records()) == 2_000, "the second run is a resend"
    assert {event.time_ns for event in forward_server.events} == {7}, "to the byte"
    replay([source, source], addresses(forward_server))
    assert len(forward_server.records()) == 6_000, "other runs, and a file named twice, are new events"


def test_a_rate_is_kept_by_the_clock(forward_server: ForwardServer, tmp_path: Path) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    summary = replay(
        [source_of(write(tmp_path / "a.log", 1_001))],
        addresses(forward_server),
        rate=100,
        clock=lambda: now,
        sleep=sleep,
    )
    assert summary.seconds == pytest.approx(10.0)
    assert len(set(forward_server.chunks)) == 201, "five lines a chunk, 20 chunks a second"
