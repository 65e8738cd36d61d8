"""A Kafka in memory, whose clients die when they are told to: for runs of simulated crashes.

It keeps what Vigil's guarantees rest on: partitions in order; transactions that are all or nothing, over records and
a group's offsets; readers of committed records that stop at the first open transaction; a transactional id whose next
owner aborts what was open and fences the one before; groups with static members, whose partitions stay theirs until
they return or expire. Integration tests say the same of the real one; what differs (time-outs, moving leaders, batches)
is left to them.

Everything runs in the test's own thread. `Process` is one life of a worker: each call of its clients is an operation,
and `die_at` names the one at which it is killed, before or after the broker has done it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import NamedTuple

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from streaming.kafka import bounds

Headers = list[tuple[str, str | bytes | None]]
Place = tuple[str, int]
OnChange = Callable[["SimulatedConsumer", list[TopicPartition]], None]


class Killed(BaseException):
    """The process is dead."""


@dataclass(eq=False)
class Process:
    """One life of a worker, as the broker sees it."""

    name: str
    die_at: int | None = None
    """Number of the operation at which it dies; None: it lives on."""
    before: bool = True
    """Whether it dies before the broker does that operation, or after."""
    operations: int = 0
    dead: bool = False

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Around each call of a client.

        Raises:
            Killed: it is dead, or dies here.
        """
        self._live()
        self.operations += 1
        if self.operations == self.die_at and self.before:
            self.kill()
        yield
        if self.operations == self.die_at:
            self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        self.dead = True
        raise Killed(self.name)

    def _live(self) -> None:
        if self.dead:
            raise Killed(self.name)


@dataclass
class Stored:
    """One place of a partition. `transaction` is that which wrote it, if one did; `visible` what became of it."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    at_ms: int
    transaction: Transaction | None = None
    control: bool = False


@dataclass(eq=False)
class Transaction:
    """What a transactional id does between begin and end."""

    process: Process
    state: str = "open"
    places: set[Place] = field(default_factory=set)
    offsets: dict[tuple[str, Place], int] = field(default_factory=dict)


@dataclass(eq=False)
class Group:
    """A consumer group. Who owns a partition gives it up itself, unless it died and its place was taken."""

    offsets: dict[Place, int] = field(default_factory=dict)
    members: dict[str, SimulatedConsumer] = field(default_factory=dict)
    owners: dict[Place, SimulatedConsumer] = field(default_factory=dict)

    def target(self, consumer: SimulatedConsumer, places: Sequence[Place]) -> set[Place]:
        """The partitions meant for a member, by turns in the order of the members' names."""
        names = sorted(self.members)
        if consumer.instance not in names or self.members[consumer.instance] is not consumer:
            return set()
        mine = names.index(consumer.instance)
        return {place for place in places if place[1] % len(names) == mine}


