"""Tells the shapes that are seen for the first time, for the map of templates. Never waits, never fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from streaming.fingerprint.masking import head, mask
from streaming.kafka import clients, topics
from streaming.settings import Settings
from streaming.templates.messages import Shape
from streaming.worker import metrics

REMEMBERED: Final = 32_768
"""Fingerprints in each of two generations: 2 * 32,768 * about 100 bytes = 6.5 MB. Whoever sends more shapes than that
has them told again, as fast as `RATE` allows."""

BURST: Final = 2_000.0
RATE: Final = 50.0
"""Shapes at once, and a second after that. A service whose messages are all shapes of their own costs 50 * 700 bytes
= 35 kB/s of Kafka; what is left out now is told when it is seen again."""

QUEUE: Final = 10_000
"""Records that wait for Kafka, at most: 7 MB. What finds it full is told when it is seen again."""

DAY_S: Final = 86_400
FLUSH_S: Final = 1.0


class Announcer:
    """One for each process that computes fingerprints; for one thread.

    A shape is told once a day while it is seen (which keeps it in the map), at least once to each map that lives,
    and again after a restart: records are keyed by fingerprint, so telling twice changes nothing. What Kafka does not
    take is told when it is seen again.

        for each message:
            if fingerprint not in announcer.known:
                announcer.note(fingerprint, message, received_ns)
        after each batch:
            announcer.tick()
    """

    def __init__(
        self,
        producer: Producer,
        topic: str,
        *,
        now_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._producer, self._topic = producer, topic
        self._now_s, self._wall_s = now_s, wall_s
        self.known: set[str] = set()
        """Told lately; ask it before `note`."""
        self._older: set[str] = set()
        self._allowed, self._counted_s = BURST, now_s()
        self._day = wall_s() // DAY_S

    @classmethod
    def connected(cls, settings: Settings) -> Announcer:
        """With a producer of its own, so that nothing else waits for what this one sends."""
        producer = clients.producer(settings.kafka, queue_buffering_max_messages=QUEUE, linger_ms=100)
        return cls(producer, settings.topic(topics.FINGERPRINTS))

    def note(self, fingerprint: str, message: str, received_ns: int) -> None:
        """Tells the shape of a message unless that was done today."""
        if fingerprint in self.known:
            return
        if fingerprint not in self._older and not self._tell(fingerprint, message, received_ns):
            metrics.FINGERPRINTS_DEFERRED.inc()
            return
        if len(self.known) >= REMEMBERED:
            self._older = self.known
            # A set of its own: whoever holds `known` asks it anew through the attribute.
            self.known = set()
        self.known.add(fingerprint)

    def tick(self) -> None:
        """Hears what Kafka says of what was sent; on a new day, everything is told anew."""
        self._producer.poll(0)
        day = self._wall_s() // DAY_S
        if day != self._day:
            self._day = day
            self.known.clear()
            self._older.clear()

    def close(self) -> None:
        """Waits a moment for Kafka; the rest is told by whoever sees it next."""
        self._producer.flush(FLUSH_S)

    def _tell(self, fingerprint: str, message: str, received_ns: int) -> bool:
        now_s = self._now_s()
        self._allowed = min(BURST, self._allowed + (now_s - self._counted_s) * RATE)
        self._counted_s = now_s
        if self._allowed < 1:
            return False
        example = head(message).encode("utf-8", "backslashreplace").decode()
        shape = Shape(fingerprint, mask(message), example, received_ns // 1_000_000)
        delivered = partial(self._delivered, fingerprint)
        try:
            self._producer.produce(self._topic, msgspec.json.encode(shape), fingerprint, on_delivery=delivered)
        except BufferError:
            return False
        self._allowed -= 1
        return True

    def _delivered(self, fingerprint: str, error: KafkaError | None, _: Message) -> None:
        if error is None:
            metrics.FINGERPRINTS_TOLD.inc()
        else:
            metrics.FINGERPRINTS_DEFERRED.inc()
            self.known.discard(fingerprint)
            self._older.discard(fingerprint)
