"""Rounds of the monitor, without Kafka: clocks that are set, pauses, and names without end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import msgspec
import pytest
from confluent_kafka import TopicPartition

from streaming.errors import Unavailable
from streaming.events import coordinates
from streaming.heartbeat import monitor as monitoring
from streaming.heartbeat.liveness import Liveness
from streaming.heartbeat.messages import NodeOrder, NodeRecord, NodeStatus, Order
from streaming.heartbeat.monitor import BATCH, BEHIND_MS, WORD_LIMIT, HeartbeatMonitor
from streaming.heartbeat.node import Outcome
from streaming.heartbeat.states import DELIVERED_HEADER, State
from streaming.kafka.transactions import Aborted, Moved
from streaming.settings import Settings
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
        self._headers: list[tuple[str, bytes]] = []
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

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def delivered(self, to: bytes) -> Record:
        """As an accumulator itself sends it."""
        self._headers = [(DELIVERED_HEADER, to)]
        return self

    def through(self, accumulator: str, received_ms: int) -> Record:
        """As an accumulator delivers it."""
        self._headers = [(coordinates.HEADER, f"{accumulator}:i:1:0:{received_ms * 1_000_000}:0:tag".encode())]
        return self

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return (2, self._at_ms)


class OrderRecord(Record):
    """An order of a person."""

    def __init__(self, value: bytes) -> None:
        super().__init__(0)
        self._value = value

    def topic(self) -> str:
        return "node-orders"


class NoRules:
    """No inventory, and nothing else of rules."""

    def changed(self) -> None:
        return None


class NoProbe:
    """Kafka is not asked whether it is there."""

    def look(self, *, read: bool) -> None:
        pass


class Seated:
    """A seat that nobody else wants."""

    def look_for_more(self) -> None:
        pass


class World:
    """A monitor on clocks of our own: `wall_ms` can be set, `steady_ms` only runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_ms, self.steady_ms, self.unread = 1_700_000_000_000, 50_000, 0
        self.waiting: list[Record] = []
        self.changes: list[State] = []
        monkeypatch.setattr(monitoring, "_now_ms", lambda: self.wall_ms)
        monkeypatch.setattr("streaming.heartbeat.monitor.time.monotonic", lambda: self.steady_ms / 1000)
        monkeypatch.setattr("streaming.heartbeat.monitor.clients.take", lambda *_: self.taken())
        monkeypatch.setattr(HeartbeatMonitor, "_commit", lambda _: self.commit())
        made = HeartbeatMonitor.__new__(HeartbeatMonitor)
        made.health, made._liveness, made._pending = Health("m", "kafka"), Liveness(DEADLINE_MS, []), Outcome()
        made._settings, made._active, made._transactions = Settings(), Event(), None
        made._active.set()
        made._seat, made._probe = Seated(), NoProbe()  # type: ignore[assignment]
        made._failed = False
        made._changes, made._beats, made._orders_topic = [], 0, "node-orders"
        made._unread, made._expectations = self, NoRules()  # type: ignore[assignment]
        made._unreadable, made._watching, made._last_commit = [], False, 0.0
        made._consumer = Consumer()  # type: ignore[assignment]
        made._last_round_s, made._longest_round_s = self.steady_ms / 1000, DEADLINE_MS / 2000
        made._steps = StepWatch(lambda: self.wall_ms, lambda: self.steady_ms)
        self.monitor = made

    def is_read(self, _: object) -> bool:
        return not self.unread

    def forget(self) -> None:
        pass

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
    assert made.changes[-1:] == [State.DOWN], "real silence is noticed all the same"


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


def test_a_full_batch_of_late_beats_proves_nothing_and_one_of_fresh_beats_is_only_many(world: World) -> None:
    watching: list[bool] = []
    for age_ms in (0, BEHIND_MS + 250):
        world.waiting = [Record(world.wall_ms - age_ms + n % 2, node_id=f"n{n}") for n in range(BATCH)]
        world.rounds(0.25, beating=False)
        watching.append(world.monitor._watching)
        world.rounds(0.25, beating=True)
    assert watching == [True, False]


