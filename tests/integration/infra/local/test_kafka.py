"""Kafka's process: what survives a kill, and three brokers of which one is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from infra.local.kafka import bootstrap
from streaming.errors import ConfigError
from streaming.kafka.admin import ensure_topics
from streaming.kafka.clients import consumer, producer, take
from streaming.kafka.topics import CATALOGUE, LOGS
from streaming.settings import Settings

T = TypeVar("T")


class Launch(Protocol):
    def __call__(
        self, module: str, *arguments: str, environment: dict[str, str], log: Path | None = None
    ) -> subprocess.Popen[bytes]: ...


class WaitUntil(Protocol):
    def __call__(self, predicate: Callable[[], T], timeout_s: float, what: str) -> T: ...


@pytest.fixture
def own(empty_home: Path, free_port: Callable[[int], int]) -> Settings:
    """A Kafka of the test's own: ports for three brokers."""
    first = free_port(6)
    return Settings(home=empty_home, bind_host="127.0.0.1", kafka_port=first, kafka_controller_port=first + 1)


def brokers_seen(servers: str) -> int:
    try:
        return len(AdminClient({"bootstrap.servers": servers, "log_level": 0}).list_topics(timeout=1).brokers)
    except KafkaException:
        return 0


def copies_seen(servers: str) -> set[int]:
    """How many copies the topics have as some broker knows them; 0 for one that it does not know."""
    known = AdminClient({"bootstrap.servers": servers}).list_topics(timeout=10).topics
    partitions = [known[topic.name].partitions.values() if topic.name in known else () for topic in CATALOGUE]
    return {len(one.replicas) for found in partitions for one in found} | {0 for found in partitions if not found}


def send(out: Producer, topic: str, numbers: range) -> list[int]:
    """Sends them and returns those that Kafka acknowledged."""
    kept: list[int] = []

    def delivered(error: object, message: Message) -> None:
        if error is None:
            kept.append(int(message.value() or b""))

    for number in numbers:
        out.produce(topic, str(number).encode(), str(number).encode(), on_delivery=delivered)
    out.flush(60)
    return kept


def read(source: Consumer, count: int, wait_until: WaitUntil) -> set[int]:
    found: set[int] = set()

    def enough() -> bool:
        found.update(int(m.value() or b"") for m in take(source, 1000, 0.2) if m.error() is None)
        return len(found) >= count

    wait_until(enough, 60, f"{count} records")
    return found


def test_a_killed_broker_comes_back_with_its_records(
    own: Settings, launch: Launch, wait_until: WaitUntil, as_environment: Callable[[Settings], dict[str, str]]
) -> None:
    first = launch("infra.local.kafka", environment=as_environment(own))
    wait_until(lambda: brokers_seen(own.bootstrap), 120, "Kafka answers")
    # It has become Java itself: what its supervisor signals is the server.
    assert Path(f"/proc/{first.pid}/exe").resolve().name == "java"
    ensure_topics(own)
    kept = send(producer(own.kafka), LOGS, range(1000))
    first.kill()
    first.wait()
    launch("infra.local.kafka", environment=as_environment(own))
    wait_until(lambda: brokers_seen(own.bootstrap), 120, "Kafka answers again")
    assert ensure_topics(own).created == ()
    source = consumer(own.kafka, str(uuid.uuid4()))
    source.subscribe([LOGS])
    assert read(source, 1000, wait_until) == set(kept) == set(range(1000))
    source.close()


def test_term_ends_it_within_ten_seconds(
    own: Settings, launch: Launch, wait_until: WaitUntil, as_environment: Callable[[Settings], dict[str, str]]
) -> None:
    process = launch("infra.local.kafka", environment=as_environment(own))
    wait_until(lambda: brokers_seen(own.bootstrap), 120, "Kafka answers")
    process.send_signal(signal.SIGTERM)
    process.wait(10)


def test_a_taken_port_and_another_size_are_refused_in_one_line(
    own: Settings, launch: Launch, wait_until: WaitUntil, as_environment: Callable[[Settings], dict[str, str]]
) -> None:
    process = launch("infra.local.kafka", environment=as_environment(own))
    wait_until(lambda: brokers_seen(own.bootstrap), 120, "Kafka answers")
    second = launch("infra.local.kafka", environment=as_environment(own), log=own.home / "second")
    assert second.wait(30) == 69
    assert (own.home / "second").read_text(encoding="utf-8").splitlines() == [
        f"vigil: 127.0.0.1:{own.kafka_port} cannot be used: Address already in use. Stop what listens there, or set "
        "VIGIL_KAFKA_PORT"
    ]
    process.kill()
    process.wait()
    third = launch("infra.local.kafka", "--brokers", "3", environment=as_environment(own), log=own.home / "third")
    assert third.wait(30) == ConfigError.exit_code
    assert "this Kafka has 1 broker, not 3" in (own.home / "third").read_text(encoding="utf-8")


def test_three_brokers_keep_what_they_acknowledged_when_one_is_killed(
    own: Settings, launch: Launch, wait_until: WaitUntil, as_environment: Callable[[Settings], dict[str, str]]
) -> None:
    servers = bootstrap(own, 3)
    cluster = own.model_copy(update={"kafka_bootstrap": servers})
    nodes = [
        launch("infra.local.kafka", "--brokers", "3", "--node", str(node), environment=as_environment(own))
        for node in (1, 2, 3)
    ]
    wait_until(lambda: brokers_seen(servers) == 3, 90, "three brokers are seen")
    assert len(ensure_topics(cluster).created) == len(CATALOGUE)
    # Each broker hears of new topics by itself, and any may answer.
    wait_until(lambda: copies_seen(servers) == {3}, 30, "whoever is asked knows all topics, with three copies")

    out = producer(cluster.kafka)
    before = send(out, LOGS, range(500))
    os.kill(nodes[0].pid, signal.SIGKILL)
    after = send(out, LOGS, range(500, 1000))
    assert set(before) | set(after) == set(range(1000))
    source = consumer(cluster.kafka, str(uuid.uuid4()))
    source.subscribe([LOGS])
    assert read(source, 1000, wait_until) == set(range(1000))
    source.close()
    for node in nodes:
        node.kill()  # two of three cannot end in order: the second to go would wait for a majority
        node.wait()


def test_the_report_is_readable_by_programs(
    own: Settings, launch: Launch, wait_until: WaitUntil, as_environment: Callable[[Settings], dict[str, str]]
) -> None:
    launch("infra.local.kafka", environment=as_environment(own))
    wait_until(lambda: brokers_seen(own.bootstrap), 120, "Kafka answers")
    said = own.home / "report.json"
    process = launch("streaming.kafka.admin", "--json", environment=as_environment(own), log=said)
    assert process.wait(60) == 0
    assert json.loads(said.read_text(encoding="utf-8"))["created"] == [topic.name for topic in CATALOGUE]
