"""The accumulator's own heartbeat: that it lives, and how far it has delivered, straight into Kafka.

By it the heartbeat monitor tells a node that fell silent from an accumulator that no longer carries its beats.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streaming.heartbeat.states import ACCUMULATOR_SERVICE, DELIVERED_HEADER

BEAT_EVERY_S = 1.0


def delivered_to(now_ns: int, *reached_ns: int) -> int:
    """The earliest of these receive times, in ns. Where one is later than now, something waits from before the clock
    was set back: by the clock as it is now nothing is known to be delivered, which is 0."""
    return 0 if max(reached_ns) > now_ns else min(reached_ns)


class LifeSign:
    """Beats once a second while Kafka takes it. For the pump's thread.

    One beat is under way at a time: those that Kafka could not take while it was away say nothing once it is back.
    """

    def __init__(
        self,
        topic: str,
        name: str,
        producer: Callable[[], Producer],
        delivered_to_ns: Callable[[int], int],
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._topic, self._name, self._producer = topic, name, producer
        self._delivered_to_ns, self._clock, self._wall_ns = delivered_to_ns, clock, wall_ns
        self._instance = f"{name}-{os.getpid()}-{os.urandom(3).hex()}"
        self._seq = 0
        self._under_way = False
        self._due = clock()

    def turn(self) -> None:
        """Beats if it is time."""
        now = self._clock()
        if now >= self._due and not self._under_way:
            self._due = max(self._due, now - BEAT_EVERY_S / 2) + BEAT_EVERY_S
            self._beat("UP")

    def close(self) -> None:
        """Says that it stops on purpose; the caller flushes the producer."""
        self._beat("DOWN")

    def _beat(self, status: str) -> None:
        self._seq += 1
        now_ns = self._wall_ns()
        record = {
            "node_id": self._name,
            "message_type": "HEARTBEAT",
            "status": status,
            "timestamp": datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
            "service_name": ACCUMULATOR_SERVICE,
            "seq": self._seq,
            "instance_id": self._instance,
        }
        delivered_ms = self._delivered_to_ns(now_ns) // 1_000_000
        self._under_way = True
        try:
            self._producer().produce(
                self._topic,
                orjson.dumps(record),
                self._name,
                headers=[(DELIVERED_HEADER, str(delivered_ms).encode())],
                on_delivery=partial(self._answered, self._seq),
            )
        except (BufferError, KafkaException):
            self._under_way = False  # the next one is due soon enough

    def _answered(self, seq: int, _error: KafkaError | None, _message: Message) -> None:
        if seq == self._seq:
            self._under_way = False
