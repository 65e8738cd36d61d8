"""Heartbeat monitors as real processes, the nodes that beat for them, and what they wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing

import msgspec
from confluent_kafka import Producer

from streaming.events import coordinates
from streaming.events.coordinates import Coordinates
from streaming.heartbeat.messages import NodeRecord, NodeStatus
from streaming.heartbeat.states import DELIVERED_HEADER, State
from streaming.kafka import clients, topics
from streaming.kafka.compacted import read_all
from streaming.kafka.ranges import RangeReader
from streaming.settings import Settings

DEADLINE_S = 2.0


class Lab:
    """A monitor, others beside it where they are started, the nodes that beat, and what was written."""

    def __init__(
        self,
        settings: Settings,
        environment: dict[str, str],
        launch: Callable[..., subprocess.Popen[bytes]],
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.settings = settings
        self._environment = environment | {"VIGIL_HEARTBEAT_DEADLINE_S": str(deadline_s)}
        self._launch = launch
        self._out: Producer = clients.producer(settings.kafka)
        self.seq = 0
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.start()

    def start(self, slot: int = 0) -> None:
        self.processes[slot] = self._launch("streaming.heartbeat", "--slot", str(slot), environment=self._environment)

    def signal(self, number: signal.Signals, slot: int = 0) -> None:
        os.kill(self.processes[slot].pid, number)

    def kill(self, slot: int = 0) -> None:
        self.signal(signal.SIGKILL, slot)
        self.processes[slot].wait(10)

    def role(self, slot: int) -> str | None:
        """What a healthy monitor says that it is; None of one that does not run or is not healthy."""
        port = self.settings.health_port("heartbeat-monitor", slot)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                workers = json.load(answer)["workers"]
        except OSError:
            return None
        checks = next(worker["checks"] for worker in workers if worker["worker"] == "heartbeat-monitor")
        return str(checks["role"]["detail"])

    def send(self, topic: str, node: str, header: tuple[str, bytes] | None = None, **fields: object) -> None:
        record = {"node_id": node, "timestamp": time.time(), "service_name": "order", **fields}
        self._out.produce(self.settings.topic(topic), json.dumps(record), node, headers=[header] if header else [])
        self._out.flush(10)

    def register(self, node: str, instance: str) -> None:
        self.send(topics.REGISTRATIONS, node, message_type="REGISTRATION", instance_id=instance)

    def beat(self, node: str, seq: int, instance: str, status: str = "UP") -> None:
        self.send(topics.HEARTBEATS, node, message_type="HEARTBEAT", status=status, seq=seq, instance_id=instance)

    def carried(self, node: str, seq: int, accumulator: str) -> None:
        """A beat that came through an accumulator."""
        now_ns = time.time_ns()
        place = Coordinates(accumulator, "i", seq, 0, now_ns, now_ns, "heartbeats.order")
        header = (coordinates.HEADER, coordinates.encode(place))
        self.send(topics.HEARTBEATS, node, header, message_type="HEARTBEAT", status="UP", seq=seq, instance_id=node)

    def accumulator(self, name: str, seq: int) -> None:
        """Its own beat: everything up to now is delivered."""
        header = (DELIVERED_HEADER, str(time.time_ns() // 1_000_000).encode())
        self.send(topics.HEARTBEATS, name, header, message_type="HEARTBEAT", status="UP", seq=seq, instance_id=name)

    def nodes(self) -> dict[str, NodeRecord]:
        values = read_all(self.settings, topics.NODE_REGISTRY).values()
        return {r.node_id: r for r in (msgspec.json.decode(v, type=NodeRecord) for v in values)}

    def is_state(self, node: str, state: State) -> bool:
        return node in (found := self.nodes()) and found[node].state is state

    def lives(self, node: str, instance: str) -> bool:
        """It beats once more. Whether it is UP: one that has ceased to beat is that for `DEADLINE_S` only, which may
        pass between two looks."""
        self.seq += 1
        self.beat(node, self.seq, instance)
        return self.is_state(node, State.UP)

    def changes(self) -> list[tuple[str, State]]:
        values = read_all(self.settings, topics.NODE_STATUS)
        return [(s.node_id, s.state) for s in (msgspec.json.decode(v, type=NodeStatus) for v in values.values())]

    def told(self) -> list[tuple[str, State]]:
        """Every change that was ever told, in order."""
        with closing(RangeReader(self.settings)) as reader:
            messages = list(reader.read_since(self.settings.topic(topics.NODE_STATUS), 0))
        told = [msgspec.json.decode(message.value() or b"", type=NodeStatus) for message in messages]
        return [(status.node_id, status.state) for status in told]
