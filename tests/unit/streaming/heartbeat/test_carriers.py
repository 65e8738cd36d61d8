"""Whether nodes died or what carries their beats did."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streaming.events.model import Heartbeat, NodeState
from streaming.heartbeat.liveness import Liveness
from streaming.heartbeat.messages import NodeOrder, NodeStatus, Order
from streaming.heartbeat.roster import FORGET_AFTER_MS
from streaming.heartbeat.silence import START_DEADLINES
from streaming.heartbeat.states import PIPELINE_ID, Kind, State

DEADLINE_MS = 10_000
T0 = 1_700_000_000_000


class Room:
    """Nodes and accumulators that beat once a second, by name; `carried` says through what a node's beats come."""

    def __init__(self, **carried: str) -> None:
        self.carried = carried
        self.now = T0
        self.seq = 0
        self.liveness = Liveness(DEADLINE_MS)
        self.liveness.watch_from(T0)
        self.told: list[NodeStatus] = []

    def seconds(self, count: int, *alive: str, behind_ms: int = 0) -> None:
        """A second at a time; `behind_ms`: so far are the accumulators behind with what they deliver."""
        for _ in range(count):
            self.seq += 1
            for name in alive:
                self.beat(name, behind_ms=behind_ms)
            for _ in range(4):
                self.now += 250
                self.told += self.liveness.tick(self.now).changes

    def beat(self, name: str, *, says: NodeState = NodeState.UP, behind_ms: int = 0, instance: str = "1") -> None:
        event = Heartbeat(
            node_id=name,
            status=says,
            timestamp_ns=self.now * 1_000_000,
            seq=self.seq,
            instance_id=f"{name}-{instance}",
            service="s",
        )
        if name.startswith("accumulator"):
            outcome = self.liveness.accumulator_beat(event, self.now, self.now - behind_ms)
        else:
            outcome = self.liveness.beat(event, self.now, self.carried.get(name), self.now)
        self.told += outcome.changes

    def states(self, *names: str) -> list[State]:
        records = {record.node_id: record for record in self.liveness}
        return [records[name].state for name in names]

    def downs(self) -> Sequence[str]:
        return [change.node_id for change in self.told if change.state is State.DOWN and not change.clean_shutdown]


def test_one_dead_accumulator_is_one_node_down_and_its_nodes_are_unknown() -> None:
    room = Room(a="accumulator1", b="accumulator1", c="accumulator2")
    room.seconds(20, "a", "b", "c", "accumulator1", "accumulator2")
    room.seconds(20, "c", "accumulator2")
    assert room.downs() == ["accumulator1"]
    assert room.states("a", "b", "c") == [State.UNKNOWN, State.UNKNOWN, State.UP]
    (why,) = {change.reason for change in room.told if change.state is State.UNKNOWN}
    assert why == "accumulator1, through which its beats come, is silent"
    room.told.clear()
    room.seconds(3, "accumulator1", "accumulator2", "a", "c")
    assert room.states("a", "b", "accumulator1", "accumulator2") == [State.UP, State.UNKNOWN, State.UP, State.UP]
    room.seconds(9, "accumulator1", "accumulator2", "a", "c")
    assert room.downs() == ["b"], "it did not come back with its accumulator"


def test_two_real_deaths_among_three_nodes_are_two_deaths() -> None:
    room = Room(a="accumulator1", b="accumulator1", c="accumulator1")
    room.seconds(20, "a", "b", "c", "accumulator1")
    room.seconds(12, "c", "accumulator1")
    assert sorted(room.downs()) == ["a", "b"]
    room.seconds(12, "accumulator1")
    assert sorted(room.downs()) == ["a", "b", "c"], "all of them, one by one: the accumulator was there"


def test_all_accumulators_away_are_one_outage() -> None:
    room = Room(a="accumulator1", b="accumulator2")
    room.seconds(20, "a", "b", "accumulator1", "accumulator2")
    room.seconds(30)
    assert room.downs() == [PIPELINE_ID]
    assert set(room.states("a", "b", "accumulator1", "accumulator2")) == {State.UNKNOWN}
    room.told.clear()
    room.seconds(2, "accumulator2", "b")
    assert room.states(PIPELINE_ID, "accumulator1", "b") == [State.UP, State.UNKNOWN, State.UP]
    room.seconds(15, "accumulator2", "b")
    assert room.downs() == ["accumulator1"], "the other is back, and this one is not"


