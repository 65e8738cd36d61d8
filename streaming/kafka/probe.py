"""Whether Kafka is there, for a worker that reads nothing just now: silence says nothing by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException

from streaming.worker.health import Health

ASK_EVERY_S = 5.0
ANSWER_WITHIN_S = 2.0


class Probe:
    """Sets the check `kafka` of a worker's health. Call `look` every round, from the thread that reads."""

    def __init__(
        self, source: Consumer, topic: str, health: Health, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source, self._topic, self._health, self._clock = source, topic, health, clock
        self._next = clock() + ASK_EVERY_S

    def look(self, *, read: bool) -> None:
        """`read`: something was read this round, which is the answer. Else it asks, at most every `ASK_EVERY_S`."""
        now = self._clock()
        if read:
            self._next = now + ASK_EVERY_S
            self._health.set("kafka", True)
        elif now >= self._next:
            trouble = self._ask()
            self._health.set("kafka", not trouble, trouble)
            self._next = self._clock() + ASK_EVERY_S

    def _ask(self) -> str:
        try:
            found = self._source.list_topics(self._topic, timeout=ANSWER_WITHIN_S).topics[self._topic]
        except KafkaException as error:
            return f"Kafka does not answer: {error.args[0].str()}"
        return f"topic {self._topic}: {found.error.str()}" if found.error is not None else ""
