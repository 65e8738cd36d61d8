"""The matcher's loop: logs in; candidates, marks and offsets out in one transaction."""

from __future__ import annotations

import time

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from streaming.alerting.candidates import RULES_KEY, from_broken_rules
from streaming.alerting.engine import Engine
from streaming.alerting.matcher.marks import Marks
from streaming.alerting.matcher.tally import Tally
from streaming.alerting.messages import Candidate, Command, Order
from streaming.alerting.rules.source import RuleSource, last_good, records_of
from streaming.errors import VigilError
from streaming.events.model import LogEvent
from streaming.events.parse import parse
from streaming.kafka import topics
from streaming.kafka.clients import consumer, take
from streaming.kafka.compacted import read_all
from streaming.kafka.probe import Probe
from streaming.kafka.records import Record, read_record
from streaming.kafka.transactions import Aborted, TransactionalProducer, raise_if_fenced
from streaming.settings import Settings
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import MATCHER_CANDIDATES, MATCHER_READ, MATCHER_REPEATED, MATCHER_RULES

log = logger(__name__)

BATCH = 2000
"""Records a round: 2,000 x 15 us = 30 ms at most between reading a log and emitting its candidate."""

WAIT_S = 0.2
COMMIT_EVERY_S = 1.0
"""Offsets and marks of logs that fired nothing are committed this often; after a crash so much is read again,
with the marks of that time, and again fires nothing."""


