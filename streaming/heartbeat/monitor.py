"""The heartbeat monitor: beats and registrations in; registry and changes of node state out, in one transaction."""

from __future__ import annotations

import time
from collections import Counter

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from streaming.dead_letters import DeadLetters, Letter
from streaming.errors import Unavailable
from streaming.events.model import Heartbeat, NodeState, Registration, Unreadable
from streaming.events.parse import parse
from streaming.heartbeat.liveness import Liveness, Outcome
from streaming.heartbeat.messages import NodeRecord, NodeStatus
from streaming.kafka import clients, topics
from streaming.kafka.compacted import read_all
from streaming.kafka.records import read_record
from streaming.kafka.transactions import Aborted, TransactionalProducer, raise_if_fenced
from streaming.settings import Settings
from streaming.worker import metrics
from streaming.worker.clock import StepWatch
from streaming.worker.health import Health
from streaming.worker.logs import logger

log = logger(__name__)

NAME = "heartbeat-monitor"
ROUND_S = 0.25
COMMIT_EVERY_S = 2.0
"""A change of state is committed at once; beats alone, which only move `last_beat_ms`, this often."""

BATCH = 2_000

WORD_LIMIT = 512
"""Characters of a node's id, service or instance. They are carried on, the id several times in one record: one of
half a megabyte would be more than Kafka takes, and end this monitor, or the manager, again and again."""


