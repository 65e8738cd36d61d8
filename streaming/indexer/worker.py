"""The indexer: logs from Kafka into Elasticsearch, each exactly once by its id, offsets committed behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import msgspec

from streaming.dead_letters import DeadLetters, HaltGuard
from streaming.elastic import bulk
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import Refused, ensure_templates, make_index
from streaming.elastic.finished import LATE_MS, lift
from streaming.errors import Unavailable
from streaming.indexer import batch
from streaming.indexer.batch import Batch, Next, Request
from streaming.indexer.intake import Intake
from streaming.indexer.pace import MOST_IN_FLIGHT
from streaming.indexer.prepare import Preparer
from streaming.indexer.senders import Answered, Senders
from streaming.indexer.shapes import Shapes
from streaming.indexer.writer import Writer
from streaming.kafka import clients, topics
from streaming.kafka.delivery import Delivery
from streaming.retention.versions import read_retention
from streaming.retention.watch import RetentionWatch
from streaming.settings import Settings
from streaming.templates.announce import Announcer
from streaming.worker import metrics
from streaming.worker.health import Health
from streaming.worker.logs import logger

log = logger(__name__)

KAFKA, ELASTICSEARCH, RETENTION, CLASSES = "kafka", "elasticsearch", "retention", "retention-classes"

BATCHES_AHEAD = 1
"""Made ready while others are under way. At the most MOST_IN_FLIGHT + 1 batches of 5,000 * about 2 kB (record and item)
are 50 MB, and of the largest records 5 * 2 * BATCH_BYTES = 80 MB."""

PROBE_EVERY_S = 5.0

LOSS_SHOWN_S = 900.0
"""How long the health answer tells of records that Kafka deleted unread; the log and the metric tell of it for ever."""

HOLD_AFTER_S = 1.0
"""A batch that takes longer than this is waiting for Elasticsearch: the partitions are paused, the poll goes on."""

DRAIN_S = 5.0
"""On a rebalance, how long in-flight batches may take; the group waits for up to max.poll.interval.ms, 5 minutes."""

CLOSE_S = 3.0
"""A bulk request takes well under a second; the supervisor kills after 10 s, and leaving the group takes time too."""


class Indexer:
    """One worker of the group; any number share the partitions.

    Every record of the topic ends as a document, as a duplicate of one, as a dead letter, as expired (its day is
    past retention, counted) or, for beats and registrations, in the topic of its kind. Its offset is committed
    after that is durable, so a crash repeats records and never skips one; a repeated record answers "duplicate".
    While Elasticsearch is away nothing is read and nothing is lost; work goes on by itself within
    `backoff.LONGEST_S` of its return.
    """

    name = "indexer"

    def __init__(self, settings: Settings) -> None:
        self.health = Health(self.name, KAFKA, ELASTICSEARCH, CLASSES)
        self.health.set(RETENTION, True)
        self._settings = settings
        self._control = Connection(settings.elastic, timeout_s=5.0)
        self._templates_ready = False
        self._writer = Writer(Senders(settings.elastic, MOST_IN_FLIGHT))
        producer = clients.producer(settings.kafka, message_max_bytes=8 * topics.MIB)
        self._strays = Delivery(producer)
        self._dead_letters = DeadLetters(producer, settings.topic(topics.DEAD_LETTERS), self.name)
        self._guard = HaltGuard(settings.dead_letter_halt_ratio, settings.dead_letter_halt_run)
        self._shapes = Shapes(Announcer.connected(settings)) if settings.fingerprints else None
        self._retention = RetentionWatch(lambda: read_retention(settings), settings.retention_days)
        self._preparer = Preparer(settings.index_prefix, self._retention.known, shapes=self._shapes)
        self._intake = Intake(settings.kafka, settings.group(self.name), settings.topic(topics.LOGS), self._drain)
        self._batches: set[Batch] = set()
        self._waiting_since: float | None = None
        self._next_probe = 0.0
        self._trouble = "not yet asked"
        self._kafka_trouble = ""
        self._lost = 0
        self._loss_shown_until = 0.0

    def run_once(self) -> None:
        """One round.

        Raises:
            TooManyDeadLetters: most of what is read is refused.
            Unavailable: Kafka does not take dead letters, or reports a fatal error.
            Refused: Elasticsearch will not take the template.
        """
        if not self._templates_ready and not self._ensure():
            self._intake.hold()
            time.sleep(0.5)  # wait for a server that is starting; nothing else to do meanwhile
            return
        self._settle(wait_s=0)
        if not self._know_the_classes():
            self._wait()
        elif len(self._batches) < self._writer.pace.in_flight + BATCHES_AHEAD and not self._writer.in_trouble:
            self._waiting_since = None
            self._take()
        else:
            self._wait()
        self._intake.commit_if_due()
        self._probe_if_idle()
        self._note_kafka()
        self._note_gaps()

    def close(self) -> None:
        """Finishes what Elasticsearch takes within `CLOSE_S`, commits it, and leaves the group."""
        try:
            self._finish_until(time.monotonic() + CLOSE_S, lambda: bool(self._batches) and not self._trouble)
        finally:
            self._writer.close()
            self._intake.close()
            if self._shapes is not None:
                self._shapes.close()
            self._control.close()

    def _know_the_classes(self) -> bool:
        """Without them, records of today might go where no replay of them would find them."""
        if self._retention.looked():
            self._preparer.lines.renew(self._retention.known)
            log.info("retention classes known", versions=len(self._retention.known.declared))
        current = self._retention.is_current
        self.health.set(CLASSES, current, "" if current else self._retention.trouble)
        return current

    def _take(self) -> None:
        messages = self._intake.take(0.02 if self._batches else 0.5)
        if not messages:
            return
        prepared = self._preparer.prepare(messages)
        if self._shapes is not None:
            self._shapes.tick()
        metrics.INDEXER_READ.labels(self._intake.topic).inc(prepared.read)
        made, requests = batch.start(prepared, self._intake.begin(prepared.offsets))
        self._batches.add(made)
        self._writer.send(requests)
        if not requests:
            self._complete(made)

    def _wait(self) -> None:
        """All batches are under way: wait for one; meanwhile stay in the group."""
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since > HOLD_AFTER_S:
            self._intake.hold()
        self._settle(wait_s=0.2)

    def _settle(self, wait_s: float) -> None:
        """Deals with the answers that have come, and sends what is due."""
        for answered in self._writer.answers(wait_s):
            self._deal_with(answered)

    def _deal_with(self, answered: Answered) -> None:
        request, answer = answered.request, answered.answer
        if isinstance(answer, Unavailable):
            self._note(str(answer))
            follows = batch.unanswered(request, str(answer))
        else:
            read = bulk.read_answer(answer, len(request.positions), request.attempts)
            follows = batch.answered(request, read)
            if follows.blocked is None:
                self._note(f"Elasticsearch answers {follows.reason}: {follows.detail}" if follows.later else "")
        self._writer.learn(answered, follows)
        self._follow(follows)
        if not request.batch.outstanding:
            self._complete(request.batch)

    def _follow(self, follows: Next) -> None:
        self._writer.send(follows.now)
        if follows.later is not None:
            metrics.INDEXER_RETRIES.labels(follows.reason).inc()
            self._writer.send_later(follows.later, follows.retry_after_s)
        if follows.no_index is not None:
            self._make_indices(follows.no_index)
        if follows.blocked is not None:
            self._open_indices(follows.blocked, f"{follows.reason}: {follows.detail}")

    def _open_indices(self, request: Request, why: str) -> None:
        """Lets indices that roll has finished take records that came late. For any other block (a reindexing, an
        operator's) it waits, as for the server itself."""
        try:
            opened = lift(self._control, request.indices(), time.time_ns() // 1_000_000 + LATE_MS)
        except (Unavailable, Refused) as error:
            opened, why = [], str(error)
        if opened:
            log.warning("finished indices opened for records that came late", indices=opened)
            metrics.INDICES_OPENED.inc(len(opened))
        else:
            self._note(f"Elasticsearch answers {why}")
            metrics.INDEXER_RETRIES.labels("blocked").inc()
        self._writer.send_later(request, None)

    def _make_indices(self, request: Request) -> None:
        """Makes the missing indices of a request (but never one that is past retention) and sends it again."""
        try:
            # Again, once a day and index: a server that came back empty has lost its templates too.
            ensure_templates(self._settings, self._control)
            for name in sorted(filter(self._preparer.is_kept, request.indices())):
                make_index(self._control, name)
        except Unavailable as error:
            self._note(str(error))
            self._writer.send_later(request, None)
            return
        for again in batch.index_is_there(request, self._preparer.is_kept):
            if again.attempts <= 1:
                self._writer.send([again])
            else:
                self._writer.send_later(again, None)

    def _complete(self, done: Batch) -> None:
        """In this order: is the share of dead letters bearable; letters and strays into Kafka; then the offsets."""
        self._guard.observe(done.prepared.read, done.letters)
        for letter in done.letters:
            self._dead_letters.send(letter)
        for stray in done.prepared.strays:
            headers = [(n, v) for n, v in dict(stray.message.headers() or []).items() if isinstance(v, bytes)]
            topic = self._settings.topic(stray.topic)
            self._strays.send(topic, stray.message.value(), key=stray.node_id, headers=headers)
        self._dead_letters.settle()
        self._strays.settle()
        self._batches.discard(done)
        self._intake.finish(done.spans)
        metrics.INDEXER_INDEXED.inc(done.indexed)
        metrics.INDEXER_DUPLICATES.inc(done.duplicates)
        metrics.INDEXER_EXPIRED.inc(done.expired)
        for reason, count in done.reasons.items():
            metrics.INDEXER_DEAD_LETTERS.labels(reason).inc(count)

    def _drain(self, partitions: Collection[int]) -> None:
        """Partitions are about to go: finish what is in flight of them, if Elasticsearch lets us."""
        self._finish_until(time.monotonic() + DRAIN_S, lambda: self._intake.in_flight(partitions) > 0)

    def _finish_until(self, deadline: float, unfinished: Callable[[], bool]) -> None:
        while unfinished() and time.monotonic() < deadline:
            self._settle(wait_s=0.1)

    def _ensure(self) -> bool:
        """Templates first: an index made without them would keep a guessed mapping for its whole day."""
        try:
            report = ensure_templates(self._settings, self._control)
        except Unavailable as error:
            self._note(str(error))
            return False
        if report.changed or report.unrepairable:
            log.info("templates", **msgspec.to_builtins(vars(report)))
        self._templates_ready = True
        self._note("")
        return True

    def _probe_if_idle(self) -> None:
        """Without work nothing shows whether the servers are there."""
        now = time.monotonic()
        if self._batches or now < self._next_probe:
            return
        self._next_probe = now + PROBE_EVERY_S
        self._intake.probe()
        try:
            response = self._control.request("GET", "/_cluster/health?filter_path=status&timeout=1s")
            self._note("" if response.status < 400 else f"Elasticsearch is not ready: {response.error()}")
        except Unavailable as error:
            self._note(str(error))

    def _note_kafka(self) -> None:
        trouble = self._intake.trouble
        if trouble != self._kafka_trouble:
            if trouble:
                log.warning("kafka", trouble=trouble)
            self._kafka_trouble = trouble
        self.health.set(KAFKA, not trouble, trouble)

    def _note_gaps(self) -> None:
        """Records that Kafka's retention took before they were read are lost: never without a word."""
        now = time.monotonic()
        for gap in self._intake.gaps:
            metrics.INDEXER_SKIPPED.labels(self._intake.topic, str(gap.partition)).inc(gap.lost)
            log.error("records deleted by Kafka before they were read", topic=self._intake.topic, **gap._asdict())
            self._lost += gap.lost
            self._loss_shown_until = now + LOSS_SHOWN_S
        self._intake.gaps.clear()
        shown = now < self._loss_shown_until
        self.health.set(
            RETENTION,
            not shown,
            f"{self._lost} records were deleted by Kafka's retention before they were read. More indexers, or a longer "
            f"retention of {self._intake.topic}"
            if shown
            else "",
        )

    def _note(self, trouble: str) -> None:
        """States what Elasticsearch is like; logs when that changes."""
        if bool(trouble) != bool(self._trouble):
            if trouble:
                log.warning("elasticsearch unavailable", reason=trouble)
            else:
                log.info("elasticsearch available")
        self._trouble = trouble
        self.health.set(ELASTICSEARCH, not trouble, f"elasticsearch unavailable: {trouble}" if trouble else "")
