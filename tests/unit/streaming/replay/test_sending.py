"""Files on their way: every line is acknowledged, at the pace that was asked for."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streaming.errors import ConfigError, Unavailable
from streaming.replay.files import STDIN
from streaming.replay.records import source_of
from streaming.replay.sending import Address, chunk_id, replay

if TYPE_CHECKING:
    from tests.conftest import ForwardServer


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


class Clock:
    """A time that only passes where somebody sleeps; notes what had been sent at each waking."""

    def __init__(self, server: ForwardServer) -> None:
        self.now = 0.0
        self.server = server
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(round(seconds, 6))
        self.now += seconds


def test_at_its_own_pace_a_file_takes_the_time_it_took(forward_server: ForwardServer, tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(
        b"2026-11-24 06:00:00 INFO a\n"
        b"2026-11-24 06:00:00.020 INFO b\n"
        b"    at c\n"
        b"2026-11-24 06:00:10 INFO d\n"
        b"2026-11-24 06:00:04 INFO late\n"
        b"2026-11-24 18:00:00 INFO e\n"
    )
    clock = Clock(forward_server)
    summary = replay([source_of(file)], addresses(forward_server), speed=4, clock=clock, sleep=clock.sleep)
    assert (summary.lines, summary.timed, summary.acknowledged) == (6, 5, 6)
    assert clock.pauses == [0.005, 2.495, 5.0]
    assert [str(m).split()[-1] for m in messages(forward_server)] == ["a", "b", "c", "d", "late", "e"]
    assert len(forward_server.chunks) == 3, "what is due within 50 ms goes together"


def test_accumulators_begin_together_and_the_first_due_goes_first(
    forward_servers: list[ForwardServer], tmp_path: Path
) -> None:
    first, second, _ = forward_servers
    for name, seconds in [("a", (0, 4)), ("b", (1, 2, 3)), ("c", (0, 1))]:
        text = "".join(f"2026-11-24 06:00:0{s} INFO {name}{s}\n" for s in seconds)
        (tmp_path / f"{name}.log").write_text(text)
    clock = Clock(first)
    sources = [source_of(tmp_path / f"{name}.log") for name in "abc"]
    replay(sources, addresses(first, second), speed=1, clock=clock, sleep=clock.sleep)
    assert clock.pauses == [1, 1, 2, 1], "a0 b1, b2, b3, a4 c0, c1"
    assert [str(m).split()[-1] for m in messages(first)] == ["a0", "a4", "c0", "c1"]


def test_a_rate_and_a_speed_are_one_too_many(forward_server: ForwardServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a rate and a speed"):
        replay([source_of(write(tmp_path / "a.log", 1))], addresses(forward_server), speed=1, rate=1)
    with pytest.raises(ConfigError, match="once only"):
        replay([source_of(STDIN)] * 2, addresses(forward_server))
