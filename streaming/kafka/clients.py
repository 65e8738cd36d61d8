"""Kafka clients with the settings that Vigil's guarantees rest on."""

from __future__ import annotations

import confluent_kafka
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient

from streaming.kafka.access import KafkaAccess

ConfigValue = str | int | float | bool

RECONNECT_MAX_MS = 1000
"""librdkafka waits up to 10 s before it tries a broker again; after an outage an alert would wait for that."""

SESSION_MS = 10_000
"""A member that stays away longer loses its partitions to the others, or to its standby (Kafka's default: 45 s; the
broker's smallest allowed is 2 s here, 6 s by default). One with a `group.instance.id` that returns sooner has them at
once. Heartbeats come every 3 s from a thread of librdkafka's own, whatever the worker does."""

LOG_CRITICAL = 2
"""Syslog severity. librdkafka prints a line for every attempt to reach a broker that is away; each worker says
once, in its own log and its health answer, that it is."""


class Consumer(confluent_kafka.Consumer):
    """Knows that it leaves its group. Partitions may be given to it even then, and its callbacks be called, but nobody
    answers any more what it asks."""

    closing = False

    def close(self) -> None:
        """Leaves the group."""
        self.closing = True
        super().close()


def consumer(kafka: KafkaAccess, group: str, **more: ConfigValue) -> Consumer:
    """A consumer that never commits by itself, reads only committed records, and starts at the earliest.

    Keyword names use `_` for `.`: `fetch_wait_max_ms=50`.
    """
    config: dict[str, ConfigValue] = {
        **kafka.options(),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": SESSION_MS,
        "fetch.wait.max.ms": 50,
        # librdkafka prefetches up to 64 MiB a consumer by default; half of the smallest worker's budget.
        "queued.max.messages.kbytes": 16 * 1024,
        "topic.metadata.refresh.interval.ms": 30_000,
        "allow.auto.create.topics": False,
        "log_level": LOG_CRITICAL,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
    }
    return Consumer(config | _dotted(more))


def producer(kafka: KafkaAccess, **more: ConfigValue) -> Producer:
    """A producer that loses and doubles nothing by itself: idempotent, acknowledged by all in-sync replicas."""
    config: dict[str, ConfigValue] = {
        **kafka.options(),
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "compression.type": "lz4",
        "log_level": LOG_CRITICAL,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
    }
    return Producer(config | _dotted(more))


def admin(kafka: KafkaAccess) -> AdminClient:
    """A client for questions that are no reading; it shares its connection with no fetch, behind which they would
    wait."""
    return AdminClient({**kafka.options(), "log_level": LOG_CRITICAL, "reconnect.backoff.max.ms": RECONNECT_MAX_MS})


def take(source: confluent_kafka.Consumer, limit: int, timeout_s: float) -> list[Message]:
    """Up to `limit` records, as soon as there is one; empty after `timeout_s` without any.

    `consume(n, t)` waits the whole of `t` unless n records come; so the first is polled for and the rest are
    what is there already.
    """
    first = source.poll(timeout_s)
    if first is None:
        return []
    return [first, *source.consume(limit - 1, 0)] if limit > 1 else [first]


def _dotted(more: dict[str, ConfigValue]) -> dict[str, ConfigValue]:
    return {key.replace("_", "."): value for key, value in more.items()}
