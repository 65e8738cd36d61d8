"""Asks Kafka how far the workers' consumer groups are, as cheaply as it can be known.

One request for the topics, one for each group, two for the bounds of all partitions together, and one record of each
partition on which a worker is behind: its first unread one tells the age, and whether there is one at all. The offset
alone does not: behind the last record of a transaction lies its mark, which takes an offset and is never delivered, so
that a worker which has read everything has committed less than the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from streaming.errors import Unavailable
from streaming.kafka import bounds, clients, topics
from streaming.kafka.committed import CommittedOffsets
from streaming.pipeline.health import Measurement, Place, Reading
from streaming.settings import Settings

READS: Mapping[str, tuple[str, ...]] = {
    "indexer": (topics.LOGS,),
    "matcher": (topics.LOGS,),
    "manager": (topics.CANDIDATES, topics.NODE_STATUS, topics.PIPELINE_STATUS, topics.COMMANDS),
    "notifier": (topics.NOTIFICATIONS,),
    "heartbeat-monitor": (topics.HEARTBEATS, topics.REGISTRATIONS, topics.NODE_ORDERS),
}
"""Which topics each worker's group reads."""

WITHIN_S = 4.0
"""For a whole measurement: it takes some 20 ms, and with a close of the clients must fit into the 10 s that a
supervisor gives a process to stop."""

CONNECTS_WITHIN_S = 2.0
"""For the first unread records: what has not come by then counts as unknown."""


class _First(NamedTuple):
    """What lies at a position: the first record from there on, or nothing up to `end`."""

    position: int
    end: int
    offset: int | None
    appended_ms: int | None

    def still_holds(self, position: int, end: int) -> bool:
        """A record that was the first stays so; that there was none holds only up to the end of that time."""
        return self.position == position and (self.end == end if self.offset is None else self.offset < end)


