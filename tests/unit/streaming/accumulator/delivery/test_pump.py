"""The pump: the cursor never passes what Kafka has, and every failure ends in producing again from the cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
from confluent_kafka import KafkaError, Producer

from streaming.accumulator.configuration.planner import load_plan
from streaming.accumulator.delivery.outgoing import Converter
from streaming.accumulator.delivery.pump import Pump
from streaming.accumulator.delivery.routes import Router
from streaming.accumulator.spool.disk import Folder
from streaming.accumulator.spool.segment import Arrived
from streaming.accumulator.spool.spool import Spool
from streaming.events import coordinates
from streaming.settings import CHECKOUT

Callback = Callable[[KafkaError | None, object], None]


class Message:
    """What a delivery callback is given."""

    def __init__(self, headers: list[tuple[str, bytes]]) -> None:
        self._headers = headers

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers


class Kafka(Producer):
    """Confirms at `poll`, unless told otherwise."""

    def __init__(self) -> None:
        super().__init__({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
        self.waiting: list[tuple[str, bytes, list[tuple[str, bytes]], Callback]] = []
        self.delivered: list[tuple[str, bytes, str]] = []
        self.confirms = True
        self.room = 1_000_000
        self.error_for: Callable[[str, bytes], int | None] = lambda _topic, _value: None

    def produce(  # type: ignore[override]
        self, topic: str, value: bytes, key: bytes | None, on_delivery: Callback, headers: list[tuple[str, bytes]]
    ) -> None:
        if len(self.waiting) >= self.room:
            raise BufferError
        self.waiting.append((topic, value, headers, on_delivery))

    def poll(self, timeout: float = 0) -> int:
        if self.confirms:
            waiting, self.waiting = self.waiting, []
            for topic, value, headers, confirm in waiting:
                code = self.error_for(topic, value)
                if code is None:
                    self.delivered.append((topic, value, coordinates.decode(headers[0][1]).key))
                confirm(None if code is None else KafkaError(code), Message(headers))
        return 0

    def flush(self, timeout: float = 0) -> int:
        return self.poll()

    def purge(self, *_: object, **__: object) -> None:
        self.waiting.clear()


class Bench:
    """A pump on a real folder, with everything around it at hand."""

    def __init__(self, folder: Path) -> None:
        self.kafka = Kafka()
        self.disk = Folder(folder / "spool")
        self.spool = Spool(self.disk)
        self.reports: list[tuple[bool, str]] = []
        plan = load_plan(CHECKOUT / "fluentd" / "fluent2.conf", {"VIGIL_SPOOL_DIR": str(folder / "secondary")})
        converter = Converter("accumulator2", self.spool.incarnation, Router(plan), "dead-letters")
        self.folder = folder
        self.pump = Pump(
            "accumulator2",
            self.spool,
            converter,
            lambda: self.kafka,
            folder,
            lambda ok, why: self.reports.append((ok, why)),
        )

    def spool_chunks(self, count: int, events: int = 3, text: str = "m") -> None:
        for n in range(count):
            body = b"".join(msgpack.packb([1, {"message": f"{text}{n}.{i}"}]) for i in range(events))
            self.spool.append([Arrived("app", body, events, False, b"", 1)])

    def keys(self) -> list[str]:
        return [key.split(":", 1)[1] for _, _, key in self.kafka.delivered]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.disk.close()


def test_chunks_are_delivered_in_order_and_the_cursor_follows(bench: Bench) -> None:
    bench.spool_chunks(3, events=2)
    bench.pump.run_once()
    assert bench.keys() == ["1:0", "1:1", "2:0", "2:1", "3:0", "3:1"]
    assert bench.spool.delivered_to == 4
    assert bench.spool.backlog_bytes == 0


def test_the_cursor_waits_for_kafka(bench: Bench) -> None:
    bench.kafka.confirms = False
    bench.spool_chunks(2)
    bench.pump.run_once()
    assert bench.spool.delivered_to == 1
    bench.pump.close()
    bench.kafka.confirms = True
    bench.pump.run_once()
    assert bench.spool.delivered_to == 3


def test_a_full_queue_is_waited_for_in_the_middle_of_a_chunk(bench: Bench) -> None:
    bench.kafka.room = 2
    bench.spool_chunks(2, events=5)
    while bench.spool.delivered_to < 3:
        bench.pump.run_once()
    assert bench.keys() == [f"{s}:{p}" for s in (1, 2) for p in range(5)]


def test_a_refusal_is_reported_and_produced_again_from_the_cursor(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.accumulator.delivery.pump.BACKOFF_S", 0.0)
    failures = [KafkaError.TOPIC_AUTHORIZATION_FAILED]
    bench.kafka.error_for = lambda _topic, value: failures.pop() if failures and b"m1.0" in value else None
    bench.spool_chunks(3, events=2)
    bench.pump.run_once()
    bench.pump.run_once()
    assert bench.spool.delivered_to == 4
    assert set(bench.keys()) == {f"{s}:{p}" for s in (1, 2, 3) for p in range(2)}
    assert [ok for ok, _ in bench.reports] == [False, True]
    values = {key: value for _, value, key in bench.kafka.delivered}
    assert all(values[key] == value for _, value, key in bench.kafka.delivered), "a repeated record is the same record"


def test_what_kafka_refuses_for_its_size_becomes_a_dead_letter_and_blocks_nothing(bench: Bench) -> None:
    bench.kafka.error_for = lambda topic, value: (
        KafkaError.MSG_SIZE_TOO_LARGE if topic == "logs" and b"m0.1" in value else None
    )
    bench.spool_chunks(2, events=3)
    bench.pump.run_once()
    bench.pump.run_once()
    assert bench.spool.delivered_to == 3
    dead = [(value, key) for topic, value, key in bench.kafka.delivered if topic == "dead-letters"]
    assert [value for value, _ in dead] == [b'{"message":"m0.1"}']


def test_what_is_too_large_even_for_the_dead_letters_is_kept_in_a_file(bench: Bench) -> None:
    bench.spool_chunks(1, events=1, text="x" * 9_000_000)
    bench.pump.run_once()
    assert bench.spool.delivered_to == 2
    (file,) = (bench.folder / "secondary" / "undelivered").iterdir()
    assert file.stat().st_size > 9_000_000
    assert bench.kafka.delivered == []


@pytest.mark.parametrize("broken", [False, True])
def test_what_kafka_refuses_for_its_size_as_a_dead_letter_too_is_kept_in_a_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """Dead letters of another's making may be as narrow as the logs; nothing may stand behind such a record."""
    monkeypatch.setattr("streaming.accumulator.delivery.pump.BACKOFF_S", 0.0)
    bench.kafka.error_for = lambda _topic, value: KafkaError.MSG_SIZE_TOO_LARGE if b"odd" in value else None
    odd = msgpack.packb("odd" if broken else [1, {"message": "odd"}])
    body = odd + msgpack.packb([1, {"message": "usual"}])
    bench.spool.append([Arrived("app", body, 2, False, b"", 1)])
    bench.spool_chunks(1, events=1)
    for _ in range(4):
        bench.pump.run_once()
    assert bench.spool.delivered_to == 3
    (file,) = [f for f in bench.folder.rglob("accumulator2*") if f.is_file()]
    assert b"odd" in file.read_bytes()


def test_a_file_that_cannot_be_written_is_tried_again_and_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.accumulator.delivery.pump.BACKOFF_S", 0.0)
    bench.spool_chunks(1, events=1, text="x" * 9_000_000)
    in_the_way = bench.folder / "secondary"
    in_the_way.touch()
    bench.pump.run_once()
    assert bench.spool.delivered_to == 1
    assert [ok for ok, _ in bench.reports] == [False]
    assert "a file cannot be written" in bench.reports[0][1]
    assert str(in_the_way) in bench.reports[0][1]
    in_the_way.unlink()
    bench.pump.run_once()
    assert bench.spool.delivered_to == 2
    assert bench.reports[-1] == (True, "")


def test_a_new_pump_begins_where_the_cursor_is(bench: Bench, tmp_path: Path) -> None:
    bench.spool_chunks(2)
    bench.pump.run_once()
    bench.pump.close()
    bench.disk.close()
    again = Bench(tmp_path)
    again.spool_chunks(1)
    again.pump.run_once()
    assert again.keys() == ["3:0", "3:1", "3:2"]
    bench.disk = again.disk