class HeartbeatMonitor:
    """One worker, of which one runs at a time: a second one takes over, and the first then ends, fenced.

    Registry, changes and offsets are committed in one transaction, so a change of state is told exactly once
    over any crash. After a start silence counts only from the moment that all older beats have been read.

    Raises:
        Unavailable: Kafka does not answer, or the topics are not there.
    """

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self.health = Health(NAME, "kafka")
        self._topics = {name: settings.topic(name) for name in (topics.HEARTBEATS, topics.REGISTRATIONS)}
        self._registry_topic = settings.topic(topics.NODE_REGISTRY)
        self._status_topic = settings.topic(topics.NODE_STATUS)
        self._transactions = TransactionalProducer(settings.bootstrap, settings.group(NAME))
        self._dead_letters = DeadLetters(self._transactions.producer, settings.topic(topics.DEAD_LETTERS), NAME)
        self._unreadable: list[Letter] = []
        records = [
            msgspec.json.decode(value, type=NodeRecord)
            for value in read_all(settings, topics.NODE_REGISTRY, wait_for_open=True).values()
        ]
        self._liveness = Liveness(int(settings.heartbeat_deadline_s * 1000), records)
        self._pending = Outcome()
        self._watching = False
        self._failed = False
        self._last_commit = time.monotonic()
        self._last_round_s = time.monotonic()
        self._longest_round_s = settings.heartbeat_deadline_s / 2
        self._steps = StepWatch()
        self._consumer = clients.consumer(
            settings.bootstrap,
            settings.group(NAME),
            # The one who is started again after a crash gets its partitions back at once.
            group_instance_id=settings.group(NAME),
        )
        self._consumer.subscribe(
            list(self._topics.values()), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        log.info("registry restored", nodes=len(records))

    def run_once(self) -> None:
        """Takes in what has come, looks for silence, and commits."""
        try:
            self._round()
        except BaseException:
            # What was taken in may be ahead of what is written, so its offsets must not be committed on the way out.
            self._failed = True
            raise

    def _round(self) -> None:
        self._mind_the_gap()
        messages = clients.take(self._consumer, BATCH, ROUND_S)
        for message in messages:
            self._take_in(message)
        self._watch(caught_up=len(messages) < BATCH)
        self._keep(self._liveness.tick(_now_ms()))
        due = time.monotonic() - self._last_commit >= COMMIT_EVERY_S
        if self._pending.changes or self._unreadable or (due and self._consumer.assignment()):
            self._commit()

    def close(self) -> None:
        """Commits what is in hand and leaves the group."""
        try:
            if self._consumer.assignment():
                self._commit()
        finally:
            self._consumer.close()

    def _take_in(self, message: Message) -> None:
        error = message.error()
        if error:
            raise_if_fenced(error, "this monitor")
            self.health.set("kafka", False, error.str())
            return
        record = read_record(message)
        event = parse(record.value, received_ns=record.received_ns, event_ns=record.event_ns, tag=record.tag)
        # Nothing was received later than now; a time before the clock was set back would count as life for as long.
        received_ms = min(record.received_ns // 1_000_000, _now_ms())
        if isinstance(event, (Heartbeat, Registration)) and _longest_word(event) > WORD_LIMIT:
            self._unreadable.append(Letter(message, "too-long", f"a name of {_longest_word(event)} characters"))
        elif isinstance(event, Heartbeat):
            metrics.HEARTBEAT_BEATS.inc()
            self._keep(self._liveness.beat(event, received_ms))
        elif isinstance(event, Registration):
            self._keep(self._liveness.registered(event, received_ms))
        elif isinstance(event, Unreadable):
            self._unreadable.append(Letter(message, event.reason, event.detail))
        else:
            self._unreadable.append(Letter(message, "not-a-heartbeat", "a log in a topic of heartbeats"))

    def _mind_the_gap(self) -> None:
        """What was sent while this very process paused is unread, and a clock that is set is no silence."""
        now_s = time.monotonic()
        gap_s, self._last_round_s = now_s - self._last_round_s, now_s
        step_ms = self._steps.stepped_ms()
        if step_ms:
            self._liveness.clock_was_set(step_ms)
        if self._watching and (step_ms or gap_s > self._longest_round_s):
            log.warning("silence counts anew", clock_set_by_ms=step_ms, paused_s=round(gap_s, 1))
            self._watching = False
            self._liveness.stop_watching()

    def _watch(self, *, caught_up: bool) -> None:
        """Silence counts only while nothing that was sent is still unread."""
        if caught_up and not self._watching and _lag(self._consumer) == 0:
            self._watching = True
            self._liveness.watch_from(_now_ms())
        elif not caught_up and self._watching:
            self._watching = False
            self._liveness.stop_watching()

    def _keep(self, outcome: Outcome) -> None:
        self._pending.records += outcome.records
        self._pending.changes += outcome.changes
        if outcome.replayed:
            metrics.HEARTBEAT_REPLAYED.inc(outcome.replayed)
        for change in outcome.changes:
            log.info("node changed", node=change.node_id, state=change.state.value, reason=change.reason)

    def _commit(self) -> None:
        if self._failed:
            return
        pending, self._pending = self._pending, Outcome()
        letters, self._unreadable = self._unreadable, []
        latest = {record.node_id: record for record in pending.records}
        try:
            with self._transactions.transaction() as producer:
                for record in latest.values():
                    _send(producer, self._registry_topic, record)
                for change in pending.changes:
                    _send(producer, self._status_topic, change)
                for letter in letters:
                    self._dead_letters.send(letter)
                self._dead_letters.settle()
                positions = [p for p in self._consumer.position(self._consumer.assignment()) if p.offset >= 0]
                self._transactions.send_offsets(self._consumer, positions)
        except Aborted as error:
            raise Unavailable(f"the transaction was rolled back ({error}); starting anew from what is kept") from error
        for letter in letters:
            metrics.UNREADABLE.labels(NAME, letter.reason).inc()
        self._last_commit = time.monotonic()
        self.health.set("kafka", True)
        counts = Counter(record.state for record in self._liveness)
        for state in NodeState:
            metrics.HEARTBEAT_NODES.labels(state.value).set(counts[state])

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._watching = False
        self._liveness.stop_watching()
        self.health.set("kafka", True, f"{len(partitions)} partitions")

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._commit()
        self.health.set("kafka", False, f"{len(partitions)} partitions given up to another monitor")

    def _lost(self, _: Consumer, __: list[TopicPartition]) -> None:
        raise Unavailable("another monitor has taken over while this one did not answer; starting anew")


def _longest_word(event: Heartbeat | Registration) -> int:
    return max(len(event.node_id), len(event.service or ""), len(event.instance_id or ""))


def _send(producer: Producer, topic: str, value: NodeRecord | NodeStatus) -> None:
    producer.produce(topic, key=value.node_id.encode(), value=msgspec.json.encode(value))


def _lag(consumer: Consumer) -> int | None:
    """Records not yet read in all assigned partitions; None while it cannot be known."""
    assigned = consumer.assignment()
    if not assigned:
        return None
    lag = 0
    try:
        # A partition of which nothing was read since the start has no position, only what is committed, if anything.
        for position, committed in zip(consumer.position(assigned), consumer.committed(assigned, 5.0), strict=True):
            low, high = consumer.get_watermark_offsets(position, timeout=5.0)
            lag += max(0, high - max(low, position.offset, committed.offset))
    except KafkaException:  # a coordinator or leader that is moving: asked again in the next round
        return None
    return lag


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
