"""The matcher's loop: logs in; findings, marks and offsets out in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from streaming.alerting.candidates import from_broken_rules, from_good_rules
from streaming.alerting.matcher.ends import Ends
from streaming.alerting.matcher.evaluation import Evaluation
from streaming.alerting.matcher.intake import Intake
from streaming.alerting.matcher.marks import Marks
from streaming.alerting.matcher.pace import COMMIT_EVERY_S, Pace
from streaming.alerting.matcher.reached import Reached
from streaming.alerting.messages import AuditEntry, Finding, Order, Progress, incident_key
from streaming.alerting.rules.source import RuleSource, last_good, records_of
from streaming.errors import VigilError
from streaming.kafka import topics
from streaming.kafka.assigning import at_committed
from streaming.kafka.clients import consumer, take
from streaming.kafka.compacted import read_all
from streaming.kafka.probe import Probe
from streaming.kafka.transactions import Aborted, TransactionalProducer, raise_if_fenced
from streaming.settings import Settings
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import MATCHER_CANDIDATES, MATCHER_DROPPED, MATCHER_READ, MATCHER_REPEATED, MATCHER_RULES

log = logger(__name__)

BATCH = 2000
"""Records a round: 2,000 x 10 us = 20 ms at most between reading a log and emitting its candidate."""

WAIT_S = 0.2
"""For a log, where nothing is to be committed before."""

ASK_AFTER_S = 0.6
"""After progress was told, the ends of idle partitions are asked for: the answers are there before it is told again,
two rounds of an idle stream (`WAIT_S`) later."""


class Matcher:
    """One of the matchers that share the partitions of `logs`; `slot` tells them apart.

    Guarantee: each record is counted in exactly one committed finding for each rule that it concerns, also across
    SIGKILL, rebalance and repeated records (exact where records carry coordinates). What fires is committed after the
    round that read it; counts and values somewhat later (`pace.py`).

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
        self._out = TransactionalProducer(settings.kafka, self._slot_id)
        self._marks, self._reached = Marks(), Reached()
        self._intake = Intake(self._marks, self._reached)
        self._owned: set[int] = set()
        self._rewound: set[int] = set()
        """Partitions that were sent back to what is committed since they were last read from."""
        self._stale = False
        self._failed = False
        self._told_at = time.monotonic()
        self._pace = Pace(self._told_at)
        self._wait_s = WAIT_S
        self._ends = Ends(settings.kafka, settings.topic(topics.LOGS))
        self._ask_at = self._told_at
        self._evaluation = Evaluation(self._rules.rules)
        self._take_rules()
        self._in = consumer(
            settings.kafka,
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
            # Marks and offsets may be ahead of the counts, so they must not be committed on the way out.
            self._failed = True
            raise

    def _round(self) -> None:
        if self._rules.changed():
            self._commit_or_rewind()  # what was counted by the rules so far
            self._take_rules()
        messages = self._read()
        good = [message for message in messages if message.error() is None]
        if len(good) < len(messages):
            for message in messages:
                self._look_at_error(message)
        self._evaluate(good)
        self._probe.look(read=bool(good))
        self._look_for_ends()
        evaluation, behind, now = self._evaluation, len(messages) == BATCH, time.monotonic()
        due = self._pace.due_s(now, fires=evaluation.urgent, counts=bool(evaluation), behind=behind)
        if due <= now:
            self._commit_or_rewind()
        # What fired so soon after a commit that it was not due yet must not wait for another log.
        self._wait_s = WAIT_S if due <= now else min(WAIT_S, due - now)

    def _read(self) -> list[Message]:
        """What is there to read. A rebalance meanwhile may send partitions back to what is committed: which of their
        records were fetched before that nobody can tell, so all of them are left and read again."""
        rewound = self._rewound
        rewound.clear()
        messages = take(self._in, BATCH, self._wait_s)
        rewound &= self._owned
        if not rewound:
            return messages
        self._seek(self._committed(rewound))
        return [message for message in messages if message.error() is not None or message.partition() not in rewound]

    def _evaluate(self, messages: list[Message]) -> None:
        intake = self._intake
        self._evaluation.now_ms = time.time_ns() // 1_000_000
        read, repeated = intake.read, intake.repeated
        intake.take(messages, self._owned, self._evaluation)
        MATCHER_READ.inc(intake.read - read)
        MATCHER_REPEATED.inc(intake.repeated - repeated)

    def close(self) -> None:
        """Commits what is in hand and leaves."""
        try:
            self._commit()
        except (Aborted, VigilError) as error:
            log.warning("not committed at the end; it will be read again", reason=str(error))
        self._in.close()

    def _commit_or_rewind(self) -> None:
        try:
            self._commit()
        except Aborted as error:
            log.warning("transaction aborted, reading again from what is committed", reason=str(error))
            self._rewind()

    def _commit(self) -> None:
        """Findings, progress, marks and offsets of everything read so far, in one transaction.

        Raises:
            Aborted: nothing of it was written.
            Fenced: another process runs this slot.
        """
        if self._failed:
            return
        began = time.monotonic()
        findings = self._evaluation.findings()
        try:
            self._commit_all(findings)
        finally:
            self._pace.committed(began, time.monotonic(), len(findings))

    def _commit_all(self, findings: list[Finding]) -> None:
        progress = self._progress()
        offsets = self._intake.offsets
        if not offsets and progress is None:
            return
        told = [*findings, progress] if progress is not None else findings
        # What fails within the transaction ends the matcher, and the next one, which reads the same logs.
        encoded = [record for one in told if (record := _encoded(one)) is not None]
        with self._out.transaction() as out:
            for name, written in encoded:
                out.produce(self._settings.topic(topics.CANDIDATES), key=name, value=written)
            for key, value in self._marks.moved(time.time_ns() // 1_000_000):
                out.produce(self._settings.topic(topics.MATCHER_MARKS), key=key, value=value)
            logs = self._settings.topic(topics.LOGS)
            self._out.send_offsets(self._in, [TopicPartition(logs, p, o) for p, o in offsets.items()])
        self._evaluation.committed()
        self._marks.saved()
        offsets.clear()
        if progress is not None:
            self._told_at = time.monotonic()
            self._ask_at = self._told_at + ASK_AFTER_S
        for finding in findings:
            if not isinstance(finding, Progress):
                MATCHER_CANDIDATES.labels(finding.rule_id).inc()

    def _progress(self) -> Progress | None:
        """How far this matcher has read, once a second; None where it is not time, or it owns nothing."""
        now = time.monotonic()
        if now - self._told_at < COMMIT_EVERY_S or not self._owned:
            return None
        return Progress(
            matcher=self._slot_id, partitions=self._reached.told(), rules_version=self._evaluation.rules.version
        )

    def _look_for_ends(self) -> None:
        """How far partitions were read of which nothing comes: to their ends, as they were when that was asked."""
        for end in self._ends.answers():
            self._reached.ends(*end)
        now = time.monotonic()
        if now >= self._ask_at and self._owned and not self._ends.awaited:
            self._ends.ask(self._reached.idle(), time.time_ns() // 1_000_000)
            self._ask_at = now + COMMIT_EVERY_S

    def _emit(self, finding: Finding) -> None:
        """Something that Vigil tells of itself."""
        self._out.producer.produce(
            self._settings.topic(topics.CANDIDATES), key=_key(finding), value=msgspec.json.encode(finding)
        )

    def _take_rules(self) -> None:
        """Brings the rules into force, keeps them as the last good set, and tells whether the files are good.

        At the start this is also the first transaction, which is slow and so must not be that of an alert.
        """
        rules, broken = self._rules.rules, self._rules.broken
        now_ms = time.time_ns() // 1_000_000
        if rules.version != self._evaluation.rules.version:
            self._evaluation = Evaluation(rules)
        with self._out.transaction() as out:
            if broken is None:
                for key, value in records_of(rules):
                    out.produce(self._settings.topic(topics.RULE_SETS), key=key, value=value)
                self._emit(from_good_rules(rules.version, now_ms))
            else:
                self._emit(from_broken_rules(broken, kept_version=rules.version, now_ms=now_ms))
            applied = AuditEntry(
                at_ms=now_ms,
                author=self._slot_id,
                order=Order.APPLY_RULES,
                target=rules.version,
                reason=f"last good set, since {broken}" if broken else "",
                outcome="done",
            )
            out.produce(self._settings.topic(topics.AUDIT), key=rules.version, value=msgspec.json.encode(applied))
        MATCHER_RULES.set(sum(rule.enabled for rule in rules.rules))
        # A worker that alerts by the last good set does its work: the incident tells of the file.
        self.health.set("rules", True, f"last good set {rules.version}: {broken}" if broken else rules.version)
        log.info("rules in force", version=rules.version, rules=len(rules.rules), broken=str(broken or ""))

    def _on_assign(self, source: Consumer, partitions: list[TopicPartition]) -> None:
        if self._stale:
            self._out, self._stale = TransactionalProducer(self._settings.kafka, self._slot_id), False
        self._restore([p.partition for p in partitions])
        placed = at_committed(source, partitions)
        source.incremental_assign(placed)
        self._reached.begin({at.partition: at.offset for at in placed})
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
        """Forgets what was read of these partitions. What was counted of them goes with all of it: it was not
        committed, and all that is in hand is read again."""
        self._owned.difference_update(partitions)
        self._marks.forget(partitions)
        self._reached.forget(partitions)
        if any(partition in self._intake.offsets for partition in partitions):
            self._rewind(without=set(partitions))

    def _restore(self, partitions: list[int]) -> None:
        if partitions:
            records = read_all(self._settings, topics.MATCHER_MARKS, wait_for_open=True)
            self._marks.restore(partitions, records, time.time_ns() // 1_000_000)

    def _rewind(self, without: set[int] | None = None) -> None:
        """Back to what is committed: nothing of the counts was written, so their records must be read again."""
        self._evaluation.clear()
        touched = [p for p in self._intake.offsets if p not in (without or set())]
        self._intake.offsets.clear()
        self._restore(touched)
        committed = self._committed(touched)
        self._reached.begin(committed)
        self._rewound.update(touched)
        self._seek(committed)

    def _seek(self, committed: dict[int, int]) -> None:
        logs = self._settings.topic(topics.LOGS)
        for partition, offset in committed.items():
            self._in.seek(TopicPartition(logs, partition, offset if offset >= 0 else OFFSET_BEGINNING))

    def _committed(self, partitions: Iterable[int]) -> dict[int, int]:
        """The committed offsets; below 0 where there is none."""
        logs = self._settings.topic(topics.LOGS)
        asked = [TopicPartition(logs, p) for p in partitions]
        return {at.partition: at.offset for at in at_committed(self._in, asked)}

    def _look_at_error(self, message: Message) -> None:
        error = message.error()
        if error is None:
            return
        raise_if_fenced(error, self._slot_id)
        self.health.set("kafka", False, error.str())
        log.warning("cannot read", reason=error.str())


def _key(finding: Finding) -> bytes:
    key = finding.matcher if isinstance(finding, Progress) else incident_key(finding.rule_id, finding.group)
    return key.encode("utf-8", "replace")


def _encoded(finding: Finding) -> tuple[bytes, bytes] | None:
    """Its key and value in topic `candidates`; None for one that JSON cannot hold, which is counted and logged.

    Logs are cleaned where they are read (of lone surrogates), so none is known. Were there one
    all the same, that alert would be lost, and all others would go on.
    """
    try:
        return _key(finding), msgspec.json.encode(finding)
    except (UnicodeEncodeError, msgspec.MsgspecError) as error:
        rule = "" if isinstance(finding, Progress) else finding.rule_id
        MATCHER_DROPPED.labels(rule).inc()
        log.error("a finding cannot be written and is dropped", rule=rule, reason=type(error).__name__)
        return None
