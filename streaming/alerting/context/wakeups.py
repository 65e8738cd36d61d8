"""Follows notifications and says when an incident waits for its context: a wake-up, no work list."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from streaming import decoding
from streaming.alerting.context.response import URGENT, wakes
from streaming.alerting.messages import Notification, Severity
from streaming.errors import Unavailable
from streaming.kafka import topics
from streaming.kafka.clients import consumer, take
from streaming.kafka.ranges import RangeReader
from streaming.settings import Settings

BATCH = 500


class Wakeups:
    """Reads topic `notifications` from now on; for one thread at a time. Commits nothing and is in no group: what was
    told while nobody followed is found by looking for what waits (`find_waiting`).
    """

    def __init__(self, settings: Settings, severities: Collection[Severity] = URGENT) -> None:
        self._settings, self._severities = settings, frozenset(severities)
        self._decoder = decoding.decoder(Notification)
        self._in: Consumer | None = None

    def look(self, wait_s: float) -> list[str]:
        """Ids of incidents that have begun to wait; empty after `wait_s` without any. While Kafka is away after it was
        there, that is all that shows: the client goes on where it was when Kafka is back.

        Raises:
            Unavailable: Kafka does not answer at the start, or does not have the topic. Look again later.
        """
        source = self._in or self._connect()
        found: dict[str, None] = {}
        for message in take(source, BATCH, wait_s):
            error = message.error()
            if error is not None:
                self.close()
                raise Unavailable(f"Kafka at {self._settings.bootstrap}: {error.str()}")
            notification = self._decoded(message.value())
            if notification is not None and wakes(notification, self._severities):
                found[notification.incident.incident_id] = None
        return list(found)

    def close(self) -> None:
        """Disconnects; the next look begins at what is told then."""
        source, self._in = self._in, None
        if source is not None:
            source.close()

    def _connect(self) -> Consumer:
        topic = self._settings.topic(topics.NOTIFICATIONS)
        with RangeReader(self._settings, "wakeups") as reader:
            ends = {partition: bound.end for partition, bound in reader.bounds_of(topic).items()}
        made = consumer(self._settings.kafka, self._settings.group("wakeups"))
        try:
            made.assign([TopicPartition(topic, partition, end) for partition, end in ends.items()])
        except KafkaException as error:
            made.close()
            raise Unavailable(f"Kafka at {self._settings.bootstrap}: {error.args[0].str()}") from error
        self._in = made
        return made

    def _decoded(self, value: bytes | str | None) -> Notification | None:
        try:
            return self._decoder.decode(value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None  # the notifier counts and logs it
