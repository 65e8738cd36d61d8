"""The heartbeat monitor: beats, registrations and orders in; registry and changes of nodes out, in one transaction."""

from __future__ import annotations

import time
from collections import Counter
from threading import Event

import msgspec
from confluent_kafka import Message, Producer

from streaming.dead_letters import DeadLetters, Letter
from streaming.errors import Unavailable
from streaming.events.model import Heartbeat, Registration, Unreadable
from streaming.heartbeat import expectations
from streaming.heartbeat.expectations import Expectations
from streaming.heartbeat.intake import delivered_to_ms, read_beat, read_order
from streaming.heartbeat.liveness import NOTHING, Liveness
from streaming.heartbeat.messages import NodeRecord, NodeStatus
from streaming.heartbeat.node import Outcome
from streaming.heartbeat.seat import SEAT_TOPIC, Seat
from streaming.heartbeat.states import State
from streaming.heartbeat.unread import Unread
from streaming.kafka import clients, topics
from streaming.kafka.compacted import read_all, readable
from streaming.kafka.probe import Probe
from streaming.kafka.records import read_record
from streaming.kafka.transactions import Aborted, Moved, TransactionalProducer, raise_if_fenced
from streaming.settings import Settings
from streaming.worker import metrics
from streaming.worker.clock import StepWatch
from streaming.worker.health import Health
from streaming.worker.logs import logger

log = logger(__name__)

NAME = "heartbeat-monitor"
ROUND_S = 0.25
COMMIT_EVERY_S = 2.0
"""A change of state is committed at once; what beats alone change this often."""

RECORDS_A_COMMIT = 700
"""Records of nodes that only went on beating: up to 700 nodes are written every 2 s, 10,000 every 10,000 / 700 * 2 =
29 s. That many records a second (350) is a thirtieth of writing all. After a restart such a node's last beat and `seq`
are known as they were then. Silence counts from the restart anyway; a beat sent again from within that time may pass
for a new one, once, of a node that was UP: one that is DOWN was written when it went."""

BATCH = 2_000
BEHIND_MS = 2_000
"""Silence proves nothing while a full batch ends with a record that has been in Kafka for so long: less than the least
silence that is called DOWN, so that what is still unread makes nobody look dead. With thousands of beats a second a
full batch alone says only that a commit took its time."""

LOGGED_CHANGES = 20
"""Of one round, each by itself; of more only the number by state. All are in `node-status`."""

WORD_LIMIT = 512
"""Characters of a node's id, service or instance. They are carried on, the id several times in one record: one of
half a megabyte would be more than Kafka takes, and end this monitor, or the manager, again and again."""


