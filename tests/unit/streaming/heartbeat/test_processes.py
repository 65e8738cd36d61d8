"""Restarts, replays, and two processes under one name."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streaming.events.model import Heartbeat, NodeState
from streaming.heartbeat.liveness import Liveness
from streaming.heartbeat.messages import NodeRecord, NodeStatus
from streaming.heartbeat.processes import TURNS_WITHIN_MS
from streaming.heartbeat.states import About, State

T0 = 1_700_000_000_000


class Line:
    """What comes of one node, and what is said of it."""

    def __init__(self) -> None:
        self.liveness = Liveness(10_000)
        self.liveness.watch_from(T0)
        self.changes: list[NodeStatus] = []

    def beat(
        self, at: int, instance: str | None, seq: int | None, *, sent: int | None = None, down: bool = False
    ) -> int:
        event = Heartbeat(
            node_id="n",
            status=NodeState.DOWN if down else NodeState.UP,
            timestamp_ns=(at if sent is None else sent) * 1_000_000,
            seq=seq,
            instance_id=instance,
        )
        outcome = self.liveness.beat(event, at)
        self.changes += outcome.changes
        return outcome.replayed

    def tick(self, at: int) -> None:
        self.changes += self.liveness.tick(at).changes

    @property
    def record(self) -> NodeRecord:
        (record,) = self.liveness
        return record

    def told_of_two(self) -> Sequence[bool]:
        return [change.duplicate for change in self.changes if change.about is About.DUPLICATE]


@pytest.mark.parametrize(
    ("first", "second", "counts", "behind_ms"),
    [
        ("a", "b", True, 0),
        ("a", "b", False, 0),
        ("a", "a", True, 0),
        (None, None, True, 0),
        ("a", "b", True, 5_000),
    ],
    ids=["names", "names without counters", "one name, two counters", "counters alone", "a clock behind"],
)
def test_two_processes_under_one_name_are_found_and_end(
    first: str | None, second: str | None, counts: bool, behind_ms: int
) -> None:
    line = Line()
    for n in range(30):
        at = T0 + n * 1_000
        line.beat(at, first, 500 + n if counts else None)
        line.beat(at + 400, second, n + 1 if counts else None, sent=at + 400 - behind_ms)
        line.tick(at + 400)
    assert line.told_of_two() == [True]
    assert line.record.duplicate
    end = T0 + 30_000
    for n in range(TURNS_WITHIN_MS // 1_000 + 2):
        line.beat(end + n * 1_000, first, 530 + n if counts else None)
        line.tick(end + n * 1_000)
    assert line.told_of_two() == [True, False]
    assert {change.state for change in line.changes} == {State.UP}


def test_their_names_are_told() -> None:
    line = Line()
    for n in range(5):
        line.beat(T0 + n * 1_000, "host-1", n + 1)
        line.beat(T0 + n * 1_000 + 500, "host-2" + "x" * 100, n + 1)
    (change,) = (c for c in line.changes if c.about is About.DUPLICATE)
    assert change.reason.startswith("two processes beat under this name: host-")
    assert len(change.reason) < 200


def test_restarts_are_one_process_after_another() -> None:
    line, at = Line(), T0
    for process in range(20):
        for n in range(5):
            at += 1_000
            assert line.beat(at, f"p{process}", n + 1) == 0
    assert line.told_of_two() == []


def test_a_restart_under_the_same_name_is_followed_at_once() -> None:
    line = Line()
    for n in range(100):
        line.beat(T0 + n * 1_000, "host", n + 1)
    again = T0 + 200_000
    assert [line.beat(again + n * 1_000, "host", n + 1) for n in range(150)] == [0] * 150
    assert line.told_of_two() == []


def test_the_last_beats_of_a_process_may_come_behind_the_first_of_its_successor() -> None:
    line = Line()
    for n in range(20):
        line.beat(T0 + n * 1_000, "old", n + 1)
    line.beat(T0 + 20_500, "new", 1)
    line.beat(T0 + 20_000, "old", 21, sent=T0 + 20_000)
    line.beat(T0 + 20_100, "old", 22, sent=T0 + 20_100, down=True)
    assert line.record.state is State.UP, "that was the goodbye of another"
    for n in range(2, 20):
        line.beat(T0 + 19_500 + n * 1_000, "new", n)
    assert line.told_of_two() == []
    assert line.changes == []


@pytest.mark.parametrize("seq", [True, False])
def test_what_is_read_again_is_neither_new_nor_another_process(seq: bool) -> None:
    line = Line()
    for n in range(50):
        line.beat(T0 + n * 1_000, "a", n + 1 if seq else None)
    for n in range(50):
        assert line.beat(T0 + 50_000 + n, "a", n + 1 if seq else None, sent=T0 + n * 1_000) == 1
    for n in range(50, 60):
        line.beat(T0 + n * 1_000, "b", n if seq else None)
    for n in range(50):
        assert line.beat(T0 + 60_000 + n, "a", n + 1 if seq else None, sent=T0 + n * 1_000) == 1
    assert line.told_of_two() == []


def test_a_goodbye_of_the_only_process_is_one() -> None:
    line = Line()
    line.beat(T0, "a", 1)
    line.beat(T0 + 1_000, "b", 1)
    line.beat(T0 + 2_000, "b", 2, down=True)
    assert line.record.clean_shutdown


def test_a_goodbye_of_the_last_of_two_that_comes_after_the_clock_was_set_forward_is_one() -> None:
    line = Line()
    for second in range(10):
        line.beat(T0 + second * 1_000, "a", second + 1)
        line.beat(T0 + second * 1_000 + 400, "b", second + 1)
    for second in range(10, 30):
        line.beat(T0 + second * 1_000, "a", second + 1)
    line.liveness.clock_was_set(3_600_000)
    line.liveness.watch_from(T0 + 30_000 + 3_600_000)
    goodbye = Heartbeat(
        node_id="n", status=NodeState.DOWN, timestamp_ns=(T0 + 30_000) * 1_000_000, seq=31, instance_id="a"
    )
    line.liveness.beat(goodbye, T0 + 30_000, None, T0 + 30_000 + 3_600_000)
    assert line.record.clean_shutdown


def test_a_monitor_that_is_started_again_does_not_think_them_one_at_once() -> None:
    line = Line()
    for n in range(10):
        line.beat(T0 + n * 1_000, "a", n + 1)
        line.beat(T0 + n * 1_000 + 400, "b", n + 1)
    again = Line()
    again.liveness = Liveness(10_000, [line.record])
    again.liveness.watch_from(T0 + 20_000)
    for n in range(10, 100):
        at = T0 + 10_000 + n * 1_000
        again.beat(at, "a", n + 1)
        again.beat(at + 400, "b", n + 1)
        again.tick(at + 400)
    assert again.told_of_two() == []
    assert again.record.duplicate


def test_two_that_begin_after_a_clock_was_set_back_are_heard() -> None:
    """Each looks like an old one; they beat in turn."""
    line = Line()
    for second in range(20):
        line.beat(T0 + second * 1_000, "a", second + 1)
    back = 3_600_000
    for second in range(20, 40):
        at = T0 + second * 1_000
        line.beat(at, "b", second - 19, sent=at - back)
        line.beat(at + 500, "c", second - 19, sent=at + 500 - back)
        line.tick(at + 750)
    assert line.record.state is State.UP
    assert State.DOWN not in [change.state for change in line.changes]
    assert line.told_of_two() == [True]