class SimulatedKafka:
    """The broker. `now_ms` is the clock of append times."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.logs: dict[Place, list[Stored]] = {}
        self.groups: dict[str, Group] = {}
        self.epochs: dict[str, int] = {}
        self.open: dict[str, Transaction] = {}
        self.process = Process("outside")
        """Whose clients are made now."""
        self._names = itertools.count()

    # ---------------------------------------------------------------------------------- for the test itself

    def create(self, topic: str, partitions: int) -> None:
        """Makes a topic."""
        for partition in range(partitions):
            self.logs[topic, partition] = []

    def append(self, topic: str, partition: int, value: bytes, *, key: bytes | None = None, headers: Headers) -> None:
        """Writes a record outside any transaction."""
        self.logs[topic, partition].append(Stored(key, value, headers, self.now_ms()))

    def committed_values(self, topic: str) -> list[bytes | None]:
        """Of a topic with one partition: what a reader of committed records would see."""
        return [stored.value for stored in self.logs[topic, 0] if _is_committed(stored)]

    def expire(self, group: str) -> None:
        """The sessions of dead members end."""
        held = self.groups[group]
        for name, member in list(held.members.items()):
            if member.process.dead:
                del held.members[name]
        for place, owner in list(held.owners.items()):
            if owner.process.dead:
                del held.owners[place]

    def idle(self) -> None:
        """Somebody waits for records: meanwhile what dead producers left open runs into its time-out."""
        for transactional_id, transaction in list(self.open.items()):
            if transaction.process.dead:
                self._end(transactional_id, "aborted")

    def consumer(self, config: dict[str, object]) -> SimulatedConsumer:
        """In place of `confluent_kafka.Consumer`."""
        return SimulatedConsumer(self, self.process, config, f"member-{next(self._names)}")

    def producer(self, config: dict[str, object]) -> SimulatedProducer:
        """In place of `confluent_kafka.Producer`."""
        return SimulatedProducer(self, self.process, config)

    def admin(self, config: dict[str, object]) -> SimulatedAdmin:
        """In place of `confluent_kafka.admin.AdminClient`."""
        return SimulatedAdmin(self, self.process)

    # --------------------------------------------------------------------------------------- for the clients

    def partitions_of(self, topic: str) -> list[int]:
        """Numbers of the partitions; empty where there is no such topic."""
        return [partition for name, partition in self.logs if name == topic]

    def place_for(self, topic: str, key: bytes | None) -> Place:
        """Where a record of a key goes."""
        count = len(self.partitions_of(topic))
        if not count:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, topic))
        return topic, sum(key or b"") % count

    def end_of(self, place: Place, *, committed: bool) -> int:
        """Behind the last record, or before the first one of an open transaction."""
        log = self.logs[place]
        if committed:
            for offset, stored in enumerate(log):
                if stored.transaction is not None and stored.transaction.state == "open":
                    return offset
        return len(log)

    def begin(self, transactional_id: str, epoch: int, process: Process) -> Transaction:
        """Begins a transaction."""
        self.check_epoch(transactional_id, epoch)
        return self.open.setdefault(transactional_id, Transaction(process))

    def check_epoch(self, transactional_id: str, epoch: int) -> None:
        """Raises KafkaException, fatal, where another producer has the id."""
        if self.epochs.get(transactional_id) != epoch:
            raise KafkaException(KafkaError(KafkaError._FENCED, f"{transactional_id} is fenced", fatal=True))

    def take_over(self, transactional_id: str) -> int:
        """A producer begins with an id: what was open is aborted, whoever had it is fenced."""
        self._end(transactional_id, "aborted")
        self.epochs[transactional_id] = self.epochs.get(transactional_id, 0) + 1
        return self.epochs[transactional_id]

    def end(self, transactional_id: str, epoch: int, state: str) -> None:
        """Commits or aborts."""
        self.check_epoch(transactional_id, epoch)
        self._end(transactional_id, state)

    def _end(self, transactional_id: str, state: str) -> None:
        transaction = self.open.pop(transactional_id, None)
        if transaction is None:
            return
        transaction.state = state
        for place in transaction.places:
            self.logs[place].append(Stored(None, None, [], self.now_ms(), transaction, control=True))
        if state == "committed":
            for (group, place), offset in transaction.offsets.items():
                self.groups[group].offsets[place] = offset


def _is_committed(stored: Stored) -> bool:
    return not stored.control and (stored.transaction is None or stored.transaction.state == "committed")


class SimulatedProducer:
    """What Vigil asks of a producer."""

    def __init__(self, broker: SimulatedKafka, process: Process, config: dict[str, object]) -> None:
        self._broker, self._process = broker, process
        self._id = str(config.get("transactional.id", ""))
        self._epoch = 0
        self._waiting: list[tuple[Place, Stored, Callable[[KafkaError | None, object], None] | None]] = []

    def init_transactions(self, timeout: float = -1) -> None:
        with self._process.operation():
            self._epoch = self._broker.take_over(self._id)

    def begin_transaction(self) -> None:
        with self._process.operation():
            self._broker.begin(self._id, self._epoch, self._process)

    def produce(
        self,
        topic: str,
        value: str | bytes | None = None,
        key: str | bytes | None = None,
        headers: Headers | None = None,
        on_delivery: Callable[[KafkaError | None, object], None] | None = None,
    ) -> None:
        with self._process.operation():
            key, value = _as_bytes(key), _as_bytes(value)
            place = self._broker.place_for(topic, key)
            stored = Stored(key, value, headers or [], self._broker.now_ms())
            if not self._id:
                self._waiting.append((place, stored, on_delivery))
                return
            self._broker.check_epoch(self._id, self._epoch)
            transaction = self._broker.open[self._id]
            stored.transaction = transaction
            transaction.places.add(place)
            self._broker.logs[place].append(stored)

    def poll(self, timeout: float = 0) -> int:
        self.flush()
        return 0

    def flush(self, timeout: float = -1) -> int:
        with self._process.operation():
            waiting, self._waiting = self._waiting, []
            for place, stored, on_delivery in waiting:
                self._broker.logs[place].append(stored)
                if on_delivery:
                    on_delivery(None, None)
        return 0

    def send_offsets_to_transaction(
        self, offsets: list[TopicPartition], group: SimulatedConsumer, timeout: float = -1
    ) -> None:
        # It is called from a thread of its own, in which Killed would be lost: the next call raises it.
        if not self._process.dead:
            transaction = self._broker.begin(self._id, self._epoch, self._process)
            for at in offsets:
                transaction.offsets[group.group_id, (at.topic, at.partition)] = at.offset

    def commit_transaction(self, timeout: float = -1) -> None:
        with self._process.operation():
            self._broker.end(self._id, self._epoch, "committed")

    def abort_transaction(self, timeout: float = -1) -> None:
        with self._process.operation():
            self._broker.end(self._id, self._epoch, "aborted")

    def __len__(self) -> int:
        return len(self._waiting)


class SimulatedAdmin:
    """What Vigil asks of an admin client. It answers at once."""

    def __init__(self, broker: SimulatedKafka, process: Process) -> None:
        self._broker, self._process = broker, process

    def list_offsets(
        self, asked: dict[TopicPartition, OffsetSpec], *, isolation_level: IsolationLevel, request_timeout: float
    ) -> dict[TopicPartition, Future[SimpleNamespace]]:
        with self._process.operation():
            return {place: self._answer(place, spec, isolation_level) for place, spec in asked.items()}

    def _answer(self, place: TopicPartition, spec: OffsetSpec, level: IsolationLevel) -> Future[SimpleNamespace]:
        committed = level is IsolationLevel.READ_COMMITTED
        end = self._broker.end_of((place.topic, place.partition), committed=committed)
        future: Future[SimpleNamespace] = Future()
        future.set_result(SimpleNamespace(offset=end if spec is bounds.END else 0))
        return future


class _Bounds(NamedTuple):
    low: int
    high: int


class SimulatedConsumer:
    """What Vigil asks of a consumer."""

    def __init__(self, broker: SimulatedKafka, process: Process, config: dict[str, object], name: str) -> None:
        self.broker, self.process = broker, process
        self.group_id = str(config["group.id"])
        self.instance = str(config.get("group.instance.id", name))
        self._committed_only = config.get("isolation.level", "read_committed") == "read_committed"
        self._tells_end = bool(config.get("enable.partition.eof", False))
        self._group = broker.groups.setdefault(self.group_id, Group())
        self._topics: list[str] = []
        self._on_assign: OnChange = lambda _, __: None
        self._on_revoke: OnChange = lambda _, __: None
        self._positions: dict[Place, int] = {}
        self._told_end: dict[Place, int] = {}
        self._paused: set[Place] = set()
        self._turn = 0

    # -------------------------------------------------------------------------------------------- membership

    def subscribe(
        self,
        topics: list[str],
        on_assign: OnChange | None = None,
        on_revoke: OnChange | None = None,
        on_lost: OnChange | None = None,
    ) -> None:
        with self.process.operation():
            self._topics = topics
            self._on_assign, self._on_revoke = on_assign or self._on_assign, on_revoke or self._on_revoke
            before = self._group.members.get(self.instance)
            self._group.members[self.instance] = self
            for place, owner in list(self._group.owners.items()):
                if owner is before:
                    del self._group.owners[place]

    def assign(self, places: list[TopicPartition]) -> None:
        with self.process.operation():
            self._positions = {(p.topic, p.partition): max(0, p.offset) for p in places}
            self._told_end.clear()

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        with self.process.operation():
            self._positions |= {(p.topic, p.partition): max(0, p.offset) for p in places}

    def unassign(self) -> None:
        self._positions.clear()

    def close(self) -> None:
        if self._topics and not self.process.dead:
            gone = [TopicPartition(*place) for place in self._positions]
            if gone:
                self._on_revoke(self, gone)
            for place in list(self._positions):
                self._group.owners.pop(place, None)
            self._group.members.pop(self.instance, None)
        self._positions.clear()

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in sorted(self._positions)]

    def consumer_group_metadata(self) -> SimulatedConsumer:
        return self

    def _rebalance(self) -> None:
        if not self._topics:
            return
        places = [(topic, p) for topic in self._topics for p in self.broker.partitions_of(topic)]
        target = self._group.target(self, places)
        gone = [place for place in self._positions if place not in target]
        if gone:
            self._on_revoke(self, [TopicPartition(*place) for place in gone])
            for place in gone:
                self._positions.pop(place, None)
                self._group.owners.pop(place, None)
        new = [place for place in sorted(target) if place not in self._positions and place not in self._group.owners]
        if new:
            for place in new:
                self._group.owners[place] = self
            self._on_assign(self, [TopicPartition(*place) for place in new])

    # ----------------------------------------------------------------------------------------------- reading

    def poll(self, timeout: float = -1) -> Message | None:
        with self.process.operation():
            pass
        self._rebalance()
        found = self._next()
        if found is None:
            self.broker.idle()
        return found

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        found: list[Message] = []
        while len(found) < num_messages and (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> Message | None:
        places = sorted(self._positions)
        for step in range(len(places)):
            place = places[(self._turn + step) % len(places)]
            message = self._next_of(place) if place not in self._paused else None
            if message is not None:
                self._turn += step
                return message
        return None

    def _next_of(self, place: Place) -> Message | None:
        end, log = self.broker.end_of(place, committed=self._committed_only), self.broker.logs[place]
        while self._positions[place] < end:
            offset = self._positions[place]
            self._positions[place] = offset + 1
            stored = log[offset]
            if stored.control or (self._committed_only and not _is_committed(stored)):
                continue
            return Message(
                topic=place[0],
                partition=place[1],
                offset=offset,
                key=stored.key,
                value=stored.value,
                headers=stored.headers,
                timestamp=(2, stored.at_ms),
            )
        if self._tells_end and self._told_end.get(place) != end:
            self._told_end[place] = end
            error = KafkaError(KafkaError._PARTITION_EOF, "end")
            return Message(topic=place[0], partition=place[1], offset=self._positions[place], error=error)
        return None

    def seek(self, place: TopicPartition) -> None:
        with self.process.operation():
            self._positions[place.topic, place.partition] = max(0, place.offset)

    def pause(self, places: list[TopicPartition]) -> None:
        self._paused.update((p.topic, p.partition) for p in places)

    def resume(self, places: list[TopicPartition]) -> None:
        self._paused.difference_update((p.topic, p.partition) for p in places)

    # ------------------------------------------------------------------------------------------------ asking

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return [
            TopicPartition(p.topic, p.partition, self._positions.get((p.topic, p.partition), -1001)) for p in places
        ]

    def committed(self, places: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        with self.process.operation():
            offsets = self._group.offsets
            return [TopicPartition(p.topic, p.partition, offsets.get((p.topic, p.partition), -1001)) for p in places]

    def commit(
        self,
        message: object = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> None:
        with self.process.operation():
            for at in offsets or []:
                self._group.offsets[at.topic, at.partition] = at.offset

    def get_watermark_offsets(
        self, place: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        return _Bounds(0, self.broker.end_of((place.topic, place.partition), committed=self._committed_only))

    def list_topics(self, topic: str, timeout: float = -1) -> SimpleNamespace:
        partitions = dict.fromkeys(self.broker.partitions_of(topic))
        error = None if partitions else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, topic)
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=partitions, error=error)})


def _as_bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