@pytest.mark.parametrize("seconds", range(1, 10))
def test_an_accumulator_that_does_not_come_back_from_a_pause_of_all_is_down(seconds: int) -> None:
    room = Room()
    room.seconds(10, "accumulator1", "accumulator2")
    room.seconds(seconds)
    room.seconds(40, "accumulator1")
    assert room.downs() == ["accumulator2"]
    assert State.UNKNOWN not in [change.state for change in room.told], "the other one delivers"


def test_after_a_reboot_accumulators_are_waited_for_longer() -> None:
    room = Room(a="accumulator1")
    room.seconds(20, "a", "accumulator1")
    room.liveness = Liveness(DEADLINE_MS, list(room.liveness))
    room.liveness.watch_from(room.now)
    room.seconds(START_DEADLINES * DEADLINE_MS // 1_000)
    assert room.downs() == []
    room.seconds(1)
    assert room.downs() == [PIPELINE_ID]
    room.seconds(3, "accumulator1", "a")
    assert set(room.states("a", "accumulator1", PIPELINE_ID)) == {State.UP}


def test_an_accumulator_that_is_behind_makes_no_node_look_dead() -> None:
    room = Room(a="accumulator1")
    room.seconds(20, "a", "accumulator1")
    for behind in range(1_000, 31_000, 1_000):
        room.seconds(1, "accumulator1", behind_ms=behind)
    assert room.downs() == []
    assert room.states("a") == [State.UNKNOWN]
    assert room.told[-1].reason == "accumulator1, through which its beats come, is behind with what it received"
    room.seconds(2, "accumulator1", "a")
    assert room.states("a") == [State.UP]


def test_a_node_that_died_while_its_accumulator_was_behind_is_found_when_it_is_not() -> None:
    room = Room(a="accumulator1")
    room.seconds(20, "a", "accumulator1")
    for behind in range(1_000, 21_000, 1_000):
        room.seconds(1, "accumulator1", behind_ms=behind)
    room.seconds(2, "accumulator1")
    assert room.downs() == ["a"]


def test_what_lies_in_a_spool_counts_for_when_it_was_received() -> None:
    room = Room(a="accumulator1")
    room.seconds(20, "a", "accumulator1")
    died = room.now
    room.seconds(30)
    room.seconds(1, "accumulator1", behind_ms=room.now - died)
    assert room.states("a") == [State.UNKNOWN], "its beats may still lie there"
    room.seconds(DEADLINE_MS // 1_000, "accumulator1")
    assert "a" not in room.downs()
    room.seconds(2, "accumulator1")
    assert "a" in room.downs()


@pytest.mark.parametrize("reboot", [True, False])
def test_nodes_have_a_whole_deadline_after_their_accumulator_is_back(reboot: bool) -> None:
    room = Room(a="accumulator1", b="accumulator1")
    room.seconds(30, "a", "b", "accumulator1")
    if reboot:
        room.liveness = Liveness(DEADLINE_MS, list(room.liveness))
        room.liveness.watch_from(room.now)
    room.seconds(8)
    room.seconds(8, "accumulator1")
    room.seconds(1, "accumulator1", "a")
    assert room.downs() == []
    room.seconds(3, "accumulator1", "a")
    assert room.downs() == ["b"], "it did not come"
    room.seconds(6, "accumulator1")
    assert room.downs() == ["b", "a"], "it was heard again, so its rhythm counts"


def test_an_accumulator_that_is_stopped_on_purpose_is_no_failure() -> None:
    room = Room(a="accumulator1", b="accumulator2")
    room.seconds(20, "a", "b", "accumulator1", "accumulator2")
    room.beat("accumulator1", says=NodeState.DOWN)
    room.seconds(20, "b", "accumulator2")
    assert room.downs() == []
    assert room.states("a", "accumulator1", PIPELINE_ID) == [State.UNKNOWN, State.DOWN, State.UP]
    room.beat("accumulator2", says=NodeState.DOWN)
    room.seconds(30)
    assert room.downs() == []
    assert room.states(PIPELINE_ID) == [State.DOWN]


def retires(room: Room, name: str) -> None:
    order = NodeOrder(node_id=name, order=Order.RETIRE, at_ms=room.now, author="ann")
    room.told += room.liveness.order(order, room.now).changes


def test_nodes_of_a_dead_accumulator_that_is_retired_are_judged_by_the_clock() -> None:
    room = Room(a="accumulator1", b="accumulator1")
    room.seconds(20, "a", "b", "accumulator1", "accumulator2")
    room.seconds(20, "accumulator2")
    assert room.states("a", "b") == [State.UNKNOWN, State.UNKNOWN]
    retires(room, "accumulator1")
    room.carried["b"] = "accumulator2"
    room.seconds(12, "b", "accumulator2")
    assert room.states("a", "b") == [State.DOWN, State.UP]


@pytest.mark.parametrize("retired", [True, False])
def test_an_accumulator_is_not_forgotten_while_nodes_wait_for_it(retired: bool) -> None:
    room = Room(a="accumulator1")
    room.seconds(20, "a", "accumulator1", "accumulator2")
    room.beat("accumulator1", says=NodeState.DOWN)
    if retired:
        retires(room, "accumulator1")
    room.seconds(20, "accumulator2")
    for _ in range(3):
        room.now += FORGET_AFTER_MS
        room.seconds(2, "accumulator2")
    names = {record.node_id for record in room.liveness}
    assert ("accumulator1" in names, room.downs()) == ((False, ["a"]) if retired else (True, []))


def test_an_accumulator_for_which_nobody_waits_is_forgotten() -> None:
    room = Room(a="accumulator2")
    room.seconds(20, "a", "accumulator1", "accumulator2")
    room.beat("accumulator1", says=NodeState.DOWN)
    room.now += FORGET_AFTER_MS
    room.seconds(2, "accumulator2", "a")
    assert "accumulator1" not in {record.node_id for record in room.liveness}


def test_a_node_that_goes_on_through_another_accumulator_stays_up() -> None:
    room = Room(a="accumulator1")
    room.seconds(20, "a", "accumulator1", "accumulator2")
    room.carried["a"] = "accumulator2"
    room.seconds(30, "a", "accumulator2")
    assert room.downs() == ["accumulator1"]
    assert room.states("a") == [State.UP]


def test_nodes_whose_beats_name_no_accumulator_are_judged_by_the_clock() -> None:
    room = Room()
    room.seconds(20, "a")
    room.seconds(15)
    assert room.downs() == ["a"]


def test_a_monitor_that_was_away_asks_the_accumulator_anew() -> None:
    room = Room(a="accumulator1")
    room.seconds(20, "a", "accumulator1")
    room.liveness.stop_watching()
    room.now += 600_000
    room.liveness.watch_from(room.now)
    room.seconds(DEADLINE_MS // 1_000, "accumulator1")
    assert room.downs() == []
    room.seconds(2, "accumulator1")
    assert room.downs() == ["a"], "its rhythm says nothing of how long it takes to be heard again"


def test_an_accumulators_clock_is_compared_with_itself_alone() -> None:
    room = Room()
    for second in range(40):
        now = T0 + second * 1_000
        wrong = now - 120_000
        event = Heartbeat(node_id="accumulator1", status=NodeState.UP, timestamp_ns=wrong * 1_000_000, seq=second + 1)
        room.told += room.liveness.accumulator_beat(event, now, wrong, now).changes
        if second < 20:
            beat = Heartbeat(node_id="a", status=NodeState.UP, timestamp_ns=now * 1_000_000, seq=second + 1)
            room.told += room.liveness.beat(beat, wrong, "accumulator1", now).changes
        for quarter in (250, 500, 750, 1_000):
            changes = room.liveness.tick(now + quarter).changes
            room.told += changes
            assert second > 20 or changes == []
    assert room.downs() == ["a"]


def test_a_node_that_calls_itself_an_accumulator_is_none() -> None:
    room = Room()
    room.seconds(3, "accumulator1")
    posing = Heartbeat(node_id="accumulator1", status=NodeState.DOWN, timestamp_ns=(room.now + 1) * 1_000_000)
    assert room.liveness.beat(posing, room.now, "accumulator1").refused == 1
    first = Heartbeat(node_id="accumulator9", status=NodeState.UP, timestamp_ns=room.now * 1_000_000)
    room.liveness.beat(first, room.now, "accumulator1")
    room.beat("accumulator9")
    kinds = {record.node_id: record.kind for record in room.liveness}
    assert kinds["accumulator9"] is Kind.ACCUMULATOR


def test_names_without_end_find_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.heartbeat.roster.MOST_NODES", 2)
    liveness = Liveness(DEADLINE_MS)

    def refused(name: str) -> int:
        return liveness.beat(Heartbeat(node_id=name, status=NodeState.UP, timestamp_ns=T0 * 1_000_000), T0).refused

    assert [refused(name) for name in ("a", "b", "one more", "a")] == [0, 0, 1, 0]
    assert len(liveness) == 2