@pytest.mark.parametrize("field", ["node_id", "service_name", "instance_id"])
def test_a_name_without_end_is_a_dead_letter(world: World, field: str) -> None:
    world.waiting.append(Record(world.wall_ms, **{field: "x" * (WORD_LIMIT + 1)}))
    world.rounds(0.25, beating=False)
    assert [letter.reason for letter in world.monitor._unreadable] == ["too-long"]
    assert len(list(world.monitor._liveness)) == 1


def test_orders_are_obeyed_and_those_that_cannot_be_read_are_left(world: World) -> None:
    order = NodeOrder(node_id="n", order=Order.RETIRE, at_ms=world.wall_ms, author="ann", reason="sold")
    world.waiting += [OrderRecord(b"no order"), OrderRecord(msgspec.json.encode(order))]
    world.rounds(60, beating=False)
    (record,) = world.monitor._liveness
    assert (record.state, record.reason) == (State.RETIRED, "retired by ann: sold")
    back = NodeOrder(node_id="n", order=Order.RESTORE, at_ms=world.wall_ms, author="ann")
    world.waiting.append(OrderRecord(msgspec.json.encode(back)))
    world.rounds(1, beating=True)
    assert record.state is State.UP


def test_an_accumulators_own_beat_is_known_by_its_header(world: World) -> None:
    at, name = world.wall_ms, {"node_id": "accumulator1", "service_name": "vigil-accumulator"}
    world.waiting += [Record(at, **name), Record(at + 1, **name).delivered(b"17")]
    world.rounds(0.25, beating=True)
    kinds = {record.node_id: record.kind.value for record in world.monitor._liveness}
    assert kinds == {"n": "node", "accumulator1": "accumulator", "vigil-pipeline": "pipeline"}
    world.waiting.append(Record(world.wall_ms + 1, status="DOWN", **name))
    world.rounds(0.25, beating=True)
    assert world.monitor._pending.refused == 1
    accumulator = next(record for record in world.monitor._liveness if record.node_id == "accumulator1")
    assert accumulator.state is State.UP, "what comes through an accumulator is no accumulator"
    goodbye = Record(world.wall_ms + 2, status="DOWN", **name).delivered(b"18")
    world.waiting.append(goodbye)
    world.rounds(0.25, beating=True)
    assert accumulator.clean_shutdown


@pytest.mark.parametrize("ahead_ms", [-30_000, 0, 5_000, 30_000])
def test_dead_nodes_are_found_whatever_the_clock_of_their_accumulator(world: World, ahead_ms: int) -> None:
    for second in range(40):
        clock_ms = world.wall_ms + ahead_ms
        own = Record(world.wall_ms, node_id="accumulator1", seq=second + 1, timestamp=clock_ms / 1000)
        world.waiting.append(own.delivered(str(clock_ms).encode()))
        if second < 20:
            world.waiting.append(Record(world.wall_ms, node_id="m").through("accumulator1", clock_ms))
        world.rounds(1, beating=True)
    states = {record.node_id: record.state for record in world.monitor._liveness}
    assert (states["m"], states["n"]) == (State.DOWN, State.UP)


class RolledBack:
    """Transactions of which the first is rolled back; what the others write."""

    def __init__(self, why: Aborted) -> None:
        self._why, self.begun = why, 0
        self.written: list[NodeStatus] = []

    @contextmanager
    def transaction(self) -> Iterator[RolledBack]:
        self.begun += 1
        yield self
        if self.begun == 1:
            self.written.clear()
            raise self._why

    def produce(self, topic: str, key: bytes, value: bytes) -> None:
        if topic == "node-status":
            self.written.append(msgspec.json.decode(value, type=NodeStatus))

    def send_offsets(self, _: object, __: object) -> None:
        pass