class HeartbeatMonitor:
    """One worker. Of several one is active and the others stand by, each with a slot of its own (`Seat`).

    Registry, changes and offsets are committed in one transaction, so a change of state is told exactly once
    over any crash. The one that becomes active first takes the transactional id, which fences whoever had it, and then
    reads the registry to the end as it was left. Silence counts from when all older beats have been read: what
    nobody watched is no node's silence. A standby holds nothing until then: to restore 10,000 nodes takes half a
    second, and whoever is dead has a whole deadline again in any case.

    Args:
        active: set while this one is active, for whoever shares the process.

    Raises:
        Unavailable: Kafka does not answer, or the topics are not there.
    """

    name = NAME

    def __init__(self, settings: Settings, slot: int = 0, active: Event | None = None) -> None:
        self._settings = settings
        self.health = Health(NAME, "kafka", "role")
        self._orders_topic = settings.topic(topics.NODE_ORDERS)
        self._registry_topic = settings.topic(topics.NODE_REGISTRY)
        self._status_topic = settings.topic(topics.NODE_STATUS)
        self._active = Event() if active is None else active
        self._failed = False
        self._longest_round_s = settings.heartbeat_deadline_s / 2
        admin = clients.admin(settings.kafka)
        self._unread = Unread(admin)
        self._begin([])
        self._seat = Seat(settings, slot, admin, taken=self._take_over, left=self._step_down, lost=self._lose)
        self._consumer = self._seat.consumer
        self._probe = Probe(self._consumer, settings.topic(SEAT_TOPIC), self.health)
        self.health.set("kafka", True)
        self.health.set("role", True, "standby")

    def _begin(self, records: list[NodeRecord]) -> None:
        """Knows these nodes, and has seen nothing yet."""
        self._transactions: TransactionalProducer | None = None
        self._liveness = Liveness(int(self._settings.heartbeat_deadline_s * 1000), records)
        self._expectations = Expectations(self._settings)
        self._unreadable: list[Letter] = []
        self._pending = Outcome()
        self._changes: list[NodeStatus] = []
        self._beats = 0
        self._watching = False
        self._unread.forget()
        self._steps = StepWatch()
        self._last_commit = self._last_round_s = time.monotonic()

    def run_once(self) -> None:
        """Takes in what has come, looks for silence, and commits; a standby waits."""
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
        if not self._active.is_set():
            self._probe.look(read=False)
            return
        self._seat.look_for_more()
        self._watch(caught_up=len(messages) < BATCH or _now_ms() - messages[-1].timestamp()[1] < BEHIND_MS)
        self._expect()
        self._keep(self._liveness.tick(_now_ms()))
        self._log_changes()
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
        if not self._active.is_set():
            return  # fetched while it was; the next one reads it again
        if message.topic() == self._orders_topic:
            self._obey(message)
            return
        record = read_record(message)
        event, now_ms = read_beat(record), _now_ms()
        received_ms = record.received_ns // 1_000_000
        accumulator = record.coordinates.accumulator if record.coordinates else None
        if isinstance(event, (Heartbeat, Registration)) and _longest_word(event) > WORD_LIMIT:
            self._unreadable.append(Letter(message, "too-long", f"a name of {_longest_word(event)} characters"))
        elif isinstance(event, Heartbeat):
            self._beats += 1
            delivered_ms = delivered_to_ms(message) if accumulator is None else None
            if delivered_ms is None:
                outcome = self._liveness.beat(event, received_ms, accumulator, now_ms)
            else:
                outcome = self._liveness.accumulator_beat(event, received_ms, delivered_ms, now_ms)
            if outcome is not NOTHING:
                self._keep(outcome)
        elif isinstance(event, Registration):
            self._keep(self._liveness.registered(event, received_ms, accumulator, now_ms))
        elif isinstance(event, Unreadable):
            self._unreadable.append(Letter(message, event.reason, event.detail))
        else:
            self._unreadable.append(Letter(message, "not-a-heartbeat", "a log in a topic of heartbeats"))

    def _obey(self, message: Message) -> None:
        try:
            order = read_order(message)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            metrics.UNREADABLE.labels(NAME, topics.NODE_ORDERS).inc()
            log.error("order left unread", offset=message.offset(), reason=str(error))
            return
        known = order.node_id in self._liveness
        log.info("order", node=order.node_id, order=order.order.value, author=order.author, known=known)
        self._keep(self._liveness.order(order, _now_ms()))

    def _expect(self) -> None:
        rules = self._expectations.changed()
        if rules is not None:
            self._liveness.ask_skew(expectations.skew_bounds_ms(rules))
            self._keep(self._liveness.expect(expectations.expected(rules), _now_ms()))

    def _mind_the_gap(self) -> None:
        """What was sent while this very process paused is unread, and a clock that is set is no silence."""
        now_s = time.monotonic()
        gap_s, self._last_round_s = now_s - self._last_round_s, now_s
        step_ms = self._steps.stepped_ms()
        if step_ms:
            self._liveness.clock_was_set(step_ms)
        if self._watching and (step_ms or gap_s > self._longest_round_s):
            log.warning("silence counts anew", clock_set_by_ms=step_ms, paused_s=round(gap_s, 1))
            self._stop_watching()

    def _watch(self, *, caught_up: bool) -> None:
        """Silence counts only while nothing that was sent is still unread."""
        if not caught_up:
            self._stop_watching()
        elif not self._watching and self._unread.is_read(self._consumer):
            self._watching = True
            self._liveness.watch_from(_now_ms())

    def _stop_watching(self) -> None:
        self._unread.forget()
        self._watching = False
        self._liveness.stop_watching()

    def _keep(self, outcome: Outcome) -> None:
        self._pending.add(outcome)
        self._changes += outcome.changes

    def _log_changes(self) -> None:
        changes, self._changes = self._changes, []
        for change in changes[:LOGGED_CHANGES]:
            log.info("node changed", node=change.node_id, state=change.state.value, reason=change.reason)
        if len(changes) > LOGGED_CHANGES:
            log.info("nodes changed", **Counter(change.state.value for change in changes))

    def _commit(self) -> None:
        if self._failed or self._transactions is None:
            return
        pending, self._pending = self._pending, Outcome()
        letters, self._unreadable = self._unreadable, []
        latest = {record.node_id: record for record in pending.records}
        if time.monotonic() - self._last_commit >= COMMIT_EVERY_S:
            latest |= {record.node_id: record for record in self._liveness.unwritten(RECORDS_A_COMMIT)}
        pending.records = list(latest.values())
        try:
            self._write(self._transactions, pending, letters)
        except Moved as error:
            # A standby came or went. Nothing was written; it is written with the next round.
            log.warning("the group was dealt out anew meanwhile, trying again", reason=str(error))
            self._pending, self._unreadable = pending, letters
            return
        except Aborted as error:
            raise Unavailable(f"the transaction was rolled back ({error}); starting anew from what is kept") from error
        self._count(pending, letters)
        self._last_commit = time.monotonic()
        self.health.set("kafka", True)

    def _write(self, transactions: TransactionalProducer, pending: Outcome, letters: list[Letter]) -> None:
        """All of it and the offsets, or nothing.

        Raises:
            Aborted: nothing of it was written.
            Fenced: another monitor is active.
        """
        with transactions.transaction() as producer:
            for record in pending.records:
                _send(producer, self._registry_topic, record)
            for node_id in pending.forgotten:
                producer.produce(self._registry_topic, key=node_id.encode(), value=None)
            for change in pending.changes:
                _send(producer, self._status_topic, change)
            dead_letters = DeadLetters(producer, self._settings.topic(topics.DEAD_LETTERS), NAME)
            for letter in letters:
                dead_letters.send(letter)
            dead_letters.settle()
            positions = [p for p in self._consumer.position(self._consumer.assignment()) if p.offset >= 0]
            transactions.send_offsets(self._consumer, positions)

    def _count(self, pending: Outcome, letters: list[Letter]) -> None:
        for letter in letters:
            metrics.UNREADABLE.labels(NAME, letter.reason).inc()
        metrics.HEARTBEAT_BEATS.inc(self._beats)
        metrics.HEARTBEAT_REPLAYED.inc(pending.replayed)
        metrics.HEARTBEAT_REFUSED.inc(pending.refused)
        self._beats = 0
        counts = Counter(record.state for record in self._liveness)
        for state in State:
            metrics.HEARTBEAT_NODES.labels(state.value).set(counts[state])

    def _take_over(self) -> None:
        transactions = TransactionalProducer(self._settings.kafka, self._settings.group(NAME))
        registry = read_all(self._settings, topics.NODE_REGISTRY, wait_for_open=True)
        records = list(readable(registry, NodeRecord, topics.NODE_REGISTRY, NAME).values())
        self._begin(records)
        self._transactions = transactions
        self._active.set()
        self.health.set("kafka", True)
        self.health.set("role", True, "active")
        log.info("active: registry restored", nodes=len(records))

    def _step_down(self) -> None:
        try:
            self._commit()
        finally:
            self._stand_by("left")

    def _lose(self) -> None:
        self._stand_by("did not answer for a session")

    def _stand_by(self, reason: str) -> None:
        """Another one is, or may be, active: what this one knows is of no use any more."""
        self._active.clear()
        self._begin([])
        self.health.set("role", True, "standby")
        log.info("active no longer", reason=reason)


def _longest_word(event: Heartbeat | Registration) -> int:
    return max(len(event.node_id), len(event.service or ""), len(event.instance_id or ""))


def _send(producer: Producer, topic: str, value: NodeRecord | NodeStatus) -> None:
    producer.produce(topic, key=value.node_id.encode(), value=msgspec.json.encode(value))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
