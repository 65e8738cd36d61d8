"""The indexer's side of Kafka: batches in, finished spans back, offsets committed, membership kept while it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streaming.errors import Unavailable
from streaming.kafka import clients
from streaming.kafka.access import KafkaAccess
from streaming.kafka.assigning import at_committed
from streaming.kafka.gaps import Gap, GapWatch
from streaming.kafka.offsets import OffsetTracker, Span
from streaming.worker.logs import logger

log = logger(__name__)

BATCH_RECORDS = 5_000
BATCH_BYTES = 8 * 1024 * 1024
"""5,000 usual records are 1.5 MB. Of larger ones a batch takes fewer, so that three batches stay in bounded memory."""

QUEUE_KBYTES = 8 * 1024
"""What librdkafka fetches ahead: 25,000 usual records, five batches. Each takes half a kilobyte more than its bytes."""
FETCH_AGAIN_MS = 50
"""After the queue was full. librdkafka waits a second, in which five batches are done and the indexer runs dry."""

LINGER_S = 0.1
"""After the first record, how long a batch waits for more: each bulk request costs the server an fsync, and what is
indexed shows only after the next refresh, up to 1 s later."""

COMMIT_EVERY_S = 0.5

COMMITTED_WITHIN_S = 10.0
"""The group's coordinator may be moving; a longer silence ends the worker, and the next one asks again."""

PROBE_WITHIN_S = 2.0
"""Of the broker, while idle; one that is up answers in milliseconds."""