class OneOfEach(Consumer):
    """A consumer that has a partition, and gives it up when it is closed."""

    def __init__(self, monitor: HeartbeatMonitor) -> None:
        self._monitor = monitor

    def assignment(self) -> list[str]:
        return ["heartbeats-0"]

    def position(self, _: object) -> list[TopicPartition]:
        return []

    def close(self) -> None:
        self._monitor._step_down()


def commits_for_real(monkeypatch: pytest.MonkeyPatch, why: Aborted) -> tuple[World, RolledBack]:
    real = HeartbeatMonitor._commit
    world, transactions = World(monkeypatch), RolledBack(why)
    monkeypatch.setattr(HeartbeatMonitor, "_commit", real)
    monitor = world.monitor
    monitor._registry_topic, monitor._status_topic = "node-registry", "node-status"
    monitor._transactions = transactions  # type: ignore[assignment]
    monitor._consumer = OneOfEach(monitor)  # type: ignore[assignment]
    world.waiting.append(Record(world.wall_ms, status="DOWN"))
    return world, transactions


def test_after_a_rolled_back_transaction_no_offset_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    world, transactions = commits_for_real(monkeypatch, Aborted("told to"))
    with pytest.raises(Unavailable):
        world.monitor.run_once()
    world.monitor.close()
    assert transactions.begun == 1, "the node's word that it goes down is read again by the next monitor"


def test_what_was_rolled_back_since_a_standby_came_is_written_with_the_next_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, transactions = commits_for_real(monkeypatch, Moved("another generation"))
    world.monitor.run_once()
    assert transactions.written == []
    world.monitor.run_once()
    assert [(told.node_id, told.clean_shutdown) for told in transactions.written] == [("n", True)]
    world.rounds(1, beating=False)
    assert len(transactions.written) == 1, "and once"


class Restored(World):
    """A monitor that takes over what another one has left."""

    def take_over(self, monkeypatch: pytest.MonkeyPatch, records: list[NodeRecord]) -> None:
        registry = {record.node_id.encode(): msgspec.json.encode(record) for record in records}
        monkeypatch.setattr(monitoring, "TransactionalProducer", lambda *_: object())
        monkeypatch.setattr(monitoring, "read_all", lambda *_, **__: registry)
        monkeypatch.setattr(monitoring, "Expectations", lambda _: NoRules())
        self.monitor._settings = Settings(heartbeat_deadline_s=DEADLINE_MS / 1000)
        self.monitor._take_over()
        self.monitor._steps = StepWatch(lambda: self.wall_ms, lambda: self.steady_ms)
        self.monitor._unread = self  # type: ignore[assignment]


@pytest.mark.parametrize("away_s", [1, 60])
def test_silence_that_nobody_watched_is_nobodys_and_who_died_meanwhile_is_found(
    monkeypatch: pytest.MonkeyPatch, away_s: int
) -> None:
    world = Restored(monkeypatch)
    for _ in range(40):
        world.waiting.append(Record(world.wall_ms, node_id="m"))
        world.rounds(0.25, beating=True)
    records = list(world.monitor._liveness)
    assert {record.state for record in records} == {State.UP}
    world.monitor._lose()
    assert list(world.monitor._liveness) == []
    world.rounds(away_s, beating=True)  # fetched before; the next one reads it again
    assert list(world.monitor._liveness) == []
    world.unread = away_s  # what "n" beat meanwhile; "m" died
    world.take_over(monkeypatch, records)
    world.rounds(2, beating=False)
    assert not world.monitor._watching
    world.unread = 0
    world.rounds(DEADLINE_MS / 1000 - 1, beating=True)
    assert world.changes == []
    world.rounds(2, beating=True)
    assert {record.node_id: record.state for record in world.monitor._liveness} == {"m": State.DOWN, "n": State.UP}
    assert world.changes == [State.DOWN]
