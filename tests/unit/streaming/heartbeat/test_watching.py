"""Orders of people, the inventory, clocks that are off, what is learned, written and forgotten."""

from __future__ import annotations

import pytest

from streaming.events.model import Heartbeat, NodeState, Registration
from streaming.heartbeat.liveness import Liveness
from streaming.heartbeat.messages import NodeOrder, NodeRecord, NodeStatus, Order
from streaming.heartbeat.roster import FORGET_AFTER_MS
from streaming.heartbeat.silence import START_DEADLINES
from streaming.heartbeat.states import PIPELINE_ID, About, State

DEADLINE_MS = 10_000
T0 = 1_700_000_000_000
HOUR = 3_600_000


class Bench:
    def __init__(self) -> None:
        self.now = T0
        self.seq = 0
        self.liveness = Liveness(DEADLINE_MS)
        self.liveness.watch_from(T0)
        self.told: list[NodeStatus] = []
        self.forgotten: list[str] = []

    def beats(self, count: int = 1, every_ms: int = 1_000, *, skew_ms: int = 0, instance: str = "i") -> None:
        for _ in range(count):
            self.passes(every_ms)
            self.seq += 1
            sent_ns = (self.now + skew_ms) * 1_000_000
            event = Heartbeat(
                node_id="n", status=NodeState.UP, timestamp_ns=sent_ns, service="s", seq=self.seq, instance_id=instance
            )
            self.told += self.liveness.beat(event, self.now).changes

    def passes(self, ms: int) -> None:
        until = self.now + ms
        while self.now < until:
            self.now = min(until, self.now + 250)
            outcome = self.liveness.tick(self.now)
            self.told += outcome.changes
            self.forgotten += outcome.forgotten

    def jumps(self, ms: int) -> None:
        """Time in which nothing can happen in between."""
        self.now += ms
        self.passes(250)

    def orders(self, order: Order, for_ms: int | None = None, node: str = "n") -> None:
        until = None if for_ms is None else self.now + for_ms
        outcome = self.liveness.order(
            NodeOrder(node_id=node, order=order, at_ms=self.now, author="ann", reason="new disk", until_ms=until),
            self.now,
        )
        self.told += outcome.changes

    @property
    def record(self) -> NodeRecord:
        return next(record for record in self.liveness if record.node_id == "n")

    def states(self) -> list[State]:
        return [change.state for change in self.told if change.about is About.STATE]


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ------------------------------------------------------------------------------------------------ orders


def test_silence_in_maintenance_means_nothing_until_it_is_over(bench: Bench) -> None:
    bench.beats(20)
    bench.orders(Order.MAINTENANCE, for_ms=HOUR)
    assert (bench.record.reason, bench.record.ordered_by) == ("maintenance by ann: new disk", "ann")
    assert bench.told[-1].reason == bench.record.reason
    bench.jumps(HOUR - 1_000)
    assert bench.states() == [State.MAINTENANCE]
    bench.passes(2_000)
    assert bench.states() == [State.MAINTENANCE, State.UNKNOWN]
    bench.passes(DEADLINE_MS + 500)
    assert bench.states() == [State.MAINTENANCE, State.UNKNOWN, State.DOWN]


def test_a_node_that_beats_when_its_maintenance_is_over_is_up(bench: Bench) -> None:
    bench.beats(20)
    bench.orders(Order.MAINTENANCE, for_ms=5_000)
    bench.beats(6)
    assert bench.states() == [State.MAINTENANCE, State.UP]
    assert bench.record.ordered_by == ""


def test_maintenance_ends_the_incident_of_a_node_that_is_down(bench: Bench) -> None:
    bench.beats(20)
    bench.passes(DEADLINE_MS)
    bench.orders(Order.MAINTENANCE)
    bench.jumps(24 * HOUR)
    bench.orders(Order.RESTORE)
    bench.beats(1)
    assert bench.states() == [State.SUSPECT, State.DOWN, State.MAINTENANCE, State.UNKNOWN, State.UP]


def test_an_order_that_is_read_after_its_end_does_nothing(bench: Bench) -> None:
    bench.beats(3)
    bench.orders(Order.MAINTENANCE, for_ms=-1)
    bench.orders(Order.RESTORE)
    bench.orders(Order.RETIRE, node="nobody")
    assert bench.told == []


