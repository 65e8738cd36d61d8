"""Dead letters out of Kafka, whole: all of them in their order, or those at known places."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from streaming.dead_letters.letters import DeadLetter, Place, read_letter
from streaming.errors import Unavailable
from streaming.kafka import topics
from streaming.kafka.clients import consumer
from streaming.settings import Settings

ANSWER_WITHIN_S = 30.0
"""Without any record or end of partition for so long, Kafka is away. The longest wait that is none: a transaction of
the heartbeat monitor that a killed process left open, at most 20 s (streaming/kafka/transactions.py)."""

LEAP = 500
"""Records read and left rather than sought past: a seek costs a round trip and what was fetched already."""


class LetterReader:
    """Reads the topic `dead-letters`; commits nothing. A context manager.

    Raises (every method): Unavailable, where Kafka does not answer or the topic is missing.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic(topics.DEAD_LETTERS)
        # Its group is a name alone: partitions are assigned by hand and nothing is committed.
        self._consumer = consumer(settings.bootstrap, settings.group("reader"), enable_partition_eof=True)

    def __enter__(self) -> LetterReader:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._consumer.close()

    def earliest(self) -> dict[int, int]:
        """First offset that is still there, by partition."""
        return {partition: low for partition, (low, _) in self._bounds().items()}

    def _bounds(self) -> dict[int, tuple[int, int]]:
        try:
            return {
                p: self._consumer.get_watermark_offsets(TopicPartition(self._topic, p), timeout=10)
                for p in self._partitions()
            }
        except KafkaException as error:
            raise self._away(error.args[0]) from error

    def scan(self, since_ms: int | None = None) -> Iterator[DeadLetter]:
        """All, or those appended at `since_ms` or later, by partition in order; up to the end as of now."""
        for partition in self._partitions():
            first = 0
            if since_ms is not None:
                try:
                    (found,) = self._consumer.offsets_for_times([TopicPartition(self._topic, partition, since_ms)], 10)
                except KafkaException as error:
                    raise self._away(error.args[0]) from error
                if found.offset < 0:  # none is that young
                    continue
                first = found.offset
            for message in self._from(Place(partition, first)):
                yield read_letter(message)

    def at(self, places: Iterable[Place]) -> Iterator[DeadLetter]:
        """Those at these places, in the order of the places; places where nothing is (any more) are left out."""
        by_partition: dict[int, list[int]] = {}
        for place in sorted(set(places)):
            by_partition.setdefault(place.partition, []).append(place.offset)
        for partition, (low, high) in self._bounds().items():
            # Reading from an offset that is not there would begin at the earliest.
            there = [offset for offset in by_partition.get(partition, []) if low <= offset < high]
            for first, last in _stretches(there):
                yield from self._stretch(Place(partition, first), last, set(there))

    def _stretch(self, first: Place, last: int, wanted: set[int]) -> Iterator[DeadLetter]:
        for message in self._from(first):
            offset = message.offset() or 0
            if offset in wanted and offset <= last:
                yield read_letter(message)
            if offset >= last:
                return

    def _from(self, place: Place) -> Iterator[Message]:
        """Records from there to the end of the partition."""
        self._consumer.assign([TopicPartition(self._topic, place.partition, place.offset)])
        heard = time.monotonic()
        while True:
            message = self._consumer.poll(0.5)
            if message is None:
                if time.monotonic() - heard > ANSWER_WITHIN_S:
                    raise Unavailable(f"Kafka at {self._settings.bootstrap} sends nothing of {self._topic}")
                continue
            heard = time.monotonic()
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            elif error.code() != KafkaError._TRANSPORT:  # a lost connection is made again
                raise self._away(error)

    def _partitions(self) -> list[int]:
        try:
            found = self._consumer.list_topics(self._topic, timeout=10).topics[self._topic]
        except KafkaException as error:
            raise self._away(error.args[0]) from error
        if found.error is not None:
            raise Unavailable(f"no topic {self._topic}: {found.error.str()}; `vigil up` creates it")
        return sorted(found.partitions)

    def _away(self, error: KafkaError) -> Unavailable:
        return Unavailable(f"Kafka at {self._settings.bootstrap} does not answer: {error.str()}")


def _stretches(offsets: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of rising offsets without a gap of `LEAP`."""
    begin = 0
    for i in range(1, len(offsets) + 1):
        if i == len(offsets) or offsets[i] - offsets[i - 1] > LEAP:
            yield offsets[begin], offsets[i - 1]
            begin = i
