"""The manager's loop: candidates, node states and orders in; states, history and notifications out."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from streaming.alerting.desk import Desk
from streaming.alerting.incidents.decision import Decision, joined
from streaming.alerting.manager.inputs import TOPICS, read_input
from streaming.alerting.manager.kept import KeptState
from streaming.alerting.messages import IncidentState
from streaming.alerting.rules.source import RuleSource, last_good
from streaming.errors import Unavailable
from streaming.kafka import topics
from streaming.kafka.assigning import at_committed
from streaming.kafka.clients import consumer, take
from streaming.kafka.probe import Probe
from streaming.kafka.ranges import RangeReader
from streaming.kafka.transactions import Aborted, TransactionalProducer, raise_if_fenced
from streaming.settings import Settings
from streaming.worker.clock import StepWatch
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import MANAGER_INCIDENTS, MANAGER_NOTIFICATIONS, MANAGER_TRANSACTION_SECONDS

log = logger(__name__)

BATCH = 1000
WAIT_S = 0.2
FOLLOW_EVERY_S = 0.5
HEARTBEATS_A_SESSION = 6
"""A standby hears with its own heartbeat that the active one is given up: half a second after a session of 3 s."""

TICK_EVERY_S = 5.0
"""Behind full batches time passes no later than so: a backlog must not hold up escalations, repeats and updates until
it is read."""

SETTLE_S = 5.0
"""A new active manager reads for so long before it lets time pass: candidates that came while none was active
are fetched within some 100 ms, but not in the first moment."""


class Manager:
    """The alert manager. With more than one, the one that holds the partitions is active, the others wait.

    Its topics have one partition each, and the range assignor gives partition 0 of every topic to the same
    member. The one that takes over first takes the transactional id, which fences whoever had it, and then reads its
    state to the end, so that it never builds on one that is still being written. A standby follows the state as it is
    written, so that little is left to read then.

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
        self._out: TransactionalProducer | None = None
        self._desk = Desk(self._rules.rules)
        self._show_rules()
        self._settled_at = self._ticked_at = 0.0
        self._steps = StepWatch()
        self._names = {settings.topic(name): name for name in TOPICS}
        self._in = consumer(
            settings.kafka,
            settings.group("manager"),
            group_instance_id=f"{settings.group('manager')}-slot{slot}",
            partition_assignment_strategy="range",
            session_timeout_ms=round(settings.manager_session_s * 1000),
            heartbeat_interval_ms=round(settings.manager_session_s * 1000) // HEARTBEATS_A_SESSION,
        )
        self._in.subscribe(
            list(self._names), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        # Once, and by another client: `list_topics` within a callback of this one would end the process, for it takes
        # away the state of the call that the callback came in (confluent_kafka's CallState; `committed` does not).
        with RangeReader(settings) as reader:
            self._partitions = len(reader.partitions(settings.topic(topics.LOGS))) or None
        self._kept: KeptState | None = self._kept_state()
        self._kept.follow()
        self._followed_at = time.monotonic()
        self.health.set("kafka", True)
        self.health.set("role", True, "standby")
        self._probe = Probe(self._in, settings.topic(topics.CANDIDATES), self.health)

    def run_once(self) -> None:
        """Takes in what is there, or does what is due, and commits it."""
        if self._rules.changed():
            self._show_rules()
        messages = self._take()
        self._probe.look(read=bool(messages))
        if self._out is None:
            self._stand_by()
            return
        try:
            self._commit(self._out, self._decide(messages), messages)
        except Aborted as error:
            log.warning("transaction aborted, starting again from what is committed", reason=str(error))
            self._start_again()

    def close(self) -> None:
        """Leaves; every round is committed already."""
        self._in.close()
        if self._kept is not None:
            self._kept.close()

    def _stand_by(self) -> None:
        if self._kept is None or time.monotonic() - self._followed_at < FOLLOW_EVERY_S:
            return
        try:
            self._kept.follow()
        except Unavailable as error:
            log.warning("cannot follow the state", reason=str(error))
        self._followed_at = time.monotonic()

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

        Time passes where no input waits, since that may keep an incident from resolving; behind a full batch there is
        more, and it passes only every `TICK_EVERY_S`. A steady stream never stops it: what was silent must resolve
        while others are loud.
        """
        desk = self._desk
        decisions = [desk.clock_was_set(step)] if (step := self._steps.stepped_ms()) else []
        now_ms = _now_ms()
        if desk.rules is not self._rules.rules:
            decisions.append(desk.take_rules(self._rules.rules, now_ms))
        for message in messages:
            given = read_input(self._names[message.topic() or ""], message)
            if given is not None:
                decisions.append(desk.take(given, now_ms))
        at = time.monotonic()
        if at >= self._settled_at and (len(messages) < BATCH or at - self._ticked_at >= TICK_EVERY_S):
            decisions.append(desk.tick(now_ms))
            self._ticked_at = at
        return joined(decisions)

    def _commit(self, transactions: TransactionalProducer, decision: Decision, messages: list[Message]) -> None:
        """States, history, notifications and offsets, in one transaction.

        Raises:
            Aborted: nothing of it was written; the book holds what was not written and must be restored.
            Fenced: another manager is active.
        """
        offsets = _next_offsets(messages)
        if not offsets and not decision.changed and not decision.forgotten and not decision.kept:
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
            for kept in decision.kept:
                out.produce(topic(kept.topic), key=kept.key, value=None if kept.value is None else encode(kept.value))
            transactions.send_offsets(self._in, offsets)
        for told in decision.notifications:
            MANAGER_NOTIFICATIONS.labels(told.action.value).inc()
        if decision.notifications or decision.forgotten:
            self._count_incidents()

    def _count_incidents(self) -> None:
        held = Counter(incident.state for incident in self._desk.book.by_key.values())
        for state in IncidentState:
            MANAGER_INCIDENTS.labels(state.value).set(held[state])

    def _show_rules(self) -> None:
        # The matcher raises the incident about a broken file; here it only shows in the health answer.
        self.health.set("rules", True, str(self._rules.broken or self._rules.rules.version))

    def _on_assign(self, source: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._take_over()
        # After the transactional id was taken over: nothing that another one began is committed any more.
        source.assign(at_committed(source, partitions))

    def _take_over(self) -> None:
        self._out = TransactionalProducer(self._settings.kafka, self._settings.group("manager"))
        # The first transaction of a process is slow, and so must not be that of an alert. An empty one would not
        # reach the broker: this one writes a tombstone for an incident that never was.
        with self._out.transaction() as out:
            out.produce(self._settings.topic(topics.INCIDENT_STATE), key=b"warm-up", value=None)
        self._restore()
        self._steps = StepWatch()
        self._settled_at = self._ticked_at = time.monotonic() + SETTLE_S
        self._count_incidents()
        self.health.set("role", True, "active")
        log.info("active", incidents=len(self._desk.book.by_key))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._out, self._desk = None, Desk(self._rules.rules)
            self._kept = self._kept_state()
            self.health.set("role", True, "standby")
            log.info("standby")

    def _start_again(self) -> None:
        """Gives up what the aborted round decided, and reads its input again."""
        self._restore()
        for at in at_committed(self._in, self._in.assignment()):
            self._in.seek(TopicPartition(at.topic, at.partition, max(at.offset, 0)))

    def _restore(self) -> None:
        """Takes over all that was known when it was last committed."""
        kept, self._kept = self._kept or self._kept_state(), None
        with closing(kept):
            kept.follow(wait_for_open=True)
            self._desk = kept.desk(self._rules.rules)

    def _kept_state(self) -> KeptState:
        return KeptState(self._settings, self._rules.rules, self._partitions)


def _next_offsets(messages: list[Message]) -> list[TopicPartition]:
    following: dict[tuple[str, int], int] = {}
    for message in messages:
        following[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in following.items()]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