def test_a_retired_node_stays_so_and_that_it_beats_is_told_once(bench: Bench) -> None:
    bench.beats(20)
    bench.orders(Order.RETIRE)
    bench.beats(8)
    assert bench.states() == [State.RETIRED], "it was retired before it was stopped"
    bench.beats(20)
    assert bench.states() == [State.RETIRED, State.RETIRED]
    assert bench.told[-1].reason == "retired by ann: new disk, and beats all the same"
    bench.orders(Order.RESTORE)
    assert bench.states()[-1] is State.UP


def test_what_is_at_rest_is_forgotten_after_a_week(bench: Bench) -> None:
    bench.beats(3)
    bench.orders(Order.RETIRE)
    bench.jumps(FORGET_AFTER_MS - 1_000)
    assert bench.forgotten == []
    bench.jumps(1_000)
    assert bench.forgotten == ["n"]
    assert len(bench.liveness) == 0
    bench.beats(1)
    assert bench.record.state is State.UP


def test_a_node_that_fell_silent_is_not_forgotten(bench: Bench) -> None:
    bench.beats(3)
    bench.passes(DEADLINE_MS + 500)
    bench.jumps(10 * FORGET_AFTER_MS)
    assert bench.record.state is State.DOWN


# --------------------------------------------------------------------------------------------- inventory


def test_a_node_that_never_came_is_told_once_and_not_when_it_is_expected_no_longer(bench: Bench) -> None:
    bench.liveness.expect({"n": "order"}, bench.now)
    bench.passes(START_DEADLINES * DEADLINE_MS)
    assert bench.told == []
    bench.passes(60_000)
    (missing,) = bench.told
    assert (missing.state, missing.never_seen, missing.service) == (State.UNKNOWN, True, "order")
    outcome = bench.liveness.expect({}, bench.now)
    assert [(c.never_seen, c.reason) for c in outcome.changes] == [(False, "the inventory expects it no longer")]
    assert outcome.forgotten == ["n"]
    assert len(bench.liveness) == 0


def test_a_node_that_comes_late_is_up(bench: Bench) -> None:
    bench.liveness.expect({"n": "order"}, bench.now)
    bench.passes(60_000)
    bench.beats(1)
    assert [(change.state, change.never_seen) for change in bench.told] == [(State.UNKNOWN, True), (State.UP, False)]
    bench.passes(DEADLINE_MS + 500)
    assert bench.states()[-1] is State.DOWN
    bench.liveness.expect({}, bench.now)
    assert bench.record.state is State.DOWN, "a node that came is known, expected or not"


def registration(now: int) -> Registration:
    return Registration(node_id="n", service="order", timestamp_ns=now * 1_000_000, instance_id="i")


def test_a_missing_node_that_registers_before_it_beats_has_come(bench: Bench) -> None:
    bench.liveness.expect({"n": "order"}, bench.now)
    bench.passes(60_000)
    bench.told += bench.liveness.registered(registration(bench.now), bench.now).changes
    bench.beats(5)
    assert [(c.state, c.never_seen) for c in bench.told] == [(State.UNKNOWN, True), (State.UP, False)]
    assert bench.liveness.expect({}, bench.now).changes == []


def test_a_missing_node_that_only_registers_has_come_and_is_silent(bench: Bench) -> None:
    bench.liveness.expect({"n": "order"}, bench.now)
    bench.passes(60_000)
    bench.told += bench.liveness.registered(registration(bench.now), bench.now).changes
    bench.passes(DEADLINE_MS + 500)
    assert [c.never_seen for c in bench.told] == [True, False, False]
    assert bench.states()[-1] is State.DOWN
    assert bench.liveness.expect({}, bench.now).forgotten == [], "it is known, and DOWN"


@pytest.mark.parametrize("beats", [True, False])
def test_a_node_that_was_kept_as_missing_though_it_came_is_told_once(bench: Bench, beats: bool) -> None:
    bench.beats(1)
    record = bench.record
    record.never_seen = record.expected = True
    record.last_beat_ms = record.last_beat_ms if beats else None
    bench.liveness, since_ms = Liveness(DEADLINE_MS, [record]), record.since_ms
    bench.liveness.watch_from(bench.now)
    bench.beats(5)
    assert [(c.state, c.never_seen) for c in bench.told] == [(State.UP, False)]
    assert record.since_ms == since_ms


