"""The manager's loop: candidates, node states and orders in; states, history and notifications out."""

from __future__ import annotations

import time
from collections import Counter

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from streaming.alerting.engine import Engine
from streaming.alerting.incidents import Book, Decision, joined
from streaming.alerting.manager.inputs import TOPICS, decide
from streaming.alerting.messages import Incident, IncidentState
from streaming.alerting.rules.source import RuleSource, last_good
from streaming.kafka import topics
from streaming.kafka.clients import consumer, take
from streaming.kafka.compacted import read_all
from streaming.kafka.probe import Probe
from streaming.kafka.transactions import Aborted, TransactionalProducer, raise_if_fenced
from streaming.settings import Settings
from streaming.worker.clock import StepWatch
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import MANAGER_INCIDENTS, MANAGER_NOTIFICATIONS, MANAGER_TRANSACTION_SECONDS

log = logger(__name__)

BATCH = 1000
WAIT_S = 0.2
SETTLE_S = 5.0
"""A new active manager reads for so long before it lets time pass: candidates that came while none was active
are fetched within some 100 ms, but not in the first moment."""


class Manager:
    """The alert manager. With more than one, the one that holds the partitions is active, the others wait.

    Its three topics have one partition each, and the range assignor gives partition 0 of every topic to the same
    member. The one that takes over first takes the transactional id, which fences whoever had it, and then restores
    the incidents, so that it never builds on a state that is still being written.

    Guarantee: each input leads to its incident states, history and notifications exactly once.

    Raises:
        ConfigError: the rule files are broken and there is no last good set.
        Unavailable: Kafka does not answer.
    """

    name = "manager"

    def __init__(self, settings: Settings, slot: int = 0) -> None:
        self._settings = settings
        self.health = Health(self.name, "rules", "kafka", "role")
        self._rules = RuleSource(settings.rules_path, lambda: last_good(settings))
        self._take_rules()
        self._out: TransactionalProducer | None = None
        self._book = Book()
        self._settled_at = 0.0
        self._steps = StepWatch()
        self._names = {settings.topic(name): name for name in TOPICS}
        self._in = consumer(
            settings.bootstrap,
            settings.group("manager"),
            group_instance_id=f"{settings.group('manager')}-slot{slot}",
            partition_assignment_strategy="range",
        )
        self._in.subscribe(
            list(self._names), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        self.health.set("kafka", True)
        self.health.set("role", True, "standby")
        self._probe = Probe(self._in, settings.topic(topics.CANDIDATES), self.health)

    def run_once(self) -> None:
        """Takes in what is there, or does what is due, and commits it."""
        if self._rules.changed():
            self._take_rules()
        messages = self._take()
        self._probe.look(read=bool(messages))
        if self._out is None:
            return
        try:
            self._commit(self._out, self._decide(messages), messages)
        except Aborted as error:
            log.warning("transaction aborted, starting again from what is committed", reason=str(error))
            self._start_again()

    def close(self) -> None:
        """Leaves; every round is committed already."""
        self._in.close()

    def _take(self) -> list[Message]:
        """What is there to read; errors are dealt with here."""
        messages = []
        for message in take(self._in, BATCH, WAIT_S):
            error = message.error()
            if error is None:
                messages.append(message)
                continue
            raise_if_fenced(error, "this manager")
            self.health.set("kafka", False, error.str())
            log.warning("cannot read", reason=error.str())
        return messages

    def _decide(self, messages: list[Message]) -> Decision:
        """What the input leads to, then what is due.

        Time passes only where no input waits, since that may keep an incident from resolving; behind a full batch
        there is more. A steady stream never stops it: what was silent must resolve while others are loud.
        """
        decisions = [self._book.clock_was_set(step)] if (step := self._steps.stepped_ms()) else []
        now_ms = _now_ms()
        decisions += [decide(self._book, self._engine, self._names[m.topic() or ""], m, now_ms) for m in messages]
        if len(messages) < BATCH and time.monotonic() >= self._settled_at:
            decisions.append(self._book.tick(now_ms))
        return joined(decisions)

    def _commit(self, transactions: TransactionalProducer, decision: Decision, messages: list[Message]) -> None:
        """States, history, notifications and offsets, in one transaction.

        Raises:
            Aborted: nothing of it was written; the book holds what was not written and must be restored.
            Fenced: another manager is active.
        """
        offsets = _next_offsets(messages)
        if not offsets and not decision.changed and not decision.forgotten:
            return
        topic, encode = self._settings.topic, msgspec.json.encode
        with MANAGER_TRANSACTION_SECONDS.time(), transactions.transaction() as out:
            for told in decision.notifications:
                out.produce(topic(topics.NOTIFICATIONS), key=told.incident.incident_id, value=encode(told))
            for incident in decision.changed:
                out.produce(topic(topics.INCIDENT_STATE), key=incident.incident_id, value=encode(incident))
            for incident in decision.forgotten:
                out.produce(topic(topics.INCIDENT_STATE), key=incident.incident_id, value=None)
            for event in decision.events:
                out.produce(topic(topics.INCIDENT_EVENTS), key=event.incident.incident_id, value=encode(event))
            transactions.send_offsets(self._in, offsets)
        for told in decision.notifications:
            MANAGER_NOTIFICATIONS.labels(told.action.value).inc()
        if decision.notifications or decision.forgotten:
            self._count_incidents()

    def _count_incidents(self) -> None:
        held = Counter(incident.state for incident in self._book.by_key.values())
        for state in IncidentState:
            MANAGER_INCIDENTS.labels(state.value).set(held[state])

    def _take_rules(self) -> None:
        self._engine = Engine(self._rules.rules)
        # The matcher raises the incident about a broken file; here it only shows in the health answer.
        self.health.set("rules", True, str(self._rules.broken or self._rules.rules.version))

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._take_over()

    def _take_over(self) -> None:
        self._out = TransactionalProducer(self._settings.bootstrap, self._settings.group("manager"))
        # The first transaction of a process is slow, and so must not be that of an alert. An empty one would not
        # reach the broker: this one writes a tombstone for an incident that never was.
        with self._out.transaction() as out:
            out.produce(self._settings.topic(topics.INCIDENT_STATE), key=b"warm-up", value=None)
        self._book = restored(self._settings)
        self._steps = StepWatch()
        self._settled_at = time.monotonic() + SETTLE_S
        self._count_incidents()
        self.health.set("role", True, "active")
        log.info("active", incidents=len(self._book.by_key))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._out, self._book = None, Book()
            self.health.set("role", True, "standby")
            log.info("standby")

    def _start_again(self) -> None:
        """Gives up what the aborted round decided, and reads its input again."""
        self._book = restored(self._settings)
        for at in self._in.committed(self._in.assignment(), timeout=10):
            self._in.seek(TopicPartition(at.topic, at.partition, max(at.offset, 0)))


def restored(settings: Settings) -> Book:
    """The incidents as they were last committed."""
    book = Book()
    for value in read_all(settings, topics.INCIDENT_STATE, wait_for_open=True).values():
        book.put(msgspec.json.decode(value, type=Incident))
    return book


def _next_offsets(messages: list[Message]) -> list[TopicPartition]:
    following: dict[tuple[str, int], int] = {}
    for message in messages:
        following[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in following.items()]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
