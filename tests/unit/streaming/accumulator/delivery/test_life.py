"""The accumulator's own heartbeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

from confluent_kafka import KafkaError, Producer

from streaming.accumulator.delivery.life import LifeSign, delivered_to
from streaming.events.model import Heartbeat
from streaming.events.parse import parse
from streaming.heartbeat.states import ACCUMULATOR_SERVICE, DELIVERED_HEADER

WALL_NS = 1_700_000_000_000_000_000


class Kafka:
    """Takes records, and answers when told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, dict[str, bytes]]] = []
        self.waiting: list[Callable[[KafkaError | None, object], None]] = []
        self.full = False

    def produce(
        self,
        topic: str,
        value: bytes,
        key: str,
        headers: list[tuple[str, bytes]],
        on_delivery: Callable[[KafkaError | None, object], None],
    ) -> None:
        if self.full:
            raise BufferError
        assert key == "accumulator2"
        self.sent.append((topic, value, dict(headers)))
        self.waiting.append(on_delivery)

    def answer(self, error: KafkaError | None = None) -> None:
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one(error, None)


class Bench:
    def __init__(self) -> None:
        self.kafka, self.now = Kafka(), 100.0
        producer = cast(Producer, self.kafka)
        self.life = LifeSign(
            "heartbeats",
            "accumulator2",
            lambda: producer,
            lambda now: now - 5_000_000,
            lambda: self.now,
            lambda: WALL_NS,
        )

    def turns(self, seconds: float) -> int:
        """In steps of a quarter; how many beats went out."""
        before = len(self.kafka.sent)
        for _ in range(int(seconds * 4)):
            self.life.turn()
            self.now += 0.25
        return len(self.kafka.sent) - before


def test_it_beats_once_a_second_and_says_how_far_it_has_delivered() -> None:
    bench = Bench()
    for _ in range(5):
        assert bench.turns(1) == 1
        bench.kafka.answer()
    topic, value, headers = bench.kafka.sent[-1]
    event = parse(value, received_ns=1)
    assert isinstance(event, Heartbeat)
    assert (topic, event.node_id, event.service, event.seq) == ("heartbeats", "accumulator2", ACCUMULATOR_SERVICE, 5)
    assert event.timestamp_ns == WALL_NS
    assert headers == {DELIVERED_HEADER: str((WALL_NS - 5_000_000) // 1_000_000).encode()}


def test_while_kafka_does_not_answer_one_beat_waits_and_no_more() -> None:
    bench = Bench()
    assert bench.turns(60) == 1
    bench.kafka.answer(KafkaError(KafkaError._PURGE_QUEUE))
    assert bench.turns(1) == 1
    bench.kafka.answer()
    bench.kafka.full = True
    assert bench.turns(3) == 0
    bench.kafka.full = False
    assert bench.turns(1) == 1


def test_a_stop_is_said_also_while_a_beat_is_under_way() -> None:
    bench = Bench()
    bench.turns(0.5)
    bench.life.close()
    assert [json.loads(value)["status"] for _, value, _ in bench.kafka.sent] == ["UP", "DOWN"]


def test_nothing_is_said_of_what_waits_from_before_the_clock_was_set_back() -> None:
    assert delivered_to(100, 100, 90) == 90
    assert delivered_to(100, 100, 3_600) == 0, "delivered up to now would be a lie"
    assert delivered_to(100, 3_600, 90) == 0
