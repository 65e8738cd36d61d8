"""One source that is flooded leaves open files to the spool and to the other sources."""

from __future__ import annotations

import asyncio
import errno
import resource
from contextlib import closing, suppress

import pytest

from streaming.accumulator.sources import loop_errors, open_files
from streaming.accumulator.sources.open_files import ConnectionBudget
from tests.support.listening import listening, syslog_source
from tests.unit.streaming.accumulator.sources.test_syslog import LINE, connect, take


def test_what_is_given_back_is_taken_again() -> None:
    budget = ConnectionBudget(lambda: 2)
    assert [budget.take(), budget.take(), budget.take()] == [True, True, False]
    budget.give_back()
    assert [budget.take(), budget.take()] == [True, False]


def test_the_process_keeps_files_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 4_096))
    assert open_files._by_open_files() == 1_024 - open_files.FILES_KEPT
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    open_files.raise_limit()
    assert asked == [(4_096, 4_096)]


def test_sources_share_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.accumulator.sources.loop.OF_PROCESS", ConnectionBudget(lambda: 1))
    one, two = syslog_source(tcp=True), syslog_source(tcp=True)
    with listening(one) as disk, listening(two), closing(connect(one)) as first:
        first.sendall(LINE + b"one\n")
        take(disk, 1)
        with closing(connect(two)) as second, suppress(ConnectionResetError):
            assert second.recv(1) == b""


def test_a_lack_of_files_is_told_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio reports it hundreds of times a second; the log would be its second victim."""
    told: list[str] = []
    monkeypatch.setattr(loop_errors.log, "error", lambda what, **_: told.append(what))
    loop = asyncio.new_event_loop()
    try:
        handler = loop_errors.LoopErrors()
        for _ in range(1_000):
            handler(loop, {"message": "accept", "exception": OSError(errno.EMFILE, "Too many open files")})
    finally:
        loop.close()
    assert told == ["connections cannot be accepted"]