class Intake:
    """One consumer of one topic in one group. For one thread; `drain` is called in `take` and `hold` (see `Consumer`).

    `drain(partitions)` is called when partitions are about to go to another member: it should finish what is in
    flight of them within a few seconds. What is finished then is committed, the rest is left to the other member.
    """

    def __init__(self, kafka: KafkaAccess, group: str, topic: str, drain: Callable[[Collection[int]], None]) -> None:
        self.topic = topic
        self._drain = drain
        self._tracker = OffsetTracker()
        self._watch = GapWatch()
        self.gaps: list[Gap] = []
        """What Kafka deleted unread, found since this was last emptied."""
        self._assigned: set[int] = set()
        self._paused: set[int] = set()
        self._held: list[Message] = []
        self._limit = BATCH_RECORDS
        self._last_commit = time.monotonic()
        self.trouble = "not yet a member of the consumer group"
        """Why nothing can be read; empty if all is well."""
        # The queue is bounded by bytes in clients.consumer; the default of 100,000 records would not fill batches.
        self._consumer: Consumer = clients.consumer(
            kafka,
            group,
            queued_min_messages=200_000,
            queued_max_messages_kbytes=QUEUE_KBYTES,
            fetch_queue_backoff_ms=FETCH_AGAIN_MS,
        )
        self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    @property
    def assigned(self) -> set[int]:
        """Partitions that are ours now."""
        return self._assigned

    def take(self, timeout_s: float) -> list[Message]:
        """The next batch, of records only; empty if none came within `timeout_s`.

        Raises:
            Unavailable: Kafka reports an error that does not pass.
        """
        self._resume(self._paused)
        first = self._consumer.poll(0 if self._held else timeout_s)
        more: list[Message] = []
        if first is not None:
            # Held, not kept here: a rebalance within `consume` lets go of what is no longer ours. Of its own records
            # librdkafka drops those by itself.
            self._held.append(first)
            more = self._consumer.consume(self._limit, LINGER_S)
        found, self._held = self._held + more, []
        records = [m for m in found if self._is_record(m) and m.partition() in self._assigned]
        self._adapt(records)
        return records

    def hold(self) -> None:
        """Stays in the group without taking records, while the server that they go to is away."""
        fresh = self._assigned - self._paused
        if fresh:
            self._consumer.pause([TopicPartition(self.topic, p) for p in fresh])
            self._paused |= fresh
        message = self._consumer.poll(0)
        if message is not None and self._is_record(message):
            self._held.append(message)  # it was under way when the partition was paused

    def begin(self, offsets: dict[int, tuple[int, int]]) -> list[Span]:
        """Takes note of a batch: first and last offset per partition. What Kafka deleted before it goes to `gaps`.

        Raises:
            Unavailable: Kafka does not say where the group had come to, so a gap would go unseen.
        """
        self._ask_where_reading_began(offsets)
        for partition, (first, last) in offsets.items():
            self._add_gap(self._watch.read(partition, first, last, partial(self._log_start, partition)))
        return [self._tracker.begin(partition, first, last) for partition, (first, last) in offsets.items()]

    def finish(self, spans: Sequence[Span]) -> None:
        """All of these are safe."""
        for span in spans:
            self._tracker.finish(span)

    def in_flight(self, partitions: Collection[int]) -> int:
        """Unfinished spans of the partitions."""
        return self._tracker.in_flight(partitions)

    def commit_if_due(self) -> None:
        """Commits what is finished, at most every `COMMIT_EVERY_S`."""
        now = time.monotonic()
        if now - self._last_commit >= COMMIT_EVERY_S:
            self._last_commit = now
            self.commit()

    def commit(self, partitions: Collection[int] | None = None) -> None:
        """Commits the highest contiguous finished offsets. A failure is logged; the next commit covers it."""
        positions = self._tracker.committable(partitions)
        if not positions:
            return
        wanted = [TopicPartition(self.topic, partition, offset) for partition, offset in positions.items()]
        try:
            answers = self._consumer.commit(offsets=wanted, asynchronous=False) or []
        except KafkaException as error:
            log.warning("offsets not committed", error=str(error))
            return
        for answer in answers:
            if answer.error is None:
                self._tracker.committed({answer.partition: answer.offset})
            else:
                log.warning("offset not committed", partition=answer.partition, error=str(answer.error))

    def probe(self) -> None:
        """Asks the broker for the topic; sets `trouble`. For a time without records, which says nothing by itself."""
        try:
            found = self._consumer.list_topics(self.topic, timeout=PROBE_WITHIN_S).topics[self.topic]
        except KafkaException as error:
            self.trouble = f"Kafka does not answer: {error.args[0].str()}"
            return
        if found.error is not None:
            self.trouble = f"topic {self.topic}: {found.error.str()}"
        elif not self._assigned and not self._consumer.memberid():
            self.trouble = "not yet a member of the consumer group"
        else:
            self.trouble = ""
            self._look_for_gaps()

    def close(self) -> None:
        """Commits what is finished and leaves the group."""
        self._drain = lambda _: None
        self.commit()
        self._consumer.close()

    def _ask_where_reading_began(self, partitions: Iterable[int]) -> None:
        fresh = [TopicPartition(self.topic, partition) for partition in self._watch.unknown(partitions)]
        if not fresh:
            return
        try:
            for found in self._consumer.committed(fresh, timeout=COMMITTED_WITHIN_S):
                self._watch.begin_at(found.partition, found.offset)
        except KafkaException as error:
            raise Unavailable(f"Kafka does not say where the group had come to: {error.args[0].str()}") from error

    def _log_start(self, partition: int) -> int:
        try:
            start, _ = self._consumer.get_watermark_offsets(
                TopicPartition(self.topic, partition), timeout=PROBE_WITHIN_S
            )
        except KafkaException as error:
            raise Unavailable(
                f"Kafka does not say where partition {partition} begins: {error.args[0].str()}"
            ) from error
        return start

    def _look_for_gaps(self) -> None:
        """What was deleted while nothing came: then no jump tells of it."""
        try:
            self._ask_where_reading_began(self._assigned)
            for partition in sorted(self._assigned):
                self._add_gap(self._watch.idle(partition, self._log_start(partition)))
        except Unavailable as error:
            self.trouble = str(error)  # asked again at the next probe

    def _add_gap(self, gap: Gap | None) -> None:
        if gap is not None:
            self.gaps.append(gap)

    def _adapt(self, records: Sequence[Message]) -> None:
        if records:
            mean = sum(len(message) for message in records) / len(records)
            self._limit = max(1, min(BATCH_RECORDS, int(BATCH_BYTES / max(mean, 1.0))))

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            self.trouble = ""
            return True
        if error.fatal():
            raise Unavailable(f"Kafka: {error.str()}")
        self.trouble = error.str()
        return False

    def _on_assign(self, source: Consumer, partitions: list[TopicPartition]) -> None:
        source.incremental_assign(at_committed(source, partitions))
        self._assigned |= {p.partition for p in partitions}
        self.trouble = ""
        log.info("assigned", partitions=sorted(self._assigned))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        going = {p.partition for p in partitions}
        self._drain(going)
        self.commit(going)
        # A pause may outlive the assignment: a partition that comes back would then stay silent. What it delivers
        # from here on is dropped, by librdkafka or by `take`.
        self._resume(going & self._paused)
        self._let_go(going)
        log.info("revoked", partitions=sorted(going))

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        going = {p.partition for p in partitions}
        self._resume(going & self._paused)
        self._let_go(going)
        log.warning("lost", partitions=sorted(going))

    def _resume(self, partitions: Collection[int]) -> None:
        if partitions:
            self._consumer.resume([TopicPartition(self.topic, partition) for partition in partitions])
            self._paused -= set(partitions)

    def _let_go(self, partitions: set[int]) -> None:
        self._tracker.forget(partitions)
        self._watch.forget(partitions)
        self._assigned -= partitions
        self._paused -= partitions
        self._held = [message for message in self._held if message.partition() not in partitions]
