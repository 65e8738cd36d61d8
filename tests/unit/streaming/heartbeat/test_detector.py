"""The detector in a world of nodes, accumulators and a monitor that all may fail: what it may say, and what it must."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streaming.events.model import Heartbeat, NodeState
from streaming.heartbeat.liveness import Liveness
from streaming.heartbeat.messages import NodeOrder, NodeRecord, NodeStatus, Order
from streaming.heartbeat.node import Outcome
from streaming.heartbeat.processes import REANCHOR_AFTER
from streaming.heartbeat.silence import START_DEADLINES
from streaming.heartbeat.states import PIPELINE_ID, About, State

DEADLINE_MS = 10_000
STEP_MS = 250
FOUND_WITHIN_MS = DEADLINE_MS + 3_000 + 2 * STEP_MS
"""The deadline, the time in which an accumulator vouches that it had delivered, and a tick before and after."""

AFTER_A_START_MS = START_DEADLINES * DEADLINE_MS + 3_000 + 2 * STEP_MS
"""For accumulators that were not heard since the monitor was started."""

KNOWN_AFTER_MS = (REANCHOR_AFTER + 1) * 1_000
"""A process that is heard for the first time after the clock was set back looks like an old one for so many beats."""

T0 = 1_700_000_000_000
NODES = {"a1": "accumulator1", "a2": "accumulator1", "b1": "accumulator2"}
ACCUMULATORS = ("accumulator1", "accumulator2")


@dataclass
class Process:
    """Something that beats once a second while it lives."""

    instance: str
    alive: bool = True
    seq: int = 0
    next_ms: int = T0


@dataclass
class Truth:
    """One node or accumulator as it really is."""

    processes: list[Process]
    since_ms: int = T0
    """Since when it is so, undisturbed by what carries its beats or reads them."""
    ordered: State | None = None
    goodbye: bool = False
    twin_ms: int = 0
    """When it last had a second process: for a while a goodbye is not known to be that of the last one."""

    @property
    def alive(self) -> bool:
        return any(process.alive for process in self.processes)


@dataclass
class Spool:
    """An accumulator's: what it has received and not yet delivered."""

    waiting: list[tuple[Heartbeat, int]] = field(default_factory=list)


