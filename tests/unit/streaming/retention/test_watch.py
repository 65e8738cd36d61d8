"""A worker names indices only by classes that it has read lately enough."""

from __future__ import annotations

import time
from datetime import date

import pytest

from streaming.errors import Unavailable
from streaming.retention.classes import Retention, Version
from streaming.retention.watch import AGAIN_S, CURRENT_S, LOOK_EVERY_S, RetentionWatch


class Played:
    """A clock and a topic."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.answer: Retention | None = Retention(30)
        self.reads = 0
        self.watch = RetentionWatch(self._read, 30, lambda: self.now)

    def _read(self) -> Retention:
        self.reads += 1
        if self.answer is None:
            raise Unavailable("no Kafka")
        return self.answer

    def look(self) -> bool:
        """One look to its end, if one is due."""
        changed = self.watch.looked()
        while self.watch._look is not None:
            time.sleep(0.001)
            changed = self.watch.looked() or changed
        return changed


@pytest.fixture
def played() -> Played:
    return Played()


def test_nothing_is_known_before_the_first_look(played: Played) -> None:
    assert not played.watch.is_current
    assert played.look()
    assert (played.watch.is_current, played.watch.trouble) == (True, "")
    assert not played.look()
    assert played.reads == 1


def test_it_looks_again_and_tells_of_changes(played: Played) -> None:
    played.look()
    played.now += LOOK_EVERY_S
    assert not played.look()
    played.answer = Retention(30, [Version(date(2026, 11, 24), ())])
    played.now += LOOK_EVERY_S
    assert played.look()
    assert played.watch.known is played.answer


def test_what_was_read_too_long_ago_is_not_current(played: Played) -> None:
    played.look()
    played.answer = None
    for _ in range(3):
        played.now += LOOK_EVERY_S
        played.look()
    assert played.now - 1_000_000 >= CURRENT_S
    assert not played.watch.is_current
    assert "no Kafka" in played.watch.trouble
    played.answer = Retention(30)
    played.now += AGAIN_S
    played.look()
    assert played.watch.is_current


@pytest.mark.parametrize("jump", [-10.0, 86_400.0])
def test_a_clock_that_jumped_makes_it_look(played: Played, jump: float) -> None:
    played.look()
    played.now += jump
    assert not played.watch.is_current
    played.look()
    assert played.watch.is_current
