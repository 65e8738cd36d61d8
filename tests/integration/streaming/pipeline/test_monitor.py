"""The pipeline monitor on a real Kafka: topics with transactions, a worker that stops and catches up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from threading import Event

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from streaming.errors import Unavailable
from streaming.kafka import clients, topics
from streaming.kafka.admin import TopicReport
from streaming.kafka.compacted import read_all
from streaming.kafka.transactions import TransactionalProducer
from streaming.pipeline.health import Reading
from streaming.pipeline.measuring import READS, Measuring
from streaming.pipeline.messages import STATUS_KEY, PipelineStatus, WorkerProgress
from streaming.pipeline.monitor import PipelineMonitor
from streaming.settings import Settings

WITHIN_S = 30.0
IDLE = WorkerProgress(lag=0, behind_ms=0, still_ms=0)


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Kafka is asked alone."""
    return ("kafka",)


def measured(measuring: Measuring, worker: str) -> list[Reading]:
    """How far a worker is. Of a topic that was only just made Kafka may not know the leader yet: the monitor asks
    again in its next round."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            return list(measuring.measure().workers[worker].values())
        except Unavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def behind(measuring: Measuring, worker: str) -> Reading:
    """How far it is on the partition on which it is behind. A commit returns a moment before readers see the end."""
    deadline = time.monotonic() + WITHIN_S
    while not (found := [reading for reading in measured(measuring, worker) if reading.lag]):
        assert time.monotonic() < deadline, f"{worker} is not behind"
    (reading,) = found
    return reading


def write(out: TransactionalProducer, topic: str, count: int) -> None:
    with out.transaction() as producer:
        for _ in range(count):
            producer.produce(topic, value=b"{}")


def roll_back(out: TransactionalProducer, topic: str) -> None:
    with out.transaction() as producer:
        producer.produce(topic, value=b"{}")
        producer.flush(10)
        raise ValueError("never mind")


class Reader:
    """What a worker's consumer is: it commits behind the last record that it has read."""

    def __init__(self, settings: Settings, worker: str, topic: str) -> None:
        self._topic = settings.topic(topic)
        self._consumer: Consumer = clients.consumer(settings.kafka, settings.group(worker))
        self._consumer.subscribe([self._topic])

    def read(self, count: int) -> None:
        deadline, last = time.monotonic() + WITHIN_S, -1
        while count:
            assert time.monotonic() < deadline, f"{count} records did not come"
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                count, last = count - 1, message.offset() or 0
        self._consumer.commit(offsets=[TopicPartition(self._topic, 0, last + 1)], asynchronous=False)

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def measuring(settings: Settings, topics: TopicReport) -> Iterator[Measuring]:
    """Measures this test's groups and topics."""
    found = Measuring(settings)
    yield found
    found.close()


def test_behind_a_transaction_that_is_read_whole_there_is_no_lag(settings: Settings, measuring: Measuring) -> None:
    def lag() -> int:
        return sum(reading.lag for reading in measured(measuring, "manager"))

    topic = settings.topic(topics.CANDIDATES)
    out = TransactionalProducer(settings.kafka, settings.group("test"))
    assert lag() == 0, "nothing was ever written"
    write(out, topic, 3)
    began_ms = time.time() * 1000
    reading = behind(measuring, "manager")
    assert reading.position == -1, "nothing was ever read"
    assert reading.lag == 4, "three records and the mark"
    assert reading.oldest_ms is not None
    assert began_ms - 60_000 < reading.oldest_ms < began_ms + 60_000
    with contextlib.closing(Reader(settings, "manager", topics.CANDIDATES)) as manager:
        manager.read(3)
        assert lag() == 0, "committed is 3, and the end is 4, behind the transaction's mark"
        assert lag() == 0
        with pytest.raises(ValueError, match="never mind"):
            roll_back(out, topic)
        assert lag() == 0, "what was rolled back is never read"
        write(out, topic, 1)
        assert behind(measuring, "manager").position == 3
        manager.read(1)
        assert lag() == 0


def test_a_transaction_that_is_open_is_no_lag_yet(settings: Settings, measuring: Measuring) -> None:
    out = TransactionalProducer(settings.kafka, settings.group("test"))
    with out.transaction() as producer:
        producer.produce(settings.topic(topics.NOTIFICATIONS), value=b"{}")
        producer.flush(10)
        assert [reading.lag for reading in measured(measuring, "notifier")] == [0]
    assert behind(measuring, "notifier").lag == 2