class Measuring:
    """Measures again and again with clients of its own. For one thread.

    Clients that get no answer for long are to be replaced: make another.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = clients.admin(settings.kafka)
        self._groups = CommittedOffsets(settings.kafka)
        self._reader: Consumer = clients.consumer(
            settings.kafka,
            settings.group("pipeline-monitor"),
            enable_partition_eof=True,
            fetch_wait_max_ms=10,
            # One record of each partition is wanted. What was fetched beyond it must not hold up the next question,
            # as it does for a second by default.
            queued_min_messages=1,
            fetch_queue_backoff_ms=10,
            queued_max_messages_kbytes=1024,
            fetch_message_max_bytes=64 * 1024,
        )
        self._known: dict[tuple[str, Place], _First] = {}
        """By group: a worker that stands still, or has read everything, is asked for nothing twice."""

    def close(self) -> None:
        """Disconnects."""
        self._groups.close()
        self._reader.close()

    def measure(self) -> Measurement:
        """How everything stands now.

        Raises:
            Unavailable: Kafka does not answer, or not within `WITHIN_S`.
        """
        try:
            return self._measured(time.monotonic() + WITHIN_S)
        except (KafkaException, TimeoutError) as error:
            raise Unavailable(f"Kafka at {self._settings.bootstrap} does not answer: {_reason(error)}") from error

    def _measured(self, deadline: float) -> Measurement:
        places = self._places(deadline)
        # Before the ends: of ends that were asked for earlier, a worker that reads on would seem to be beyond.
        committed = {worker: self._committed(worker, places, deadline) for worker in READS}
        ends = self._offsets(places, bounds.END, deadline)
        starts = self._offsets(places, bounds.START, deadline)
        workers: dict[str, dict[Place, Reading]] = {}
        for worker, names in READS.items():
            of_worker = [place for place in places if place.topic in names]
            if not of_worker:
                continue
            at = {place: max(committed[worker].get(place, -1), starts[place]) for place in of_worker}
            firsts = self._firsts(worker, {place: (at[place], ends[place]) for place in of_worker}, deadline)
            workers[worker] = {
                place: _reading(committed[worker].get(place, -1), firsts.get(place), at[place], ends[place])
                for place in of_worker
            }
        return Measurement(
            at_ms=time.time_ns() // 1_000_000,
            steady_ms=time.monotonic_ns() // 1_000_000,
            workers=workers,
            logs_end=sum(end for place, end in ends.items() if place.topic == topics.LOGS),
            dead_letters_end=sum(end for place, end in ends.items() if place.topic == topics.DEAD_LETTERS),
        )

    def _places(self, deadline: float) -> list[Place]:
        """The partitions of all topics that matter; of a topic that is not there, none."""
        names = dict.fromkeys([*(name for read in READS.values() for name in read), topics.DEAD_LETTERS])
        found = self._admin.list_topics(timeout=_left(deadline)).topics
        return [
            Place(name, partition)
            for name in names
            if (topic := found.get(self._settings.topic(name))) is not None and topic.error is None
            for partition in sorted(topic.partitions)
        ]

    def _named(self, places: Iterable[Place]) -> dict[bounds.Place, Place]:
        """By the topic's own name, with its prefix."""
        return {(self._settings.topic(place.topic), place.partition): place for place in places}

    def _at(self, place: Place, offset: int = -1) -> TopicPartition:
        return TopicPartition(self._settings.topic(place.topic), place.partition, offset)

    def _committed(self, worker: str, places: list[Place], deadline: float) -> dict[Place, int]:
        names = self._named(place for place in places if place.topic in READS[worker])
        found = self._groups.of(self._settings.group(worker), names, _left(deadline))
        return {names[at]: offset for at, offset in found.items()}

    def _offsets(self, places: list[Place], which: OffsetSpec, deadline: float) -> dict[Place, int]:
        names = self._named(places)
        found = bounds.offsets(self._admin, names, which, _left(deadline))
        return {names[at]: offset for at, offset in found.items()}

    def _firsts(self, worker: str, ranges: Mapping[Place, tuple[int, int]], deadline: float) -> dict[Place, _First]:
        """What lies at these positions, where it is known or can be read."""
        found: dict[Place, _First] = {}
        wanted: dict[Place, tuple[int, int]] = {}
        for place, (position, end) in ranges.items():
            if position >= end:
                continue
            known = self._known.get((worker, place))
            if known and known.still_holds(position, end):
                found[place] = known
            else:
                wanted[place] = (position, end)
        for place, first in self._read(wanted, min(deadline, time.monotonic() + CONNECTS_WITHIN_S)).items():
            found[place] = self._known[worker, place] = first
        return found

    def _read(self, wanted: Mapping[Place, tuple[int, int]], deadline: float) -> dict[Place, _First]:
        """The first record of each; nothing of those that do not come in time."""
        if not wanted:
            return {}
        found: dict[Place, _First] = {}
        prefix = self._settings.topic_prefix
        self._reader.assign([self._at(place, position) for place, (position, _) in wanted.items()])
        try:
            while len(found) < len(wanted) and (left := deadline - time.monotonic()) > 0:
                message = self._reader.poll(min(left, 0.1))
                if message is None:
                    continue
                place = Place((message.topic() or "").removeprefix(prefix), message.partition() or 0)
                error = message.error()
                if place not in wanted or place in found or (error and error.code() != KafkaError._PARTITION_EOF):
                    continue
                position, end = wanted[place]
                if error:
                    found[place] = _First(position, end, None, None)
                else:
                    found[place] = _First(position, end, message.offset() or 0, message.timestamp()[1])
        finally:
            self._reader.unassign()
        return found


def _reading(committed: int, first: _First | None, position: int, end: int) -> Reading:
    if position >= end:
        return Reading(committed, 0, None)
    if first is None:
        return Reading(committed, end - position, None)
    if first.offset is None:
        return Reading(committed, 0, None)
    return Reading(committed, max(1, end - first.offset), first.appended_ms)


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())


def _reason(error: KafkaException | TimeoutError) -> str:
    return error.args[0].str() if isinstance(error, KafkaException) else "no answer in time"
