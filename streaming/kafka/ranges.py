"""Ranges of Kafka's partitions, read by hand: offsets, and the committed records between two of them.

For whoever reads what is there and is no member of a group: verification, backup, reindexing, dead letters, and
compacted topics that are read whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from types import TracebackType
from typing import NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streaming.errors import Unavailable
from streaming.kafka import clients
from streaming.kafka.committed import CommittedOffsets
from streaming.settings import Settings

ASK_WITHIN_S = 15.0
READ_WITHIN_S = 60.0
"""Without a record. A transaction that a killed process left open blocks a reader for at most
TRANSACTION_TIMEOUT_MS (5 s) + the broker's sweep (10 s by default); a broker that is started again needs as long."""
AGAIN_S = 0.2
KNOWN_WITHIN_S = 2.0
"""A topic that was only just made: its broker answers that it is made before all its threads know of it."""
BATCH = 10_000
"""Records. The client's queue (16 MiB, streaming/kafka/clients.py) bounds the bytes."""

Ranges = Mapping[int, tuple[int, int]]
"""By partition: the first offset, and the one behind the last."""

T = TypeVar("T")


class Bounds(NamedTuple):
    """Of a partition: offsets of its first record and behind its last."""

    start: int
    end: int


class RangeReader:
    """Reads without any group's offsets; commits nothing. A context manager; for one thread.

    Questions are asked again for `ASK_WITHIN_S` while the answer is of those that pass: a topic that was only just
    made, or a broker that was only just started, has no leader for a moment.

    Raises (every method): Unavailable, where Kafka does not answer.
    """

    def __init__(self, settings: Settings, name: str = "reader", read_within_s: float = READ_WITHIN_S) -> None:
        self._settings, self._read_within_s = settings, read_within_s
        self._consumer: Consumer = clients.consumer(
            settings.kafka,
            settings.group(name),
            enable_partition_eof=True,
            queued_min_messages=100_000,
            fetch_wait_max_ms=10,
        )
        self._groups = CommittedOffsets(settings.kafka)
        self._reading = 0
        """Number of the reading that the assignment is for; -1: closed."""
        self.records = 0
        """Read so far."""

    def __enter__(self) -> RangeReader:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Disconnects."""
        self._reading = -1
        self._groups.close()
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """Of a topic; empty where there is none of that name."""
        return self._ask(lambda: _partitions(self._consumer, topic))

    def bounds(self, topic: str, *, with_open: bool = False) -> dict[int, Bounds]:
        """Of each partition, as it stands; empty where there is no such topic. The end is that of what is committed,
        or `with_open` behind the transactions that are open now."""
        partitions = self.partitions(topic)
        if not with_open:
            return self._watermarks(self._consumer, topic, partitions)
        # Only a reader of everything is told where what is open ends.
        everything = clients.consumer(
            self._settings.kafka, self._settings.group("reader"), isolation_level="read_uncommitted"
        )
        with closing(everything):
            return self._watermarks(everything, topic, partitions)

    def bounds_of(self, topic: str, *, with_open: bool = False) -> dict[int, Bounds]:
        """As `bounds`, for a topic that must be there: Unavailable names the one that is not."""
        deadline = time.monotonic() + KNOWN_WITHIN_S
        while not (found := self.bounds(topic, with_open=with_open)):
            if time.monotonic() > deadline:
                raise Unavailable(f"no topic {topic} at {self._settings.bootstrap}; `vigil up` creates it")
            time.sleep(AGAIN_S)
        return found

    def at_time(self, topic: str, since_ms: int, bounds: Mapping[int, Bounds]) -> dict[int, int]:
        """The first offset of each partition that was appended at this time or later; its end where there is none."""
        asked = [TopicPartition(topic, p, since_ms) for p in bounds]
        if not asked:
            return {}
        answers = self._ask(lambda: _checked(self._consumer.offsets_for_times(asked, timeout=ASK_WITHIN_S)))
        found = {a.partition: a.offset for a in answers}
        return {p: max(b.start, found[p] if found[p] >= 0 else b.end) for p, b in bounds.items()}

    def committed(self, group: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """What a group has committed last; -1 where nothing."""
        places = [(topic, p) for p in partitions]
        found = self._ask(lambda: self._groups.of(group, places, ASK_WITHIN_S))
        return {p: found.get((topic, p), -1) for p in partitions}

    def read(self, topic: str, ranges: Ranges) -> Generator[list[Message], None, None]:
        """The committed records of these ranges, in batches, each partition's in order. Offsets without a record
        (marks of transactions, aborted ones, what was compacted) are passed over; what Kafka has deleted as well.

        One reading at a time: the next one takes the client from one that was not read to its end.
        """
        left = {p: end for p, (first, end) in ranges.items() if first < end}
        if not left:
            return
        self._reading = own = self._reading + 1
        self._consumer.assign([TopicPartition(topic, p, ranges[p][0]) for p in left])
        try:
            deadline = time.monotonic() + self._read_within_s
            while left and self._reading == own:
                found = self._consumer.poll(1.0)
                batch = [] if found is None else [found, *self._consumer.consume(BATCH, 0)]
                records = self._sorted_out(batch, left)
                if records:
                    self.records += len(records)
                    yield records
                    deadline = time.monotonic() + self._read_within_s
                elif left and time.monotonic() > deadline:
                    raise Unavailable(self._stuck(topic, left))
        finally:
            if self._reading == own:  # else it was left, and is only now collected
                self._consumer.unassign()

    def read_since(self, topic: str, since_ms: int) -> Generator[Message, None, None]:
        """The committed records of a topic that must be there, from those that were appended at this time on to its
        end as it is now; each partition's in order."""
        bounds = self.bounds_of(topic)
        starts = self.at_time(topic, max(since_ms, 0), bounds)
        for batch in self.read(topic, {p: (starts[p], bound.end) for p, bound in bounds.items()}):
            yield from batch

    def _sorted_out(self, batch: Sequence[Message], left: dict[int, int]) -> list[Message]:
        """Records of the ranges; partitions that are read to their end leave `left`."""
        records = []
        for message in batch:
            error, partition, offset = message.error(), message.partition() or 0, message.offset() or 0
            end = left.get(partition)
            if error is None:
                if end is not None and offset < end:
                    records.append(message)
                    if offset == end - 1:
                        del left[partition]
                elif end is not None:
                    del left[partition]
            elif error.code() == KafkaError._PARTITION_EOF:
                if end is not None and offset >= end:
                    del left[partition]
            elif error.fatal() or error.code() not in _PASSING:
                raise Unavailable(f"Kafka cannot be read: {error.str()}")
        return records

    def _watermarks(self, source: Consumer, topic: str, partitions: Sequence[int]) -> dict[int, Bounds]:
        found = {}
        for partition in partitions:
            question = partial(source.get_watermark_offsets, TopicPartition(topic, partition), timeout=ASK_WITHIN_S)
            found[partition] = Bounds(*self._ask(question))
        return found

    def _ask(self, question: Callable[[], T]) -> T:
        deadline = time.monotonic() + ASK_WITHIN_S
        while True:
            try:
                return question()
            except KafkaException as error:
                if error.args[0].code() not in _ASKED_AGAIN or time.monotonic() > deadline:
                    raise Unavailable(
                        f"Kafka at {self._settings.bootstrap} does not answer: {error.args[0].str()}. "
                        "`vigil status` shows it"
                    ) from error
            time.sleep(AGAIN_S)

    def _stuck(self, topic: str, left: Mapping[int, int]) -> str:
        partition, end = min(left.items())
        return (
            f"{topic}-{partition} was not read to its end (offset {end}) within {self._read_within_s:g} s; is a "
            "transaction open?"
        )


def _partitions(source: Consumer, topic: str) -> list[int]:
    found = source.list_topics(topic, timeout=ASK_WITHIN_S).topics[topic]
    if found.error is None:
        return sorted(found.partitions)
    if found.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        return []
    raise KafkaException(found.error)


def _checked(answers: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
    """Raises KafkaException where one of them is an error."""
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
    return answers


_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._WAIT_COORD,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""The client mends these by itself, or the broker does, within moments or not at all."""

_ASKED_AGAIN = _PASSING | {KafkaError.UNKNOWN_TOPIC_OR_PART}
"""A topic that was only just made is not known to every thread of its broker."""