class Watched:
    """A monitor that measures often, and what it wrote last."""

    def __init__(self, settings: Settings, tells: Callable[[], bool] = lambda: True) -> None:
        self._settings = settings
        self.monitor = PipelineMonitor(settings.model_copy(update={"pipeline_interval_s": 0.1}), tells)

    def status(self) -> PipelineStatus:
        """The next one."""
        before, deadline = self._last(), time.monotonic() + WITHIN_S
        while (now := self._last()) is None or now == before:
            self.monitor.run_once()
            assert time.monotonic() < deadline, self.monitor.health.answer()
        return now

    def _last(self) -> PipelineStatus | None:
        value = read_all(self._settings, topics.PIPELINE_STATUS).get(STATUS_KEY)
        return None if value is None else msgspec.json.decode(value, type=PipelineStatus)

    def until(self, worker: str, **least: int) -> WorkerProgress:
        """Measures until all of these figures are at least so high; all 0: until none is higher."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            found = self.status().workers[worker]
            if all(getattr(found, name) >= value for name, value in least.items()) if least else found == IDLE:
                return found
            assert time.monotonic() < deadline, f"{worker} {least}: last seen {found}"


def test_a_worker_that_stops_is_seen_to_stand_still_and_to_catch_up(settings: Settings, topics_: None) -> None:
    watched = Watched(settings)
    try:
        assert watched.status().workers == dict.fromkeys(READS, IDLE)
        out = TransactionalProducer(settings.kafka, settings.group("test"))
        with contextlib.closing(Reader(settings, "notifier", topics.NOTIFICATIONS)) as notifier:
            write(out, settings.topic(topics.NOTIFICATIONS), 2)
            notifier.read(2)
            watched.until("notifier")
        write(out, settings.topic(topics.NOTIFICATIONS), 5)
        found = watched.until("notifier", lag=5, behind_ms=500, still_ms=500)
        assert found.lag == 6, "five records and the mark"
        assert found.behind_ms >= found.still_ms - 500
        assert watched.status().workers["indexer"] == IDLE
        with contextlib.closing(Reader(settings, "notifier", topics.NOTIFICATIONS)) as notifier:
            notifier.read(5)
            watched.until("notifier")
    finally:
        watched.monitor.close()


def test_logs_and_dead_letters_of_the_last_minute_are_counted(settings: Settings, topics_: None) -> None:
    watched = Watched(settings)
    try:
        assert (watched.status().logs, watched.status().dead_letters) == (0, 0)
        out = clients.producer(settings.kafka)
        for number in range(20):
            out.produce(settings.topic(topics.LOGS), b"{}", key=str(number))
        out.produce(settings.topic(topics.DEAD_LETTERS), b"{}")
        assert out.flush(10) == 0
        found = watched.status()
        assert (found.logs, found.dead_letters) == (20, 1)
        assert found.workers["indexer"].lag == found.workers["matcher"].lag == 20
    finally:
        watched.monitor.close()


def test_who_only_measures_tells_nothing_and_knows_as_much_when_it_is_its_turn(
    settings: Settings, topics_: None
) -> None:
    turn = Event()
    watched = Watched(settings, turn.is_set)
    try:
        write(TransactionalProducer(settings.kafka, settings.group("test")), settings.topic(topics.NOTIFICATIONS), 5)
        health = watched.monitor.health
        deadline, since = time.monotonic() + WITHIN_S, None
        while since is None or time.monotonic() - since < 1.0:
            watched.monitor.run_once()
            if since is None and health.answer()["checks"]["kafka"]["detail"].startswith("standby"):
                since = time.monotonic()
            assert time.monotonic() < deadline, health.answer()
        assert health.answer()["healthy"]
        assert read_all(settings, topics.PIPELINE_STATUS) == {}
        turn.set()
        assert watched.status().workers["notifier"].still_ms >= 500, "the first that it tells"
    finally:
        watched.monitor.close()


@pytest.fixture
def topics_(topics: TopicReport) -> None:
    """The topics, under a name that leaves `topics` to the module."""
