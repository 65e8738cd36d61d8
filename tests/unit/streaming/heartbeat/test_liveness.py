"""The liveness state machine on a simulated clock."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streaming.events.model import Heartbeat, NodeState, Registration
from streaming.heartbeat.liveness import Liveness
from streaming.heartbeat.messages import NodeRecord
from streaming.heartbeat.states import State

DEADLINE_MS = 10_000
NS = 1_000_000
T0 = 1_700_000_000_000


def beat(
    sent_ms: int, *, node: str = "n1", seq: int | None = None, instance: str | None = None, down: bool = False
) -> Heartbeat:
    return Heartbeat(
        node_id=node,
        status=NodeState.DOWN if down else NodeState.UP,
        timestamp_ns=sent_ms * NS,
        service="order",
        seq=seq,
        instance_id=instance,
    )


def watching(records: list[NodeRecord] | None = None, since: int = T0) -> Liveness:
    liveness = Liveness(DEADLINE_MS, records or [])
    liveness.watch_from(since)
    return liveness


def only(liveness: Liveness) -> NodeRecord:
    (record,) = liveness
    return record


def test_a_silent_node_goes_down_once_and_a_beat_brings_it_back() -> None:
    liveness = watching()
    liveness.beat(beat(T0), T0)
    assert liveness.tick(T0 + DEADLINE_MS).changes == []
    (down,) = liveness.tick(T0 + DEADLINE_MS + 1).changes
    assert (down.node_id, down.state, down.silent_for_ms) == ("n1", State.DOWN, DEADLINE_MS + 1)
    assert "no heartbeat for 10.0 s" in down.reason
    assert not down.clean_shutdown
    assert liveness.tick(T0 + 60_000).changes == []
    (up,) = liveness.beat(beat(T0 + 61_000), T0 + 61_000).changes
    assert up.state is State.UP


def test_a_registration_without_beats_goes_down() -> None:
    liveness = watching()
    liveness.registered(Registration(node_id="n1", service="order", timestamp_ns=T0 * NS), T0)
    assert [c.state for c in liveness.tick(T0 + DEADLINE_MS + 1).changes] == [State.DOWN]


def test_a_node_that_says_down_is_no_failure() -> None:
    liveness = watching()
    liveness.beat(beat(T0), T0)
    (change,) = liveness.beat(beat(T0 + 500, down=True), T0 + 500).changes
    assert change.clean_shutdown
    assert liveness.tick(T0 + 100_000).changes == []


def test_a_silent_node_that_then_says_down_is_told_as_stopped_on_purpose() -> None:
    liveness = watching()
    liveness.beat(beat(T0), T0)
    liveness.tick(T0 + DEADLINE_MS + 1)
    (change,) = liveness.beat(beat(T0 + 20_000, down=True), T0 + 20_000).changes
    assert (change.state, change.clean_shutdown) == (State.DOWN, True)
    assert liveness.beat(beat(T0 + 21_000, down=True), T0 + 21_000).changes == []


def test_silence_from_before_the_monitor_watched_does_not_count() -> None:
    first = watching()
    first.beat(beat(T0), T0)
    hour = 3_600_000
    restarted = watching([only(first)], since=T0 + hour)
    assert restarted.tick(T0 + hour + DEADLINE_MS).changes == []
    assert len(restarted.tick(T0 + hour + DEADLINE_MS + 1).changes) == 1


def test_nothing_is_silent_while_beats_are_unread() -> None:
    liveness = Liveness(DEADLINE_MS, [])
    liveness.beat(beat(T0), T0)
    assert liveness.tick(T0 + 100 * DEADLINE_MS).changes == []
    liveness.watch_from(T0 + 100 * DEADLINE_MS)
    liveness.stop_watching()
    assert liveness.tick(T0 + 200 * DEADLINE_MS).changes == []


def test_a_replayed_beat_does_not_revive_a_dead_node() -> None:
    for seq, instance in ((7, "i1"), (None, None)):
        liveness = watching()
        liveness.beat(beat(T0, seq=seq, instance=instance), T0)
        liveness.tick(T0 + DEADLINE_MS + 1)
        again = liveness.beat(beat(T0, seq=seq, instance=instance), T0 + 20_000)
        assert (again.changes, again.replayed) == ([], 1)
        assert only(liveness).state is State.DOWN


def test_a_burst_of_old_beats_does_not_revive_a_dead_node() -> None:
    liveness = watching()
    for i in range(60):
        liveness.beat(beat(T0 + i * 1000), T0 + i * 1000)
    now = T0 + 59_000 + DEADLINE_MS + 1
    liveness.tick(now)
    for i in range(60):
        liveness.beat(beat(T0 + i * 1000), now + i)
    assert only(liveness).state is State.DOWN


def test_a_clock_set_back_is_followed_after_some_beats_at_a_live_pace() -> None:
    liveness = watching()
    liveness.beat(beat(T0), T0)
    back = T0 - 7_200_000
    replayed = [liveness.beat(beat(back + i * 1000), T0 + i * 1000).replayed for i in range(1, 8)]
    assert replayed == [1, 1, 1, 0, 0, 0, 0]


def test_a_restarted_node_starts_its_seq_again() -> None:
    liveness = watching()
    liveness.beat(beat(T0, seq=500, instance="a"), T0)
    assert liveness.beat(beat(T0 + 1000, seq=1, instance="b"), T0 + 1000).replayed == 0


def test_a_restarted_node_that_registers_first_starts_its_seq_again() -> None:
    liveness = watching()
    liveness.beat(beat(T0, seq=500, instance="a"), T0)
    liveness.registered(
        Registration(node_id="n1", service="order", timestamp_ns=(T0 + 900) * NS, instance_id="b"), T0 + 900
    )
    assert liveness.beat(beat(T0 + 1000, seq=1, instance="b"), T0 + 1000).replayed == 0


def test_an_old_registration_does_not_revive_a_dead_node() -> None:
    liveness = watching()
    introduction = Registration(node_id="n1", service="order", timestamp_ns=T0 * NS)
    liveness.registered(introduction, T0)
    assert len(liveness.tick(T0 + DEADLINE_MS + 1).changes) == 1
    again = liveness.registered(introduction, T0)
    assert (again.changes, again.replayed) == ([], 1)
    assert len(liveness.registered(introduction, T0 + DEADLINE_MS + 2).changes) == 1


def test_a_backlog_of_beats_that_drains_late_does_not_make_a_node_flap() -> None:
    liveness = watching()
    liveness.beat(beat(T0), T0)
    now, changes = T0 + 60_000, []
    changes += liveness.tick(now).changes
    for sent in range(T0 + 1_000, T0 + 60_000, 1_000):
        changes += liveness.beat(beat(sent), sent, now_ms=now).changes
        changes += liveness.tick(now).changes
    assert [c.state for c in changes] == [State.DOWN, State.UP]


@pytest.mark.parametrize("step", [3_600_000, -3_600_000])
def test_a_clock_that_is_set_is_no_silence_and_hides_none(step: int) -> None:
    liveness = watching()
    liveness.beat(beat(T0), T0)
    liveness.clock_was_set(step)
    assert liveness.tick(T0 + step + DEADLINE_MS).changes == []
    assert len(liveness.tick(T0 + step + DEADLINE_MS + 1).changes) == 1


def test_a_slow_beater_gets_three_of_its_own_intervals() -> None:
    liveness = watching()
    for i in range(20):
        liveness.beat(beat(T0 + i * 30_000), T0 + i * 30_000)
    last = T0 + 19 * 30_000
    assert liveness.deadline_ms(only(liveness)) == 90_000
    assert [c.state for c in liveness.tick(last + 90_000).changes] == [State.SUSPECT]
    assert [c.state for c in liveness.tick(last + 90_001).changes] == [State.DOWN]


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), max_size=40))
def test_beats_in_any_disorder_never_move_the_last_beat_back(beats: list[tuple[int, int]]) -> None:
    liveness = watching()
    last = 0
    for sent, received in beats:
        liveness.beat(beat(T0 + sent), T0 + received)
        now = only(liveness).last_beat_ms or 0
        assert now >= last
        last = now


class Life(RuleBasedStateMachine):
    """Against a simple model: a node is DOWN when and only when its last news is a goodbye or too long ago."""

    @initialize()
    def begin(self) -> None:
        self.now = T0
        self.liveness = watching()
        self.last: dict[str, int] = {}
        self.told: dict[str, State] = {}

    @rule(node=st.sampled_from("abc"), after=st.integers(1, 4_000))
    def beats(self, node: str, after: int) -> None:
        self.now += after
        self._tell(self.liveness.tick(self.now).changes)
        self._tell(self.liveness.beat(beat(self.now, node=node), self.now).changes)
        self.last[node] = self.now
        self.told.setdefault(node, State.UP)

    @rule(after=st.integers(1, 9_000))
    def time_passes(self, after: int) -> None:
        self.now += after
        self._tell(self.liveness.tick(self.now).changes)

    @rule()
    def restarts(self) -> None:
        copies = [msgspec.structs.replace(r) for r in self.liveness]
        self.liveness = Liveness(DEADLINE_MS, copies)
        self.liveness.watch_from(self.now)
        for node, state in self.told.items():
            if state is State.UP:
                self.last[node] = self.now

    def _tell(self, changes: list) -> None:  # type: ignore[type-arg]  # the messages are checked above
        for change in changes:
            assert self.told.get(change.node_id) is not change.state, "told twice"
            self.told[change.node_id] = change.state

    @invariant()
    def states_follow_the_model(self) -> None:
        for record in getattr(self, "liveness", ()):
            assert record.state is self.told[record.node_id]
            silent = self.now - self.last[record.node_id]
            deadline = self.liveness.deadline_ms(record)
            if record.state is State.UP:
                assert silent <= deadline
            assert deadline >= DEADLINE_MS


TestLife = Life.TestCase