class Matcher:
    """One of the matchers that share the partitions of `logs`; `slot` tells them apart.

    Guarantee: each record is counted in exactly one committed candidate for each rule that it fires, also across
    SIGKILL, rebalance and repeated records (exact where records carry coordinates).

    Raises:
        ConfigError: the rule files are broken and there is no last good set.
        Unavailable: Kafka does not answer.
    """

    name = "matcher"

    def __init__(self, settings: Settings, slot: int = 0) -> None:
        self._settings = settings
        self.health = Health(self.name, "rules", "kafka", "assigned")
        self._rules = RuleSource(settings.rules_path, lambda: last_good(settings))
        self._slot_id = f"{settings.group('matcher')}-slot{slot}"
        self._out = TransactionalProducer(settings.bootstrap, self._slot_id)
        self._marks, self._tally = Marks(), Tally()
        self._offsets: dict[int, int] = {}
        self._owned: set[int] = set()
        self._stale = False
        self._failed = False
        self._committed_at = time.monotonic()
        self._take_rules()
        self._in = consumer(
            settings.bootstrap,
            settings.group("matcher"),
            group_instance_id=self._slot_id,
        )
        self._in.subscribe(
            [settings.topic(topics.LOGS)],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

        self.health.set("kafka", True)
        self._probe = Probe(self._in, settings.topic(topics.LOGS), self.health)

    def run_once(self) -> None:
        """Reads what is there, evaluates it, and commits at once where something fired."""
        try:
            self._round()
        except BaseException:
            # Marks and offsets may be ahead of the tally, so they must not be committed on the way out.
            self._failed = True
            raise

    def _round(self) -> None:
        if self._rules.changed():
            self._take_rules()
        messages = take(self._in, BATCH, WAIT_S)
        self._evaluate(messages)
        self._probe.look(read=any(message.error() is None for message in messages))
        if self._tally or (self._offsets and time.monotonic() - self._committed_at >= COMMIT_EVERY_S):
            try:
                self._commit()
            except Aborted as error:
                log.warning("transaction aborted, reading again from what is committed", reason=str(error))
                self._rewind()

    def close(self) -> None:
        """Commits what is in hand and leaves."""
        try:
            self._commit()
        except (Aborted, VigilError) as error:
            log.warning("not committed at the end; it will be read again", reason=str(error))
        self._in.close()

    def _evaluate(self, messages: list[Message]) -> None:
        read = repeated = 0
        for message in messages:
            if message.error() is not None:
                self._on_error(message)
                continue
            record = read_record(message)
            # One that was fetched before a rebalance took its partition away is its next owner's.
            if record.partition not in self._owned:
                continue
            self._offsets[record.partition] = record.offset + 1
            if not self._is_new(record):
                repeated += 1
                continue
            event = parse(record.value, received_ns=record.received_ns, event_ns=record.event_ns, tag=record.tag)
            # What cannot be read is the indexer's to dead-letter.
            if not isinstance(event, LogEvent):
                continue
            read += 1
            for rule in self._engine.match(event):
                self._tally.add(rule, event, source=record.source, received_ms=record.received_ns // 1_000_000)
        MATCHER_READ.inc(read)
        MATCHER_REPEATED.inc(repeated)

    def _is_new(self, record: Record) -> bool:
        if record.replay is not None:
            return self._marks.passes_replayed(record.partition, record.replay)
        return record.coordinates is None or self._marks.passes(record.partition, record.coordinates)

    def _commit(self) -> None:
        """Candidates, marks and offsets of everything read so far, in one transaction.

        Raises:
            Aborted: nothing of it was written.
            Fenced: another process runs this slot.
        """
        self._committed_at = time.monotonic()
        if self._failed or not self._offsets:
            return
        candidates = self._tally.candidates()
        with self._out.transaction() as out:
            for candidate in candidates:
                self._emit(candidate)
            for key, value in self._marks.moved(time.time_ns() // 1_000_000):
                out.produce(self._settings.topic(topics.MATCHER_MARKS), key=key, value=value)
            logs = self._settings.topic(topics.LOGS)
            self._out.send_offsets(self._in, [TopicPartition(logs, p, o) for p, o in self._offsets.items()])
        self._tally.clear()
        self._marks.saved()
        self._offsets.clear()
        for candidate in candidates:
            MATCHER_CANDIDATES.labels(candidate.rule_id).inc()

    def _emit(self, candidate: Candidate) -> None:
        self._out.producer.produce(
            self._settings.topic(topics.CANDIDATES),
            key=candidate.incident_key.encode("utf-8", "replace"),
            value=msgspec.json.encode(candidate),
        )

    def _take_rules(self) -> None:
        """Brings the rules into force, keeps them as the last good set, and tells whether the files are good.

        At the start this is also the first transaction, which is slow and so must not be that of an alert.
        """
        rules, broken = self._rules.rules, self._rules.broken
        now_ms = time.time_ns() // 1_000_000
        self._engine = Engine(rules)
        with self._out.transaction() as out:
            if broken is None:
                for key, value in records_of(rules):
                    out.produce(self._settings.topic(topics.RULE_SETS), key=key, value=value)
                good = Command(
                    order=Order.RESOLVE,
                    author=self._slot_id,
                    at_ms=now_ms,
                    incident_key=RULES_KEY,
                    reason=f"the rule files are good; rule set {rules.version} is in force",
                )
                out.produce(self._settings.topic(topics.COMMANDS), key=RULES_KEY, value=msgspec.json.encode(good))
            else:
                self._emit(from_broken_rules(broken, kept_version=rules.version, now_ms=now_ms))
        MATCHER_RULES.set(sum(rule.enabled for rule in rules.rules))
        # A worker that alerts by the last good set does its work: the incident tells of the file.
        self.health.set("rules", True, f"last good set {rules.version}: {broken}" if broken else rules.version)
        log.info("rules in force", version=rules.version, rules=len(rules.rules), broken=str(broken or ""))

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if self._stale:
            self._out, self._stale = TransactionalProducer(self._settings.bootstrap, self._slot_id), False
        self._restore([p.partition for p in partitions])
        self._owned.update(p.partition for p in partitions)
        self.health.set("assigned", True)
        log.info("assigned", partitions=[p.partition for p in partitions])

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            self._commit()
        except Aborted as error:
            log.warning("not committed before the partitions went; their next owner reads again", reason=str(error))
        self._let_go(partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        # Kafka was away for longer than the session. A transactional client from before may never find the group's
        # coordinator again (see `TransactionalProducer.send_offsets`).
        self._stale = True
        self._let_go(partitions)

    def _let_go(self, partitions: list[TopicPartition]) -> None:
        self._drop([p.partition for p in partitions])
        log.info("revoked", partitions=[p.partition for p in partitions])

    def _drop(self, partitions: list[int]) -> None:
        """Forgets what was read of these partitions. What the tally holds of them goes with all of it: it was not
        committed, and all that is in hand is read again."""
        self._owned.difference_update(partitions)
        self._marks.forget(partitions)
        if any(partition in self._offsets for partition in partitions):
            self._rewind(without=set(partitions))
        for partition in partitions:
            self._offsets.pop(partition, None)

    def _restore(self, partitions: list[int]) -> None:
        if partitions:
            records = read_all(self._settings, topics.MATCHER_MARKS, wait_for_open=True)
            self._marks.restore(partitions, records, time.time_ns() // 1_000_000)

    def _rewind(self, without: set[int] | None = None) -> None:
        """Back to what is committed: nothing of the tally was written, so its records must be read again."""
        self._tally.clear()
        touched = [p for p in self._offsets if p not in (without or set())]
        self._offsets.clear()
        logs = self._settings.topic(topics.LOGS)
        self._restore(touched)
        if not touched:
            return
        for at in self._in.committed([TopicPartition(logs, p) for p in touched], timeout=10):
            offset = at.offset if at.offset >= 0 else OFFSET_BEGINNING
            self._in.seek(TopicPartition(logs, at.partition, offset))

    def _on_error(self, message: Message) -> None:
        error = message.error()
        assert error is not None
        raise_if_fenced(error, self._slot_id)
        self.health.set("kafka", False, error.str())
        log.warning("cannot read", reason=error.str())
