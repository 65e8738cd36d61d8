"""What a verification asks of Kafka: offsets, what groups have committed, and records in order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from streaming.errors import Unavailable
from streaming.kafka import clients
from streaming.kafka.topics import CATALOGUE
from streaming.settings import Settings

ASK_WITHIN_S = 15.0
READ_WITHIN_S = 60.0
"""Without a record. A transaction that a killed process left open blocks a reader for 20 s (kafka/compacted.py)."""
BATCH = 10_000


class Bounds(NamedTuple):
    """A partition: offsets of its first record and behind its last committed one, and when that first was appended.

    `horizon_ms`: whatever was appended before may have been deleted; 0: nothing was.
    """

    start: int
    end: int
    horizon_ms: int


class KafkaReader:
    """Reads without any group; commits nothing. For one thread.

    Raises (every method): Unavailable, where Kafka does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = AdminClient({"bootstrap.servers": settings.bootstrap, "log_level": clients.LOG_CRITICAL})
        self._consumer: Consumer = clients.consumer(
            settings.bootstrap,
            settings.group("verify"),
            enable_partition_eof=True,
            queued_min_messages=100_000,
            fetch_wait_max_ms=20,
        )
        self.records = 0
        """Read so far."""

    def close(self) -> None:
        """Disconnects."""
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """Of a topic; empty where there is none of that name."""
        try:
            found = self._consumer.list_topics(topic, timeout=ASK_WITHIN_S).topics[topic]
        except KafkaException as error:
            raise self._unavailable(error) from error
        if found.error is not None:
            if found.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                return []
            raise Unavailable(f"Kafka tells nothing of topic {topic}: {found.error.str()}")
        return sorted(found.partitions)

    def bounds(self, topic: str) -> dict[int, Bounds]:
        """Of each partition, as it stands."""
        partitions = self.partitions(topic)
        starts = self._offsets(topic, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = self._offsets(topic, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {p: Bounds(starts[p], ends[p], self._horizon(topic, p, starts[p], ends[p])) for p in partitions}

    def at_time(self, topic: str, since_ms: int, bounds: dict[int, Bounds]) -> dict[int, int]:
        """The first offset of each partition that was appended at this time or later; its end where there is none."""
        found = self._offsets(topic, list(bounds), OffsetSpec.for_timestamp(since_ms))
        return {p: max(b.start, found[p] if found[p] >= 0 else b.end) for p, b in bounds.items()}

    def committed(self, group: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """What a group has committed; -1 where nothing."""
        reader = clients.consumer(self._settings.bootstrap, group)
        deadline = time.monotonic() + ASK_WITHIN_S
        try:
            while True:
                try:
                    answer = reader.committed([TopicPartition(topic, p) for p in partitions], timeout=ASK_WITHIN_S)
                    return {c.partition: max(-1, c.offset) for c in answer}
                except KafkaException as error:
                    # A group's coordinator moves, or is only just being made.
                    if error.args[0].code() not in _MOVING or time.monotonic() > deadline:
                        raise self._unavailable(error) from error
                    time.sleep(0.2)
        finally:
            reader.close()

    def read(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Message]]:
        """The committed records from offset `first` to before `end`, in order, in batches. Offsets without a record
        (marks of transactions, aborted ones) are passed over."""
        if first >= end:
            return
        self._consumer.assign([TopicPartition(topic, partition, first)])
        try:
            deadline = time.monotonic() + READ_WITHIN_S
            while True:
                found = self._consumer.poll(1.0)
                batch = [] if found is None else [found, *self._consumer.consume(BATCH, 0)]
                records, done = self._sorted_out(batch, end)
                if records:
                    self.records += len(records)
                    deadline = time.monotonic() + READ_WITHIN_S
                    yield records
                if done:
                    return
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"{topic}-{partition} was not read up to offset {end} within {READ_WITHIN_S:g} s; is a "
                        "transaction open?"
                    )
        finally:
            self._consumer.unassign()

    def _sorted_out(self, batch: list[Message], end: int) -> tuple[list[Message], bool]:
        records, done = [], False
        for message in batch:
            error = message.error()
            if error is None:
                if (message.offset() or 0) < end:
                    records.append(message)
                done = done or (message.offset() or 0) >= end - 1
            elif error.code() == KafkaError._PARTITION_EOF:
                done = done or (message.offset() or 0) >= end
            elif error.fatal() or error.code() not in _PASSING:
                raise Unavailable(f"Kafka cannot be read: {error.str()}")
        return records, done

    def _offsets(self, topic: str, partitions: Sequence[int], spec: OffsetSpec) -> dict[int, int]:
        if not partitions:
            return {}
        wanted = {TopicPartition(topic, p): spec for p in partitions}
        try:
            answers = self._admin.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ASK_WITHIN_S
            )
            return {tp.partition: answer.result().offset for tp, answer in answers.items()}
        except KafkaException as error:
            raise self._unavailable(error) from error

    def _horizon(self, topic: str, partition: int, start: int, end: int) -> int:
        if start == 0:
            return 0
        if start < end:
            for batch in self.read(topic, partition, start, min(end, start + 1)):
                return batch[0].timestamp()[1]
        # Nothing is left. What Kafka deletes from the segment it writes to, it deletes by age alone.
        kept_ms = next(
            (
                int(t.config["retention.ms"])
                for t in CATALOGUE
                if self._settings.topic(t.name) == topic and "retention.ms" in t.config
            ),
            0,
        )
        return int(time.time() * 1000) - kept_ms

    def _unavailable(self, error: KafkaException) -> Unavailable:
        return Unavailable(
            f"Kafka at {self._settings.bootstrap} does not answer: {error.args[0].str()}. `vigil status` shows it"
        )


_MOVING = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
_PASSING = (
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
)
"""The client mends these by itself, within `READ_WITHIN_S` or not at all."""
