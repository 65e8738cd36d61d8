"""The heartbeat monitor as a real process on a real Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable

import msgspec
import pytest
from confluent_kafka import Producer

from streaming.events.model import NodeState
from streaming.heartbeat.messages import NodeRecord, NodeStatus
from streaming.kafka import clients, topics
from streaming.kafka.admin import TopicReport
from streaming.kafka.compacted import read_all
from streaming.settings import Settings

DEADLINE_S = 2.0
WITHIN_S = 40.0


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Liveness never touches Elasticsearch."""
    return ("kafka",)


class Lab:
    """One monitor, the nodes that beat, and what was written."""

    def __init__(self, settings: Settings, environment: dict[str, str], launch: Callable[..., subprocess.Popen[bytes]]):
        self.settings = settings
        self._environment = environment | {"VIGIL_HEARTBEAT_DEADLINE_S": str(DEADLINE_S)}
        self._launch = launch
        self._out: Producer = clients.producer(settings.bootstrap)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self.process = self._launch("streaming.heartbeat", environment=self._environment)
        return self.process

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def send(self, topic: str, node: str, **fields: object) -> None:
        record = {"node_id": node, "timestamp": time.time(), "service_name": "order", **fields}
        self._out.produce(self.settings.topic(topic), json.dumps(record), node)
        self._out.flush(10)

    def register(self, node: str, instance: str) -> None:
        self.send(topics.REGISTRATIONS, node, message_type="REGISTRATION", instance_id=instance)

    def beat(self, node: str, seq: int, instance: str, status: str = "UP") -> None:
        self.send(topics.HEARTBEATS, node, message_type="HEARTBEAT", status=status, seq=seq, instance_id=instance)

    def nodes(self) -> dict[str, NodeRecord]:
        values = read_all(self.settings, topics.NODE_REGISTRY).values()
        return {r.node_id: r for r in (msgspec.json.decode(v, type=NodeRecord) for v in values)}

    def is_state(self, node: str, state: NodeState) -> bool:
        return node in (found := self.nodes()) and found[node].state is state

    def changes(self) -> list[tuple[str, NodeState]]:
        values = read_all(self.settings, topics.NODE_STATUS)
        return [(s.node_id, s.state) for s in (msgspec.json.decode(v, type=NodeStatus) for v in values.values())]


@pytest.fixture
def lab(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Callable[..., subprocess.Popen[bytes]],
) -> Lab:
    return Lab(settings, environment, launch)


def test_silence_is_noticed_also_by_a_monitor_that_was_killed(
    lab: Lab, wait_until: Callable[[Callable[[], object], float, str], object]
) -> None:
    lab.register("n1", "a")
    lab.beat("n1", 1, "a")
    wait_until(lambda: lab.is_state("n1", NodeState.UP), WITHIN_S, "n1 is known")
    lab.kill()
    lab.start()
    wait_until(lambda: lab.is_state("n1", NodeState.DOWN), WITHIN_S, "the second monitor finds n1 silent")
    assert ("n1", NodeState.DOWN) in lab.changes()
    lab.beat("n1", 2, "a")
    wait_until(lambda: lab.is_state("n1", NodeState.UP), WITHIN_S, "n1 is back")


def test_a_restarted_node_is_up_at_once(
    lab: Lab, wait_until: Callable[[Callable[[], object], float, str], object]
) -> None:
    for seq in range(1, 30):
        lab.beat("n1", seq, "a")
    lab.beat("n1", 30, "a", status="DOWN")
    wait_until(lambda: lab.is_state("n1", NodeState.DOWN), WITHIN_S, "n1 said goodbye")
    assert lab.nodes()["n1"].clean_shutdown
    lab.register("n1", "b")
    lab.beat("n1", 1, "b")
    wait_until(lambda: lab.is_state("n1", NodeState.UP), WITHIN_S, "it is up again")
    wait_until(lambda: lab.nodes()["n1"].last_seq == 1, WITHIN_S, "its first beat counts")


def test_what_cannot_be_read_is_a_dead_letter_and_stops_nothing(
    lab: Lab, wait_until: Callable[[Callable[[], object], float, str], object]
) -> None:
    lab.send(topics.HEARTBEATS, "", message_type="HEARTBEAT", status="UP")
    lab.beat("n1", 1, "a")
    wait_until(lambda: lab.is_state("n1", NodeState.UP), WITHIN_S, "n1 is known")
    source = clients.consumer(lab.settings.bootstrap, lab.settings.group("test"))
    source.subscribe([lab.settings.topic(topics.DEAD_LETTERS)])
    letter = wait_until(lambda: source.poll(0.2), WITHIN_S, "the dead letter")
    source.close()
    assert dict(letter.headers())["reason"] == b"no-node-id"  # type: ignore[attr-defined]
