"""Admission under a simulated clock: a spool and a Kafka of so many bytes a second, and services that send."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

import pytest

from streaming.accumulator.admission.gate import Gate, State
from streaming.accumulator.admission.room import Limit, Overflow, limit_of
from streaming.accumulator.configuration.plan import Buffer

MB = 1_000_000
STEP_S = 0.01


@dataclass
class Chunk:
    flow: str
    size: int
    sent_at: float


@dataclass
class Simulation:
    """One accumulator. `rate` is what Kafka takes, in bytes a second; 0: it is away."""

    target_s: float = 0.3
    rate: float = 30 * MB
    limit: Limit = field(default_factory=lambda: Limit(1000 * MB, "block"))
    now: float = 0.0

    def __post_init__(self) -> None:
        self.gate: Gate[Chunk] = Gate(self.limit, self.target_s, self.now)
        self.spool: deque[Chunk] = deque()
        self.backlog = self.settled = 0
        self.credit = 0.0
        self.delays: dict[str, list[float]] = defaultdict(list)
        self.admitted: dict[str, int] = defaultdict(int)
        self.waiting: dict[str, int] = defaultdict(int)
        self.refused: dict[str, int] = defaultdict(int)

    def run(self, seconds: float, senders: dict[str, tuple[int, float]], pending: int = 8 * MB) -> None:
        """Each sender has (bytes of a chunk, bytes a second), and at most `pending` bytes unacknowledged."""
        owed: dict[str, float] = defaultdict(float)
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            for flow, (size, rate) in senders.items():
                owed[flow] = min(owed[flow] + rate * STEP_S, pending)
                while owed[flow] >= size and self.waiting[flow] < pending:
                    owed[flow] -= size
                    self.offer(flow, size)
            self.turn()

    def offer(self, flow: str, size: int) -> None:
        self.waiting[flow] += size
        self.gate.offer(flow, Chunk(flow, size, self.now), size, self.now)

    def turn(self) -> None:
        while True:
            decision = self.gate.decide(State(self.backlog, self.backlog, self.settled), self.now)
            for chunk in decision.refuse:
                self.refused[chunk.flow] += chunk.size
                self.waiting[chunk.flow] -= chunk.size
            if not decision.admit:
                break
            for chunk in decision.admit:
                self.spool.append(chunk)
                self.backlog += chunk.size
                self.admitted[chunk.flow] += chunk.size
                self.waiting[chunk.flow] -= chunk.size
        self.credit += self.rate * STEP_S
        while self.spool and self.spool[0].size <= self.credit:
            chunk = self.spool.popleft()
            self.credit -= chunk.size
            self.backlog -= chunk.size
            self.settled += chunk.size
            self.delays[chunk.flow].append(self.now - chunk.sent_at)
        if not self.spool:
            self.credit = 0.0

    def p99(self, flow: str) -> float:
        return sorted(self.delays[flow])[int(len(self.delays[flow]) * 0.99)]


QUIET = (3_000, 60_000.0)
"""Twenty chunks of ten events a second."""
LOUD = (300_000, 300.0 * MB)


def test_a_flood_delays_itself_and_no_other() -> None:
    fair, unfair = Simulation(), Simulation(target_s=0.0)
    for simulation in (fair, unfair):
        simulation.run(30, {"quiet": QUIET, "loud": LOUD})
    assert fair.p99("quiet") < 0.5
    assert unfair.p99("quiet") > 5 * fair.p99("quiet")
    assert fair.settled > 0.95 * unfair.settled, "and it costs no speed"


def test_many_services_at_their_rate_beside_a_flood() -> None:
    simulation = Simulation()
    services = {f"service-{n}": (20_000, 200_000.0) for n in range(20)}
    simulation.run(20, services | {"loud": LOUD})
    assert max(simulation.p99(s) for s in services) < 0.6
    assert min(simulation.admitted[s] for s in services) > 0.9 * 20 * 200_000


def test_two_floods_share() -> None:
    simulation = Simulation()
    simulation.run(20, {"a": LOUD, "b": (3_000, 300.0 * MB)})
    assert 0.8 < simulation.admitted["a"] / simulation.admitted["b"] < 1.25


def test_a_slow_kafka_is_not_buried_either() -> None:
    simulation = Simulation(rate=2 * MB)
    simulation.run(30, {"quiet": QUIET, "loud": LOUD})
    assert simulation.p99("quiet") < 3, "4 MiB is always admitted, for which this Kafka needs two seconds"


def test_while_kafka_is_away_everyone_may_fill_the_spool_and_then_has_a_share_of_the_last_part() -> None:
    simulation = Simulation(rate=0, limit=Limit(100 * MB, "block"))
    simulation.run(60, {"quiet": QUIET, "loud": LOUD})
    assert simulation.admitted["loud"] > 85 * MB
    assert simulation.backlog < 101 * MB
    assert simulation.admitted["quiet"] > 0.9 * (60 - 3) * QUIET[1], "the quiet one went on"


def test_behind_an_outage_the_backlog_shrinks_while_the_quiet_are_admitted_at_once() -> None:
    simulation = Simulation(rate=0)
    simulation.run(10, {"loud": LOUD})
    before = simulation.backlog
    simulation.rate = 30 * MB
    simulation.run(20, {"quiet": QUIET, "loud": LOUD})
    assert simulation.backlog < before - 200 * MB
    assert simulation.admitted["quiet"] > 0.95 * 20 * QUIET[1]


def test_a_chunk_larger_than_the_limit_passes_an_empty_spool() -> None:
    simulation = Simulation(limit=Limit(1 * MB, "block"))
    simulation.offer("a", 5 * MB)
    simulation.run(1, {})
    assert simulation.settled == 5 * MB


@pytest.mark.parametrize(
    ("overflow", "refused", "past_the_limit"),
    [("block", False, False), ("throw_exception", True, False), ("drop_oldest_chunk", False, True)],
)
def test_what_happens_at_the_limit(overflow: Overflow, refused: bool, past_the_limit: bool) -> None:
    simulation = Simulation(rate=0, limit=Limit(20 * MB, overflow))
    simulation.run(5, {"loud": (300_000, 20.0 * MB)})
    assert bool(simulation.refused["loud"]) == refused
    assert (simulation.backlog > 21 * MB) == past_the_limit, "the committer makes room by dropping"


def test_the_policy_of_several_outputs_is_the_one_that_keeps_most() -> None:
    drop, throw, block = (
        Buffer(total_limit_size=10, overflow_action=action)
        for action in ("drop_oldest_chunk", "throw_exception", "block")
    )
    assert limit_of([drop, drop]) == Limit(20, "drop_oldest_chunk")
    assert limit_of([drop, throw]) == Limit(20, "throw_exception")
    assert limit_of([drop, throw, block]) == Limit(30, "block")
