"""Rounds of the monitor, without Kafka: clocks that are set, pauses, and names without end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from streaming.errors import Unavailable
from streaming.events.model import NodeState
from streaming.heartbeat import monitor as monitoring
from streaming.heartbeat.liveness import Liveness, Outcome
from streaming.heartbeat.monitor import WORD_LIMIT, HeartbeatMonitor
from streaming.kafka.transactions import Aborted
from streaming.worker.clock import StepWatch
from streaming.worker.health import Health

DEADLINE_MS = 10_000


class Consumer:
    """Has no partitions, so nothing is committed but changes."""

    def assignment(self) -> list[str]:
        return []


class Record:
    """A beat, as Kafka hands it out."""

    def __init__(self, at_ms: int, **fields: object) -> None:
        self._at_ms = at_ms
        body = {"message_type": "HEARTBEAT", "node_id": "n", "status": "UP", "service_name": "s", **fields}
        self._value = json.dumps({"timestamp": at_ms / 1000} | body).encode()

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return "heartbeats"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0

    def headers(self) -> None:
        return None

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return (2, self._at_ms)


class World:
    """A monitor on clocks of our own: `wall_ms` can be set, `steady_ms` only runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_ms, self.steady_ms, self.unread = 1_700_000_000_000, 50_000, 0
        self.waiting: list[Record] = []
        self.changes: list[NodeState] = []
        monkeypatch.setattr(monitoring, "_now_ms", lambda: self.wall_ms)
        monkeypatch.setattr(monitoring, "_lag", lambda _: self.unread)
        monkeypatch.setattr("streaming.heartbeat.monitor.time.monotonic", lambda: self.steady_ms / 1000)
        monkeypatch.setattr("streaming.heartbeat.monitor.clients.take", lambda *_: self.taken())
        monkeypatch.setattr(HeartbeatMonitor, "_commit", lambda _: self.commit())
        made = HeartbeatMonitor.__new__(HeartbeatMonitor)
        made.health, made._liveness, made._pending = Health("m", "kafka"), Liveness(DEADLINE_MS, []), Outcome()
        made._failed = False
        made._unreadable, made._watching, made._last_commit = [], False, 0.0
        made._consumer = Consumer()  # type: ignore[assignment]
        made._last_round_s, made._longest_round_s = self.steady_ms / 1000, DEADLINE_MS / 2000
        made._steps = StepWatch(lambda: self.wall_ms, lambda: self.steady_ms)
        self.monitor = made

    def taken(self) -> list[Record]:
        taken, self.waiting = self.waiting, []
        return taken

    def commit(self) -> None:
        self.changes += [change.state for change in self.monitor._pending.changes]
        self.monitor._pending = Outcome()

    def rounds(self, seconds: float, *, beating: bool) -> None:
        for _ in range(int(seconds * 4)):
            self.wall_ms += 250
            self.steady_ms += 250
            if beating:
                self.waiting.append(Record(self.wall_ms))
            self.monitor.run_once()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    made.rounds(5, beating=True)
    assert made.changes == []
    yield made
    made.changes.clear()
    made.rounds(DEADLINE_MS / 1000 + 1, beating=False)
    assert made.changes == [NodeState.DOWN], "real silence is noticed all the same"


@pytest.mark.parametrize("step_ms", [3_600_000, 30_000, -30_000, -3_600_000])
def test_a_clock_that_is_set_kills_nobody(world: World, step_ms: int) -> None:
    late = Record(world.wall_ms)  # received before the clock was set
    world.wall_ms += step_ms
    world.waiting.append(late)
    world.rounds(5, beating=True)
    assert world.changes == []


def test_a_monitor_that_was_stopped_for_a_while_reads_before_it_judges(world: World) -> None:
    meanwhile = [Record(world.wall_ms + after) for after in range(1_000, 60_000, 1_000)]
    world.wall_ms, world.steady_ms = world.wall_ms + 60_000, world.steady_ms + 60_000
    world.unread = len(meanwhile)  # and not fetched yet
    world.rounds(1, beating=False)
    world.waiting, world.unread = meanwhile, 0
    world.rounds(1, beating=True)
    assert world.changes == []


@pytest.mark.parametrize("field", ["node_id", "service_name", "instance_id"])
def test_a_name_without_end_is_a_dead_letter(world: World, field: str) -> None:
    world.waiting.append(Record(world.wall_ms, **{field: "x" * (WORD_LIMIT + 1)}))
    world.rounds(0.25, beating=False)
    assert [letter.reason for letter in world.monitor._unreadable] == ["too-long"]
    assert len(list(world.monitor._liveness)) == 1


class RolledBack:
    """Transactions of which the first is rolled back."""

    def __init__(self) -> None:
        self.begun = 0

    def transaction(self) -> object:
        self.begun += 1
        if self.begun == 1:
            raise Aborted("told to")
        return nullcontext()


class OneOfEach(Consumer):
    """A consumer that has a partition, and gives it up when it is closed."""

    def __init__(self, monitor: HeartbeatMonitor) -> None:
        self._monitor = monitor

    def assignment(self) -> list[str]:
        return ["heartbeats-0"]

    def close(self) -> None:
        self._monitor._revoked(self, [])  # type: ignore[arg-type]


def test_after_a_rolled_back_transaction_no_offset_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = HeartbeatMonitor._commit
    world = World(monkeypatch)
    monkeypatch.setattr(HeartbeatMonitor, "_commit", real)
    rolled_back, monitor = RolledBack(), world.monitor
    monitor._transactions = rolled_back  # type: ignore[assignment]
    monitor._consumer = OneOfEach(monitor)  # type: ignore[assignment]
    world.waiting.append(Record(world.wall_ms, status="DOWN"))
    with pytest.raises(Unavailable):
        monitor.run_once()
    monitor.close()
    assert rolled_back.begun == 1, "the node's word that it goes down is read again by the next monitor"
