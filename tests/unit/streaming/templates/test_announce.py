"""Telling new shapes: once a day, within a rate, without ever waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec
import pytest
from confluent_kafka import KafkaError, Message, Producer

from streaming.fingerprint.masking import HEAD
from streaming.fingerprint.shapes import fingerprint
from streaming.templates import announce
from streaming.templates.announce import BURST, RATE, Announcer
from streaming.templates.messages import Shape

Delivered = Callable[[KafkaError | None, Message], None]


class FakeProducer:
    """Takes records while there is room, and confirms them when it is told to."""

    def __init__(self) -> None:
        self.room = 10**9
        self.waiting: list[tuple[str, bytes, Delivered]] = []
        self.flushed_s = 0.0

    def produce(self, topic: str, value: bytes, key: str, *, on_delivery: Delivered) -> None:
        if len(self.waiting) >= self.room:
            raise BufferError
        assert topic == "fingerprints"
        self.waiting.append((key, value, on_delivery))

    def poll(self, timeout_s: float) -> int:
        assert timeout_s == 0
        return 0

    def flush(self, timeout_s: float) -> int:
        self.flushed_s = timeout_s
        return 0

    def answer(self, error: KafkaError | None) -> None:
        for _, _, delivered in self.waiting:
            delivered(error, cast(Message, None))
        self.waiting.clear()

    @property
    def told(self) -> list[Shape]:
        return [msgspec.json.decode(value, type=Shape) for _, value, _ in self.waiting]


class Lab:
    def __init__(self) -> None:
        self.now_s, self.wall_s = 100.0, 1_800_000_000.0
        self.producer = FakeProducer()
        self.announcer = Announcer(
            cast(Producer, self.producer), "fingerprints", now_s=lambda: self.now_s, wall_s=lambda: self.wall_s
        )

    def see(self, message: str) -> None:
        name = fingerprint(message)
        if name not in self.announcer.known:
            self.announcer.note(name, message, 1_800_000_000_123_456_789)

    def flood(self, count: int) -> None:
        for number in range(count):
            self.announcer.note(f"{number:016x}", "a message", 1)


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_a_shape_is_told_once(lab: Lab) -> None:
    for number in range(5):
        lab.see(f"order {number} paid")
    lab.see("order 9 shipped")
    assert lab.producer.told == [
        Shape(fingerprint("order 1 paid"), "order <*> paid", "order 0 paid", 1_800_000_000_123),
        Shape(fingerprint("order 1 shipped"), "order <*> shipped", "order 9 shipped", 1_800_000_000_123),
    ]


def test_and_again_on_another_day(lab: Lab) -> None:
    lab.see("order 1 paid")
    lab.wall_s += 86_400
    lab.see("order 2 paid")
    assert len(lab.producer.waiting) == 1, "the day is looked at between batches"
    lab.announcer.tick()
    lab.see("order 3 paid")
    lab.announcer.tick()
    lab.see("order 4 paid")
    assert len(lab.producer.waiting) == 2


def test_what_kafka_does_not_take_is_told_when_it_is_seen_again(lab: Lab) -> None:
    lab.see("order 1 paid")
    lab.producer.answer(KafkaError(KafkaError._MSG_TIMED_OUT))
    lab.see("order 1 paid")
    assert len(lab.producer.waiting) == 1
    lab.producer.answer(None)
    lab.see("order 1 paid")
    assert not lab.producer.waiting


def test_a_full_queue_is_not_waited_for(lab: Lab) -> None:
    lab.producer.room = 0
    lab.see("order 1 paid")
    lab.producer.room = 1
    lab.see("order 1 paid")
    assert len(lab.producer.waiting) == 1


def test_a_flood_is_told_at_a_rate_and_does_not_grow(lab: Lab) -> None:
    lab.flood(20_000)
    assert len(lab.producer.waiting) == BURST
    lab.now_s += 10
    lab.flood(20_000)
    assert len(lab.producer.waiting) == BURST + 10 * RATE
    assert len(lab.announcer.known) == BURST + 10 * RATE


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "BURST", 10.0**9)
    monkeypatch.setattr(announce, "REMEMBERED", 100)
    lab = Lab()
    for number in range(1_000):
        lab.announcer.note(f"{number:016x}", "a message", 1)
        lab.announcer.note("often", "a message", 1)
    assert len(lab.announcer.known) + len(lab.announcer._older) <= 200
    assert sum(key == "often" for key, _, _ in lab.producer.waiting) == 1, "what is seen often stays"


def test_a_hostile_message_is_told_safely(lab: Lab) -> None:
    lab.see("half \ud83d " + "x" * 10_000_000)
    (told,) = lab.producer.told
    assert len(told.example) <= 2 * HEAD
    assert told.example.startswith("half \\ud83d")


def test_closing_waits_a_moment(lab: Lab) -> None:
    lab.announcer.close()
    assert 0 < lab.producer.flushed_s <= 1