class World(RuleBasedStateMachine):
    """All clocks are one, but that of the senders."""

    @initialize()
    def begin(self) -> None:
        self.now = T0
        self.started = 0
        self.nodes = {name: Truth([self._process(name)]) for name in NODES}
        self.accumulators = {name: Truth([self._process(name)]) for name in ACCUMULATORS}
        self.spools = {name: Spool() for name in ACCUMULATORS}
        self.last_sent_ms = dict.fromkeys((*NODES, *ACCUMULATORS), 0)
        self.stalled: set[str] = set()
        self.liveness = Liveness(DEADLINE_MS)
        self.reading = True
        self.unread: list[tuple[Heartbeat, int, str | None]] = []
        self.told: dict[str, NodeStatus] = {}
        self.liveness.watch_from(self.now)
        self.time_passes(4)

    # ------------------------------------------------------------------------------------------- what happens

    @rule(seconds=st.integers(1, 8))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds * 1000 // STEP_MS):
            self.now += STEP_MS
            self._beats()
            if self.reading:
                self._read()
            before = [] if self.reading else [msgspec.structs.replace(r) for r in self.liveness]
            outcome = self.liveness.tick(self.now)
            if not self.reading:
                assert outcome.changes == [], "silence that nobody watches changes nothing"
                assert list(self.liveness) == before
            self._tell(outcome)

    @rule()
    def a_long_time_passes(self) -> None:
        self.time_passes(20)

    @rule(name=st.sampled_from(sorted(NODES)))
    def a_node_dies(self, name: str) -> None:
        for process in self.nodes[name].processes:
            process.alive = False
        self.nodes[name].since_ms = self.now

    @rule(name=st.sampled_from(sorted(NODES)))
    def a_node_starts(self, name: str) -> None:
        if not self.nodes[name].alive:
            self.nodes[name] = Truth([self._process(name)], self.now, self.nodes[name].ordered)

    @rule(name=st.sampled_from(sorted(NODES)))
    def a_node_says_goodbye(self, name: str) -> None:
        truth = self.nodes[name]
        if truth.alive and len(truth.processes) == 1 and self.accumulators[NODES[name]].alive:
            known = self._is_known(name, truth.processes[0])
            self._send(name, truth.processes[0], NodeState.DOWN)
            truth.processes[0].alive, truth.since_ms = False, self.now
            truth.goodbye = known and self.now - truth.twin_ms > DEADLINE_MS

    @rule(name=st.sampled_from(sorted(NODES)))
    def a_twin_starts(self, name: str) -> None:
        truth = self.nodes[name]
        if truth.alive and len(truth.processes) == 1:
            truth.processes.append(self._process(name))
            truth.processes[1].next_ms += 500

    @rule(name=st.sampled_from(sorted(NODES)))
    def a_twin_ends(self, name: str) -> None:
        if len(self.nodes[name].processes) > 1:
            del self.nodes[name].processes[1:]
            self.nodes[name].twin_ms = self.now

    @rule(name=st.sampled_from(ACCUMULATORS))
    def an_accumulator_dies(self, name: str) -> None:
        self.accumulators[name].processes[0].alive = False
        self._disturbed(name)

    @rule(name=st.sampled_from(ACCUMULATORS))
    def an_accumulator_starts(self, name: str) -> None:
        if not self.accumulators[name].alive:
            self.accumulators[name] = Truth([self._process(name)], self.now)
            self._disturbed(name)

    @rule(name=st.sampled_from(ACCUMULATORS))
    def an_accumulator_stops_delivering_or_goes_on(self, name: str) -> None:
        self.stalled ^= {name}
        self._disturbed(name)

    @rule()
    def the_monitor_stops_reading(self) -> None:
        self.reading = False
        self.liveness.stop_watching()

    @precondition(lambda self: not self.reading)
    @rule()
    def the_monitor_reads_on(self) -> None:
        self.reading = True
        self._read()
        self.liveness.watch_from(self.now)
        self._all_disturbed()

    @rule()
    def the_monitor_is_started_again(self) -> None:
        records = [msgspec.json.decode(msgspec.json.encode(r), type=NodeRecord) for r in self.liveness]
        self.liveness = Liveness(DEADLINE_MS, records)
        if self.reading:
            self.liveness.watch_from(self.now)
        self._all_disturbed()

    @rule(by_ms=st.sampled_from([-3_600_000, -5_000, 5_000, 3_600_000]))
    def the_clock_is_set(self, by_ms: int) -> None:
        self.now += by_ms
        for truth in (*self.nodes.values(), *self.accumulators.values()):
            for process in truth.processes:
                process.next_ms += by_ms
        self.liveness.clock_was_set(by_ms)
        self.liveness.stop_watching()
        if self.reading:
            self.liveness.watch_from(self.now)
        self._all_disturbed()
        for truth in self.nodes.values():
            truth.twin_ms += by_ms

    @rule(name=st.sampled_from(sorted(NODES)), order=st.sampled_from(Order))
    def somebody_orders(self, name: str, order: Order) -> None:
        until = self.now + 3_600_000 if order is Order.MAINTENANCE else None
        self._tell(
            self.liveness.order(
                NodeOrder(node_id=name, order=order, at_ms=self.now, author="ann", until_ms=until), self.now
            )
        )
        states = {Order.MAINTENANCE: State.MAINTENANCE, Order.RETIRE: State.RETIRED, Order.RESTORE: None}
        truth = self.nodes[name]
        truth.ordered, truth.since_ms = states[order], self.now
        truth.goodbye = truth.goodbye and order is not Order.RESTORE

    # ------------------------------------------------------------------------------------------- what must hold

    @invariant()
    def the_living_are_not_dead(self) -> None:
        for record in getattr(self, "liveness", ()):
            truth = self._truth(record.node_id)
            if truth is None or not truth.alive:
                continue
            heard = any(process.seq for process in truth.processes if process.alive)
            if record.state is State.DOWN and not record.clean_shutdown:
                fresh = self.now - truth.since_ms <= 3_000 or not heard or not self._is_heard(record)
                assert fresh, f"{record.node_id} lives, and was called DOWN: {record.reason}"

    @invariant()
    def the_dead_are_found(self) -> None:
        if not getattr(self, "reading", False):
            return
        some = any(truth.alive for truth in self.accumulators.values())
        for record in self.liveness:
            truth = self._truth(record.node_id)
            if record.node_id == PIPELINE_ID:
                last = max(accumulator.since_ms for accumulator in self.accumulators.values())
                if not some and self.now - last > AFTER_A_START_MS:
                    assert record.state is State.DOWN
                continue
            within = AFTER_A_START_MS if record.node_id in ACCUMULATORS else FOUND_WITHIN_MS
            if truth is None or truth.alive or truth.ordered or self.now - truth.since_ms <= within:
                continue
            carried = some if record.node_id in ACCUMULATORS else self._carries(NODES[record.node_id])
            if carried:
                assert record.state is State.DOWN, f"{record.node_id} is dead, and {record.state}"
                assert record.clean_shutdown or not truth.goodbye
            else:
                assert record.state in (State.UNKNOWN, State.DOWN)

    @invariant()
    def what_was_told_is_so(self) -> None:
        for record in getattr(self, "liveness", ()):
            status = self.told.get(record.node_id)
            assert (status.state if status else State.UP) is record.state

    # ------------------------------------------------------------------------------------------- within

    def _process(self, name: str) -> Process:
        self.started += 1
        return Process(f"{name}-{self.started}", next_ms=self.now + STEP_MS)

    def _is_known(self, name: str, process: Process) -> bool:
        """Whether what this process says now counts as news (`KNOWN_AFTER_MS`)."""
        heard = any(r.node_id == name and r.instance_id == process.instance for r in self.liveness)
        return heard or self.now > self.last_sent_ms[name]

    def _truth(self, node_id: str) -> Truth | None:
        return self.nodes.get(node_id) or self.accumulators.get(node_id)

    def _carries(self, accumulator: str) -> bool:
        return self.accumulators[accumulator].alive and accumulator not in self.stalled

    def _is_heard(self, record: NodeRecord) -> bool:
        if not self.reading:
            return False
        return record.node_id in ACCUMULATORS or self._carries(NODES[record.node_id])

    def _disturbed(self, accumulator: str) -> None:
        until_ms = self.now
        if not self._is_known(accumulator, self.accumulators[accumulator].processes[0]):
            until_ms += KNOWN_AFTER_MS
        for other in self.accumulators.values():
            other.since_ms = max(other.since_ms, until_ms)  # whether it is known to be dead depends on the others
        for name, carrier in NODES.items():
            if carrier == accumulator:
                self.nodes[name].since_ms = until_ms

    def _all_disturbed(self) -> None:
        for truth in (*self.nodes.values(), *self.accumulators.values()):
            truth.since_ms = self.now
        for accumulator in ACCUMULATORS:
            self._disturbed(accumulator)

    def _beats(self) -> None:
        for name, truth in self.nodes.items():
            for process in truth.processes:
                if process.alive and process.next_ms <= self.now:
                    self._send(name, process, NodeState.UP)
        for name, truth in self.accumulators.items():
            process = truth.processes[0]
            if process.alive:
                spool = self.spools[name]
                if name not in self.stalled:
                    self.unread += [(event, received, name) for event, received in spool.waiting]
                    spool.waiting.clear()
                if process.next_ms <= self.now:
                    event = self._beat_of(name, process, NodeState.UP)
                    delivered = spool.waiting[0][1] if spool.waiting else self.now
                    self.unread.append((event, delivered, None))

    def _send(self, name: str, process: Process, status: NodeState) -> None:
        event = self._beat_of(name, process, status)
        if self.accumulators[NODES[name]].alive:
            self.spools[NODES[name]].waiting.append((event, self.now))

    def _beat_of(self, name: str, process: Process, status: NodeState) -> Heartbeat:
        self.last_sent_ms[name] = max(self.last_sent_ms[name], self.now)
        process.seq += 1
        process.next_ms = max(process.next_ms + 1_000, self.now)
        return Heartbeat(
            node_id=name,
            status=status,
            timestamp_ns=self.now * 1_000_000,
            service="s",
            seq=process.seq,
            instance_id=process.instance,
        )

    def _read(self) -> None:
        unread, self.unread = self.unread, []
        for event, received, accumulator in unread:
            if accumulator is None:
                sent_ms = event.timestamp_ns // 1_000_000
                self._tell(self.liveness.accumulator_beat(event, sent_ms, received, self.now))
            else:
                self._tell(self.liveness.beat(event, received, accumulator, self.now))

    def _tell(self, outcome: Outcome) -> None:
        for change in outcome.changes:
            if change.about is not About.STATE:
                continue
            before = self.told.get(change.node_id)
            was = (before.state, before.clean_shutdown) if before else (State.UP, False)
            again = change.state is State.RETIRED and change.reason != (before.reason if before else "")
            assert was != (change.state, change.clean_shutdown) or again, f"told twice: {change}"
            self.told[change.node_id] = change


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
