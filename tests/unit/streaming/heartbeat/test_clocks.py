"""Nothing that is told depends on what other clocks say: an accumulator's, or Kafka's."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from streaming.events.model import Heartbeat, NodeState, Registration
from streaming.heartbeat.liveness import Liveness
from streaming.heartbeat.messages import NodeRecord, NodeStatus
from streaming.heartbeat.states import State

DEADLINE_MS = 10_000
T0 = 1_700_000_000_000

Told = list[tuple[float, str, str]]
"""Seconds, node, state."""


class Clocks:
    """A node whose beats come through an accumulator, both once a second, by three clocks: the monitor's, the
    accumulator's and Kafka's, which are ahead of the first by so much."""

    def __init__(self, accumulator_ms: int = 0, kafka_ms: int = 0, through: str | None = "a") -> None:
        self.accumulator_ms, self.kafka_ms, self.through = accumulator_ms, kafka_ms, through
        self.now = T0
        self.seq = 0
        self.process = 1
        self.liveness = Liveness(DEADLINE_MS)
        self.liveness.watch_from(T0)
        self.told: Told = []

    def seconds(self, count: int, *alive: str, behind_ms: int = 0) -> None:
        """Says who beats; `behind_ms`: what was received so long ago is delivered now."""
        for _ in range(count):
            self.seq += 1
            if "a" in alive:
                self.accumulator_beats(behind_ms)
            if "n" in alive:
                self.node_beats(behind_ms)
            for _ in range(4):
                self.now += 250
                self._tell(self.liveness.tick(self.now).changes)

    def accumulator_beats(self, behind_ms: int = 0) -> None:
        clock_ms = self.now + self.accumulator_ms
        event = self._event("a", clock_ms)
        self._tell(
            self.liveness.accumulator_beat(event, self.now + self.kafka_ms, clock_ms - behind_ms, self.now).changes
        )

    def node_beats(self, behind_ms: int = 0) -> None:
        received_ms = self._received_ms() - behind_ms
        event = self._event("n", self.now - behind_ms)
        self._tell(self.liveness.beat(event, received_ms, self.through, self.now).changes)

    def node_registers(self, ago_ms: int = 0) -> int:
        """How many were old ones."""
        event = Registration(node_id="n", service="s", timestamp_ns=self.now * 1_000_000, instance_id="another")
        outcome = self.liveness.registered(event, self._received_ms() - ago_ms, self.through, self.now)
        self._tell(outcome.changes)
        return outcome.replayed

    def monitor_starts_again(self) -> None:
        records = [msgspec.json.decode(msgspec.json.encode(r), type=NodeRecord) for r in self.liveness]
        self.liveness = Liveness(DEADLINE_MS, records)
        self.liveness.watch_from(self.now)

    def states(self, node: str = "n") -> list[str]:
        return [state for _, name, state in self.told if name == node]

    def _received_ms(self) -> int:
        return self.now + (self.kafka_ms if self.through is None else self.accumulator_ms)

    def _event(self, name: str, sent_ms: int) -> Heartbeat:
        return Heartbeat(
            node_id=name,
            status=NodeState.UP,
            timestamp_ns=sent_ms * 1_000_000,
            seq=self.seq,
            instance_id=f"{name}{self.process}",
            service="s",
        )

    def _tell(self, changes: list[NodeStatus]) -> None:
        self.told += [((self.now - T0) / 1_000, change.node_id, change.state.value) for change in changes]


def dies(clocks: Clocks) -> None:
    clocks.seconds(60, "a")


def dies_while_the_accumulator_is_away(clocks: Clocks) -> None:
    clocks.seconds(15)
    clocks.process += 1
    clocks.seconds(15, "a")


def dies_as_the_monitor_is_started_again(clocks: Clocks) -> None:
    clocks.monitor_starts_again()
    clocks.seconds(1, "a", "n")
    clocks.seconds(15, "a")


def lives_though_the_accumulator_is_behind(clocks: Clocks) -> None:
    for behind_ms in range(0, 20_000, 1_000):
        clocks.seconds(1, "a", behind_ms=behind_ms)
    for behind_ms in range(20_000, 0, -1_000):
        clocks.seconds(1, "a", "n", behind_ms=behind_ms)
    clocks.seconds(5, "a", "n")


def comes_back(clocks: Clocks) -> None:
    clocks.seconds(15, "a")
    clocks.node_registers()
    clocks.process += 1
    clocks.seconds(5, "a", "n")
    clocks.seconds(15, "a")


STORIES = [
    dies,
    dies_while_the_accumulator_is_away,
    dies_as_the_monitor_is_started_again,
    lives_though_the_accumulator_is_behind,
    comes_back,
]


@pytest.mark.parametrize("ahead_ms", [-30_000, -5_000, -2_000, 2_000, 3_500, 5_000, 30_000])
@pytest.mark.parametrize("story", STORIES)
def test_an_accumulators_clock_decides_nothing(story: Callable[[Clocks], None], ahead_ms: int) -> None:
    told = []
    for ahead in (0, ahead_ms):
        clocks = Clocks(accumulator_ms=ahead)
        clocks.seconds(20, "a", "n")
        story(clocks)
        told.append(clocks.told)
    assert told[0] == told[1]
    assert (State.DOWN.value in clocks.states()) is (story is not lives_though_the_accumulator_is_behind)


@pytest.mark.parametrize("ahead_ms", [-30_000, 0, 30_000])
def test_an_old_registration_that_is_read_again_revives_nobody_whatever_the_clock(ahead_ms: int) -> None:
    clocks = Clocks(accumulator_ms=ahead_ms)
    clocks.seconds(3, "a")
    clocks.node_registers()
    clocks.seconds(15, "a")
    assert clocks.node_registers(ago_ms=15_000) == 1
    assert clocks.states() == ["DOWN"]
    assert clocks.node_registers() == 0
    assert clocks.states() == ["DOWN", "UP"]


def test_an_accumulators_clock_that_is_set_back_keeps_no_dead_node_alive() -> None:
    clocks = Clocks(accumulator_ms=3_600_000)
    clocks.seconds(20, "a", "n")
    clocks.accumulator_ms = 0
    clocks.seq += 1
    clocks.accumulator_beats()
    clocks.node_beats(behind_ms=-3_600_000)  # received before
    clocks.seconds(20, "a")
    assert clocks.states()[-1] == "DOWN"


@pytest.mark.parametrize("ahead_ms", [-30_000, -12_000, -6_000, -3_000, 3_000, 30_000])
@pytest.mark.parametrize("accumulators", [[], ["a"]])
def test_kafkas_clock_decides_nothing(accumulators: list[str], ahead_ms: int) -> None:
    clocks = Clocks(kafka_ms=ahead_ms, through=None)
    clocks.seconds(60, "n", *accumulators)
    assert clocks.told == []
    clocks.seconds(15, *accumulators)
    clocks.seconds(15, "n", *accumulators)
    assert [state for state in clocks.states() if state != "SUSPECT"] == ["DOWN", "UP"]
    assert clocks.states("a") == []


def test_a_kafka_whose_clock_is_set_back_keeps_nobody_down() -> None:
    clocks = Clocks(through=None)
    clocks.seconds(20, "n")
    clocks.seconds(15)
    clocks.kafka_ms = -3_600_000
    clocks.seconds(5, "n")
    assert clocks.states()[-1] == "UP"


@pytest.mark.parametrize("every_s", [2, 4, 6, 9])
def test_an_accumulator_whose_own_beats_are_slow_hides_no_dead_node(every_s: int) -> None:
    clocks = Clocks()
    for second in range(300):
        alive = ("a",) if second % every_s == 0 else ()
        clocks.seconds(1, *alive, *(("n",) if second < 60 else ()))
        assert second > 60 or clocks.told == []
    assert clocks.states()[-1] == "DOWN"


@pytest.mark.parametrize("pause_s", range(2, 14))
def test_a_pause_of_an_accumulator_kills_no_node(pause_s: int) -> None:
    clocks = Clocks()
    clocks.seconds(40, "a", "n")
    clocks.seconds(pause_s)
    clocks.seconds(1, "a")  # and has not read yet what its nodes sent meanwhile
    clocks.seconds(20, "a", "n")
    assert "DOWN" not in clocks.states()


@pytest.mark.parametrize("by_ms", [-60_000, -5_000, -2_500, 2_500, 5_000, 9_000, 60_000])
def test_an_accumulators_clock_that_is_set_kills_no_node(by_ms: int) -> None:
    clocks = Clocks()
    clocks.seconds(40, "a", "n")
    clocks.accumulator_ms = by_ms
    clocks.seconds(1, "a")
    clocks.seconds(20, "n", "a")
    assert "DOWN" not in clocks.states()
    clocks.seconds(20, "a")
    assert clocks.states()[-1] == "DOWN"


@pytest.mark.parametrize("by_ms", [-3_600_000, -60_000, -5_000])
def test_what_waits_from_before_a_clock_was_set_back_is_no_sign_of_death(by_ms: int) -> None:
    """The accumulator delivers nothing, and says the receive time of what waits first."""
    clocks = Clocks()
    clocks.seconds(40, "a", "n")
    waits_since_ms, clocks.accumulator_ms = clocks.now, by_ms
    for _ in range(30):
        clocks.seconds(1, "a", behind_ms=clocks.now + by_ms - waits_since_ms)
    assert "DOWN" not in clocks.states()
    clocks.seconds(20, "a")
    assert clocks.states()[-1] == "DOWN"