def test_a_node_is_missed_no_longer_when_its_entry_is_removed_whatever_it_did(bench: Bench) -> None:
    bench.beats(1)
    bench.record.never_seen = bench.record.expected = True
    (change,) = bench.liveness.expect({}, bench.now).changes
    assert (change.never_seen, bench.record.expected) == (False, False)


def test_a_node_that_was_missing_is_not_told_again_by_a_monitor_that_is_started_again(bench: Bench) -> None:
    bench.liveness.expect({"n": "order"}, bench.now)
    bench.passes(60_000)
    again = Liveness(DEADLINE_MS, [bench.record])
    again.watch_from(bench.now)
    again.expect({"n": "order"}, bench.now)
    assert again.tick(bench.now + 60_000).changes == []


def test_nobody_is_missed_while_no_accumulator_delivers(bench: Bench) -> None:
    accumulator = Heartbeat(node_id="accumulator1", status=NodeState.UP, timestamp_ns=bench.now * 1_000_000, seq=1)
    bench.liveness.accumulator_beat(accumulator, bench.now, bench.now)
    bench.liveness.expect({"n": "order"}, bench.now)
    bench.passes(120_000)
    assert {change.node_id for change in bench.told if change.state is State.DOWN} == {PIPELINE_ID}
    assert not any(change.never_seen for change in bench.told)


# ------------------------------------------------------------------------------------------------- clocks


def test_a_clock_beyond_a_bound_is_told_when_it_passes_it(bench: Bench) -> None:
    bench.liveness.ask_skew([60_000, 5_000])
    bench.beats(20, skew_ms=4_900)
    assert bench.told == []
    bench.beats(40, skew_ms=5_100)
    bench.beats(40, skew_ms=4_900)
    bench.beats(40, skew_ms=-300_000)
    bench.beats(40, skew_ms=10)
    told = [round((change.skew_ms or 0) / 1000) for change in bench.told if change.about is About.SKEW]
    assert [abs(skew) >= 60 for skew in told] == [False, True, False, False]
    assert (told[0], abs(told[-1]) < 5) == (5, True)
    assert {change.state for change in bench.told} == {State.UP}


def test_without_a_rule_no_clock_is_told(bench: Bench) -> None:
    bench.beats(30, skew_ms=HOUR)
    assert bench.told == []
    assert bench.record.skew_ms == pytest.approx(HOUR)


# ------------------------------------------------------------------------------------------------ learning


def test_a_node_that_beats_more_slowly_than_the_deadline_is_learned(bench: Bench) -> None:
    bench.beats(10, every_ms=30_000)
    before = len(bench.told)
    bench.beats(20, every_ms=30_000)
    assert bench.states()[0] is State.DOWN
    assert len(bench.told) == before, "and is DOWN for it no more"
    assert bench.liveness.deadline_ms(bench.record) > 80_000


def test_a_node_that_was_cut_off_is_given_more_time_the_next_time_and_no_other_rhythm(bench: Bench) -> None:
    bench.beats(30)
    interval = bench.record.mean_interval_ms
    bench.passes(6_000)
    assert bench.states() == [State.SUSPECT, State.DOWN]
    bench.seq += 6  # they were sent, and lost
    bench.beats(1)
    assert bench.states()[-1] is State.UP
    assert bench.record.mean_interval_ms == interval
    bench.passes(6_000)
    assert bench.states()[-1] is State.SUSPECT


def test_a_restarted_node_is_given_the_whole_deadline_until_its_rhythm_is_known(bench: Bench) -> None:
    bench.beats(30)
    bench.seq = 0
    bench.beats(3, instance="another")
    bench.passes(DEADLINE_MS - 500)
    assert bench.told == []
    bench.passes(1_000)
    assert bench.states() == [State.DOWN]


# ------------------------------------------------------------------------------------------------- writing


def test_records_that_beats_changed_are_given_out_in_turn() -> None:
    liveness = Liveness(DEADLINE_MS)
    for round_ in range(3):
        for name in "abcde":
            at = T0 + 1_000 * round_
            liveness.beat(Heartbeat(node_id=name, status=NodeState.UP, timestamp_ns=at * 1_000_000), at)
    assert [record.node_id for record in liveness.unwritten(3)] == ["a", "b", "c"]
    liveness.beat(Heartbeat(node_id="a", status=NodeState.UP, timestamp_ns=(T0 + 9_000) * 1_000_000), T0 + 9_000)
    assert [record.node_id for record in liveness.unwritten(10)] == ["d", "e", "a"]
    assert liveness.unwritten(10) == []
