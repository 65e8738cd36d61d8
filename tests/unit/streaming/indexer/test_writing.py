"""The indexer against a server on a real port that misbehaves: it backs off, comes back, loses and doubles nothing."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Message

from streaming.elastic import bulk
from streaming.indexer import backoff, worker
from streaming.indexer.pace import FIRST_WINDOW, MIB, Pace
from streaming.indexer.worker import Indexer
from streaming.kafka.gaps import Gap
from streaming.kafka.offsets import OffsetTracker, Span
from streaming.retention.classes import Retention
from streaming.settings import Settings
from tests.support.elastic_stand_in import ElasticStandIn, Fault

if TYPE_CHECKING:
    from tests.unit.streaming.indexer.conftest import MakeMessage

BATCH = 400
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]


class PlayedIntake:
    """Hands out the records of one partition in batches; offsets are kept by the real tracker."""

    topic = "logs"
    trouble = ""
    records: Sequence[Message] = ()

    def __init__(self, *_: object) -> None:
        self.gaps: list[Gap] = []
        self.tracker = OffsetTracker()
        self.committed = 0
        self._taken = 0

    def take(self, timeout_s: float) -> list[Message]:
        found = list(self.records[self._taken : self._taken + BATCH])
        self._taken += len(found)
        if not found:
            time.sleep(min(timeout_s, 0.02))
        return found

    def begin(self, offsets: dict[int, tuple[int, int]]) -> list[Span]:
        return [self.tracker.begin(partition, *span) for partition, span in offsets.items()]

    def finish(self, spans: Sequence[Span]) -> None:
        for span in spans:
            self.tracker.finish(span)

    def commit_if_due(self) -> None:
        self.committed = self.tracker.committable().get(0, self.committed)

    def in_flight(self, partitions: Collection[int]) -> int:
        return self.tracker.in_flight(partitions)

    def hold(self) -> None:
        """Nothing to hold."""

    def probe(self) -> None:
        """Nothing to ask."""

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def records(message: MakeMessage) -> list[Message]:
    """4,000 logs of 300 bytes."""
    log = {
        "node_id": "n1",
        "log_level": "INFO",
        "message_type": "LOG",
        "message": "x" * 150,
        "service_name": "s",
        "timestamp": "2026-11-24T06:40:00.123456Z",
    }
    now = time.time_ns()
    return [
        message(json.dumps({"log_id": f"l{n}", **log}).encode(), offset=n, received_ns=now - now % 1_000 + n // 1_000)
        for n in range(4_000)
    ]


@pytest.fixture
def start(records: list[Message], monkeypatch: pytest.MonkeyPatch) -> Callable[[ElasticStandIn], Indexer]:
    """An indexer that reads the records, and waits a hundredth of its usual time between attempts."""
    monkeypatch.setattr(PlayedIntake, "records", records)
    monkeypatch.setattr(worker, "Intake", PlayedIntake)
    monkeypatch.setattr(worker, "read_retention", lambda settings: Retention(settings.retention_days))
    monkeypatch.setattr(backoff, "FIRST_S", backoff.FIRST_S / 100)
    monkeypatch.setattr(backoff, "LONGEST_S", backoff.LONGEST_S / 100)
    return lambda server: Indexer(Settings(kafka_bootstrap="127.0.0.1:1", elasticsearch_url=server.url))


@contextmanager
def serving(fault: Callable[[int], Fault], largest: int = 1 << 30) -> Iterator[ElasticStandIn]:
    """A server for the time of a test."""
    server = ElasticStandIn(fault, largest=largest)
    try:
        yield server
    finally:
        server.close()


def run(indexer: Indexer, until: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not until():
        assert time.monotonic() < deadline, indexer.health.answer()
        indexer.run_once()


def committed(indexer: Indexer) -> int:
    intake = indexer._intake
    assert isinstance(intake, PlayedIntake)
    return intake.committed


@pytest.mark.parametrize("seed", range(3))
def test_whatever_it_meets_with_nothing_is_lost_or_doubled(
    start: Callable[[ElasticStandIn], Indexer], records: list[Message], seed: int
) -> None:
    faults = [*FAULTS, *random.Random(seed).choices([*FAULTS, Fault.NONE, Fault.NONE], k=8)]
    random.Random(seed).shuffle(faults)
    with serving(lambda number: faults[number] if number < len(faults) else Fault.NONE) as server:
        indexer = start(server)
        try:
            run(indexer, lambda: committed(indexer) == len(records))
        finally:
            indexer.close()
    assert len(server.made) == len(records)
    assert set(server.made.values()) == {1}
    assert server.met.keys() >= set(FAULTS)


@pytest.mark.parametrize("fault", [Fault.ITEMS_REJECTED, Fault.BREAKER, Fault.UNAVAILABLE, Fault.CLOSED])
def test_it_backs_off_while_the_server_is_unwell_and_comes_back(
    start: Callable[[ElasticStandIn], Indexer], records: list[Message], fault: Fault
) -> None:
    unwell = threading.Event()
    unwell.set()
    with serving(lambda _: fault if unwell.is_set() else Fault.NONE) as server:
        indexer = start(server)
        try:
            run(indexer, lambda: server.met[fault] >= 5)
            lowest = indexer._writer.pace.window
            assert lowest <= FIRST_WINDOW / 4
            unwell.clear()
            run(indexer, lambda: committed(indexer) == len(records))
            assert indexer._writer.pace.window >= lowest
        finally:
            indexer.close()
    assert set(server.made.values()) == {1}
    assert len(server.made) == len(records)


def test_a_server_that_takes_less_in_one_request_gets_less(
    start: Callable[[ElasticStandIn], Indexer], records: list[Message]
) -> None:
    with serving(lambda _: Fault.NONE, largest=MIB // 16) as server:
        indexer = start(server)
        try:
            run(indexer, lambda: committed(indexer) == len(records))
            assert indexer._writer.pace.request_bytes <= MIB // 16
            assert indexer._writer.pace.window >= FIRST_WINDOW  # that is not a sign of load
        finally:
            indexer.close()
    assert set(server.made.values()) == {1}
    assert len(server.made) == len(records)
    assert server.met["413"] < server.met[Fault.NONE] / 2, "learned, not tried again and again"


def test_retry_after_is_kept(start: Callable[[ElasticStandIn], Indexer], records: list[Message]) -> None:
    asked: dict[int, float] = {}
    learned = threading.Event()

    def fault(number: int) -> Fault:
        asked[number] = time.monotonic()
        if number == 0:
            return Fault.REJECTED
        learned.wait(60.0)  # no answer makes room for another request before the refusal has been read
        return Fault.NONE

    with serving(fault) as server:
        indexer = start(server)
        try:
            run(indexer, lambda: indexer._writer.pace.held_until > 0)
            learned.set()
            run(indexer, lambda: committed(indexer) == len(records))
        finally:
            learned.set()
            indexer.close()
    early = [at for at in asked.values() if at < asked[0] + 1.0]
    assert len(early) <= Pace().in_flight, "what was under way when the server asked for rest, and nothing else"
    assert len(asked) > len(early)


def test_an_error_in_a_sending_thread_ends_the_worker(
    start: Callable[[ElasticStandIn], Indexer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch would never end, and no offset be committed again, while all looks well."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    with serving(lambda _: Fault.NONE) as server:
        indexer = start(server)
        monkeypatch.setattr(bulk, "send", broken)
        try:
            with pytest.raises(ZeroDivisionError):
                run(indexer, lambda: False, within_s=10)
        finally:
            monkeypatch.setattr(worker, "CLOSE_S", 0.1)  # what its threads carried is never answered
            indexer.close()


def test_what_kafka_deleted_unread_is_told_and_shows(start: Callable[[ElasticStandIn], Indexer]) -> None:
    with serving(lambda _: Fault.NONE) as server:
        indexer = start(server)
        try:
            indexer._intake.gaps.append(Gap(partition=3, first=100, lost=250))
            run(indexer, lambda: not indexer._intake.gaps)
            check = indexer.health.answer()["checks"]["retention"]
        finally:
            indexer.close()
    assert not check["ok"]
    assert "250 records" in check["detail"]
