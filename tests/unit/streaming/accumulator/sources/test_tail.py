"""Tailing: every line once, through rotation, truncation and restarts."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.parse import (
    Fields,
    JsonParse,
    MultilineParse,
    NoneParse,
    Parse,
    TimeFormat,
)
from streaming.accumulator.configuration.pattern import Pattern
from streaming.accumulator.configuration.plan import TailSource
from streaming.accumulator.sources.tail import Tail, tag_of
from streaming.accumulator.sources.tail_lines import Lines
from streaming.accumulator.spool.segment import Arrived
from streaming.forward import event_time

NONE = NoneParse("message", True)
FIELDS = Fields("time", False, TimeFormat(("float",), None), True, (), None, False)
STACK = MultilineParse(
    Pattern(re.compile(r"^\d+ ")),
    Pattern(re.compile(r"^(?P<n>\d+) (?P<message>.*)", re.DOTALL)),
    replace(FIELDS, time_key=None),
)


class Sink:
    """Stands for committer and spool: takes each chunk id once."""

    def __init__(self) -> None:
        self.records: list[dict[str, object]] = []
        self.ids: set[bytes] = set()
        self.tags: list[str] = []
        self.chunks: list[Arrived] = []
        self.durable = True
        self.room = True

    def submit(self, chunk: Arrived, done: Callable[[bool], None]) -> None:
        if self.durable and chunk.chunk_id not in self.ids:
            self.ids.add(chunk.chunk_id)
            self.tags.append(chunk.tag)
            self.chunks.append(chunk)
            unpacker = msgpack.Unpacker(unicode_errors="surrogateescape")
            unpacker.feed(chunk.body)
            self.records += [record for _, record in unpacker]
        done(self.durable)

    @property
    def messages(self) -> list[object]:
        return [r["message"] for r in self.records]


@pytest.fixture
def sink() -> Sink:
    return Sink()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tail_of(
    folder: Path,
    sink: Sink,
    *,
    parse: Parse = NONE,
    from_head: bool = True,
    clock: Clock | None = None,
    tag: str = "vigil.internal",
    paths: tuple[str, ...] = ("*.log",),
    flush_interval: float | None = None,
) -> Tail:
    patterns = tuple(str(folder / "logs" / path) for path in paths)
    source = TailSource(Place(folder, 1), None, patterns, (), tag, parse, from_head, 5.0, flush_interval)
    return Tail(source, folder / "positions.json", sink.submit, lambda: sink.room, clock or Clock(), list(sink.ids))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "a.log"


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_lines_are_taken_once_and_an_unfinished_one_waits(tmp_path: Path, log: Path, sink: Sink) -> None:
    tail = tail_of(tmp_path, sink)
    append(log, "one\n\ntwo\nthr")
    tail.look()
    append(log, "ee\n")
    tail.look()
    tail.look()
    assert sink.messages == ["one", "two", "three"]
    tail.close()


def test_a_file_that_cannot_be_opened_is_told_once_and_read_when_it_can_be(
    tmp_path: Path, log: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log, "one\n")
    told: list[str] = []
    monkeypatch.setattr("streaming.accumulator.sources.tail.log.error", lambda what, **_: told.append(what))
    tail = tail_of(tmp_path, sink)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as refusing:
        refusing.setattr("streaming.accumulator.sources.tail.os.open", refuse)
        for _ in range(3):
            tail.look()
    assert told == ["file cannot be opened; it is tried again"]
    tail.look()
    tail.close()
    assert sink.records == [{"message": "one"}]


def test_json_lines_become_records_and_others_messages(tmp_path: Path, log: Path, sink: Sink) -> None:
    tail = tail_of(tmp_path, sink, parse=JsonParse(FIELDS))
    log.write_bytes(b'{"a": 1, "message": "m"}\nplain \xff\n[1]\n')
    tail.look()
    assert sink.records == [{"a": 1, "message": "m"}, {"message": "plain \udcff"}, {"message": "[1]"}]
    tail.close()


def test_a_restart_goes_on_where_it_was_also_in_a_renamed_file(tmp_path: Path, log: Path, sink: Sink) -> None:
    append(log, "one\n")
    first = tail_of(tmp_path, sink)
    first.look()
    first.close()
    append(log, "two\n")
    log.rename(log.with_suffix(".log.1"))
    append(log, "three\n")
    second = tail_of(tmp_path, sink)
    second.look()
    second.close()
    assert sorted(map(str, sink.messages)) == ["one", "three", "two"]


def test_rotation_is_followed_to_the_end_of_the_old_file(tmp_path: Path, log: Path, sink: Sink) -> None:
    clock = Clock()
    tail = tail_of(tmp_path, sink, clock=clock)
    append(log, "one\n")
    tail.look()
    rotated = log.with_suffix(".1")
    log.rename(rotated)
    append(rotated, "two\nlast")
    append(log, "three\n")
    tail.look()
    clock.now = 1.0
    tail.look()
    clock.now = 10.0
    tail.look()
    assert sink.messages == ["one", "two", "three", "last"]
    tail.close()


def test_a_file_cut_and_written_again_is_read_from_its_start(tmp_path: Path, log: Path, sink: Sink) -> None:
    tail = tail_of(tmp_path, sink)
    append(log, "first run\n")
    tail.look()
    log.write_text("second\n")
    tail.look()
    assert sink.messages == ["first run", "second"]
    tail.close()


def test_lost_positions_do_not_double_what_the_spool_knows(tmp_path: Path, log: Path, sink: Sink) -> None:
    append(log, "one\n")
    first = tail_of(tmp_path, sink)
    first.look()
    first.close()
    (tmp_path / "positions.json").unlink()
    again = tail_of(tmp_path, sink)
    again.look()
    again.close()
    assert sink.messages == ["one"]


@pytest.mark.parametrize("positions", ["lost", "of the time before"])
def test_lines_written_after_a_crash_are_no_part_of_the_batch_before_it(
    tmp_path: Path, log: Path, sink: Sink, positions: str
) -> None:
    """The spool knows a batch that begins where they are read from again, and may know several."""
    file = tmp_path / "positions.json"
    append(log, "one\n")
    first = tail_of(tmp_path, sink)
    first.look()
    before = file.read_bytes()
    for line in ("two\n", "three\n"):
        append(log, line)
        first.look()
    first.close()
    if positions == "lost":
        file.unlink()
    else:
        file.write_bytes(before)
    append(log, "four\n")
    again = tail_of(tmp_path, sink)
    again.look()
    again.close()
    assert sink.messages == ["one", "two", "three", "four"]


def test_a_batch_whose_outcome_came_late_does_not_swallow_what_was_written_meanwhile(
    tmp_path: Path, log: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.accumulator.sources.tail.COMMIT_WITHIN_S", 0.0)
    append(log, "one\n")
    tail = tail_of(tmp_path, sink)
    silent = sink.submit
    monkeypatch.setattr(tail, "_submit", lambda chunk, _done: silent(chunk, lambda _: None))
    assert not tail.look()
    append(log, "two\n")
    monkeypatch.setattr(tail, "_submit", silent)
    tail.look()
    assert sink.messages == ["one", "two"]
    tail.close()


def test_the_same_lines_in_a_file_that_was_cut_are_new_lines(tmp_path: Path, log: Path, sink: Sink) -> None:
    tail = tail_of(tmp_path, sink)
    for _ in range(3):
        log.write_text("service starts\n")
        tail.look()
        log.write_text("")
        tail.look()
    assert sink.messages == ["service starts"] * 3
    tail.close()


def test_a_file_that_has_gone_is_kept_until_the_spool_has_room_for_its_rest(
    tmp_path: Path, log: Path, sink: Sink
) -> None:
    clock = Clock()
    tail = tail_of(tmp_path, sink, clock=clock)
    append(log, "one\n")
    tail.look()
    append(log, "two\n")
    log.rename(log.with_suffix(".1"))
    sink.room = False
    for clock.now in (1.0, 10.0, 100.0):
        tail.look()
    sink.room, sink.durable = True, False
    tail.look()
    sink.durable = True
    tail.look()
    assert sink.messages == ["one", "two"]
    tail.close()


def test_a_file_that_cannot_be_read_for_once_keeps_its_place(
    tmp_path: Path, log: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = tail_of(tmp_path, sink)
    append(log, "one\n")
    tail.look()
    append(log, "two\n")
    with monkeypatch.context() as broken:
        broken.setattr("streaming.accumulator.sources.tail.os.pread", _fail)
        tail.look()
    tail.look()
    assert sink.messages == ["one", "two"]
    tail.close()


def _fail(*_: object) -> bytes:
    raise OSError(errno.EIO, "Input/output error")


def test_what_is_not_durable_is_tried_again(tmp_path: Path, log: Path, sink: Sink) -> None:
    tail = tail_of(tmp_path, sink)
    append(log, "one\n")
    sink.durable = False
    assert not tail.look()
    sink.durable = True
    tail.look()
    assert sink.messages == ["one"]
    tail.close()


def test_only_new_lines_where_the_head_is_not_wanted(tmp_path: Path, log: Path, sink: Sink) -> None:
    append(log, "old\n")
    tail = tail_of(tmp_path, sink, from_head=False)
    tail.look()
    append(log, "new\n")
    append(log.with_name("b.log"), "new file\n")
    tail.look()
    assert sink.messages == ["new", "new file"]
    tail.close()


def test_what_is_written_before_the_first_new_line_is_read_by_the_next_process(
    tmp_path: Path, log: Path, sink: Sink
) -> None:
    append(log, "old\n")
    first = tail_of(tmp_path, sink, from_head=False)
    first.look()
    first.close()
    append(log, "while away\n")
    second = tail_of(tmp_path, sink, from_head=False)
    second.look()
    second.close()
    assert sink.messages == ["while away"]


def test_a_foreign_chunk_id_that_looks_like_ours_moves_nothing(tmp_path: Path, log: Path, sink: Sink) -> None:
    append(log, "one\n")
    first = tail_of(tmp_path, sink)
    first.look()
    first.close()
    (tmp_path / "positions.json").unlink()
    (own,) = sink.ids
    beginning = own.rsplit(b"-", 3)[0]
    sink.ids = {beginning + b"-%d-00000000-00000000" % end for end in (0, 3, 4, 10**30)}
    again = tail_of(tmp_path, sink)
    again.look()
    again.close()
    assert sink.messages == ["one", "one"]


def test_a_long_line_is_taken_whole(tmp_path: Path, log: Path, sink: Sink) -> None:
    tail = tail_of(tmp_path, sink)
    append(log, "x" * 1_000_000 + "\nshort\n")
    tail.look()
    assert [len(str(m)) for m in sink.messages] == [1_000_000, 5]
    tail.close()


@pytest.mark.parametrize(
    ("tag", "path", "given"),
    [
        ("vigil.internal", "/var/a.log", "vigil.internal"),
        ("*", "/var/log/a.log", "var.log.a.log"),
        ("app.*.x", "/var//log/a..log", "app.var.log.a.log.x"),
        ("app.*", "logs/a.log", "app.logs.a.log"),
    ],
)
def test_a_star_in_the_tag_is_the_path_with_dots(tag: str, path: str, given: str) -> None:
    assert tag_of(tag, Path(path)) == given


def test_each_file_has_its_own_tag(tmp_path: Path, log: Path, sink: Sink) -> None:
    append(log, "one\n")
    append(log.with_name("b.log"), "two\n")
    tail = tail_of(tmp_path, sink, tag="x.*")
    tail.look()
    tail.close()
    dotted = str(tmp_path).strip("/").replace("/", ".")
    assert sink.tags == [f"x.{dotted}.logs.a.log", f"x.{dotted}.logs.b.log"]


def test_a_path_without_a_star_is_no_pattern_and_folders_are_no_files(tmp_path: Path, log: Path, sink: Sink) -> None:
    append(log, "no\n")
    append(log.with_name("[a].log"), "yes\n")
    log.with_name("folder.log").mkdir()
    os.mkfifo(log.with_name("pipe.log"))
    tail = tail_of(tmp_path, sink, paths=("[a].log",))
    tail.look()
    tail.close()
    assert sink.messages == ["yes"]
    every = tail_of(tmp_path, sink, paths=("*older.log", "pipe*.log"))
    assert not every.look()
    every.close()


def test_a_time_in_a_line_is_the_events_time(tmp_path: Path, log: Path, sink: Sink) -> None:
    tail = tail_of(tmp_path, sink, parse=JsonParse(FIELDS))
    append(log, '{"time": 1700000000.25, "a": 1}\n{"time": "tomorrow"}\n')
    tail.look()
    unpacker = msgpack.Unpacker()
    unpacker.feed(sink.chunks[0].body)
    (first, record), (second, unread) = unpacker
    assert (event_time.decode(first), record) == (1_700_000_000_250_000_000, {"a": 1})
    assert event_time.decode(second) == sink.chunks[0].received_ns
    assert unread == {"message": '{"time": "tomorrow"}'}
    tail.close()


def test_an_event_of_several_lines_ends_where_the_next_begins(tmp_path: Path, log: Path, sink: Sink) -> None:
    tail = tail_of(tmp_path, sink, parse=STACK)
    append(log, "orphan\n1 a\n at x\n\n at y\n2 b\n")
    tail.look()
    assert sink.records == [{"message": "orphan"}, {"n": "1", "message": "a\n at x\n\n at y"}]
    append(log, " at z\n3")
    tail.look()
    assert len(sink.records) == 2
    append(log, " c\n")
    tail.look()
    assert sink.records[2:] == [{"n": "2", "message": "b\n at z"}]
    tail.close()


def test_a_restart_within_an_event_of_several_lines_loses_and_doubles_nothing(
    tmp_path: Path, log: Path, sink: Sink
) -> None:
    append(log, "1 a\n more\n2 b\n")
    first = tail_of(tmp_path, sink, parse=STACK)
    first.look()
    first.close()
    append(log, " more of b\n3 c\n")
    (tmp_path / "positions.json").unlink()  # as after a crash: the spool knows more than the positions
    second = tail_of(tmp_path, sink, parse=STACK)
    second.look()
    assert sink.messages == ["a\n more", "b\n more of b"]
    second.close()


def test_a_last_event_is_taken_when_nothing_more_has_come_for_a_while(tmp_path: Path, log: Path, sink: Sink) -> None:
    clock = Clock()
    tail = tail_of(tmp_path, sink, parse=STACK, clock=clock, flush_interval=2.0)
    append(log, "1 a\n")
    tail.look()
    clock.now = 1.5
    append(log, " more\n")
    tail.look()
    clock.now = 3.0
    tail.look()
    assert sink.records == []
    clock.now = 3.5
    tail.look()
    assert sink.messages == ["a\n more"]
    tail.close()


def test_an_event_without_an_end_is_cut(tmp_path: Path, log: Path, sink: Sink) -> None:
    tail = tail_of(tmp_path, sink, parse=STACK)
    line = "x" * 1022 + "\n"
    append(log, "1 " + line * 5000)
    tail.look()
    assert sum(len(str(m)) for m in sink.messages) > 4_000_000
    tail.close()


@given(st.lists(st.sampled_from(["1 a", "2 b", " at c", "", "x"]), max_size=30), st.data())
def test_events_of_several_lines_do_not_depend_on_when_they_are_read(lines: list[str], data: st.DataObject) -> None:
    text = "".join(line + "\n" for line in lines).encode()
    parts = Lines(STACK)
    whole = parts.entries(text, 1)
    found: list[bytes] = []
    at, seen = 0, 0
    while seen < len(text):
        seen = data.draw(st.integers(seen + 1, len(text)))
        end = parts.whole(text[at:seen])
        found += parts.entries(text[at : at + end], 1)
        at += end
    assert found + parts.entries(text[at:], 1) == whole


def test_a_line_that_cannot_be_packed_is_kept_as_text_and_harms_no_other(tmp_path: Path, log: Path, sink: Sink) -> None:
    half = r'{"n": 123456789012345678901, "text": "\ud800"}'
    tail = tail_of(tmp_path, sink, parse=JsonParse(FIELDS))
    append(log, f'{{"n": 1}}\n{half}\n{{"n": 123456789012345678901}}\n{{"n": 2}}\r\n')
    tail.look()
    assert sink.records == [{"n": 1}, {"message": half}, {"n": "123456789012345678901"}, {"n": 2}]
    tail.close()
