"""The versions of the retention classes, in the compacted topic `retention-classes`.

Everything that names an index reads them there: indexer, verify, reindex, templates and roll, on every machine alike.
The rule files only say what is wanted; a file may differ from machine to machine, or be edited, and the past must not.
A topic is shared, keeps its order, is backed up, and there whenever there are records to index.

A version is written at least `LEAD_S` before it comes into force, with a delivery that fails within seconds. So whoever
has read the topic since `LEAD_S / 2` before a midnight knows every version that is in force that day: the other half is
for clocks that differ. A killed writer leaves either the whole record or none, and nobody needs it yet.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streaming import decoding
from streaming.kafka import clients, topics
from streaming.kafka.delivery import Delivery
from streaming.kafka.ranges import RangeReader
from streaming.retention.classes import Class, Retention, Version, date_of
from streaming.settings import Settings
from streaming.worker.logs import logger
from streaming.worker.metrics import UNREADABLE

log = logger(__name__)

DAY_S = 86_400
LEAD_S = 3_600
"""A change that is declared after 23:00 UTC takes force a day later."""

READ_WITHIN_S = 30.0
GIVE_UP_MS = 9_000
"""Of a version that Kafka does not take: less than `Delivery` waits, and nothing of it comes later."""


def next_since(now_s: float, declared: Sequence[Version]) -> int:
    """The first day (since the epoch) that a version declared now may be in force: the first midnight (UTC) that lies
    `LEAD_S` ahead or more, and not before any version that was declared earlier."""
    return max([int(now_s + LEAD_S) // DAY_S + 1, *(version.first_day for version in declared)])


def wanted_version(wanted: Sequence[Class], declared: Sequence[Version], now_s: float) -> Version | None:
    """The version to declare, where the last declared one is not what the rule files want; else None."""
    last = declared[-1].classes if declared else ()
    return None if tuple(wanted) == last else Version(date_of(next_since(now_s, declared)), tuple(wanted))


def read_versions(settings: Settings) -> tuple[Version, ...]:
    """All versions in the order in which they were declared; none where the topic is not there, since then none was.

    Raises:
        Unavailable: Kafka does not answer.
    """
    topic = settings.topic(topics.RETENTION_CLASSES)
    latest: dict[bytes, Version] = {}
    with RangeReader(settings, read_within_s=READ_WITHIN_S) as reader:
        bounds = reader.bounds(topic)
        for batch in reader.read(topic, {p: (bound.start, bound.end) for p, bound in bounds.items()}):
            for message in batch:
                key, value = bytes(message.key() or b""), message.value()
                latest.pop(key, None)  # a version that was declared again stands behind those between
                if value is None:
                    continue
                try:
                    latest[key] = decoding.decode(value, Version)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    UNREADABLE.labels("retention", topics.RETENTION_CLASSES).inc()
                    log.error("retention classes left unread", topic=topic, offset=message.offset(), reason=str(error))
    return tuple(latest.values())


def read_retention(settings: Settings) -> Retention:
    """What is kept for how long, by the versions declared until now.

    Raises:
        Unavailable: Kafka does not answer.
    """
    return Retention(settings.retention_days, read_versions(settings))


def declare(settings: Settings, version: Version) -> None:
    """Writes a version; returns when it is in Kafka.

    Raises:
        Unavailable: Kafka did not confirm it within seconds; whether it is written is unknown, and to write it again
            changes nothing.
    """
    delivery = Delivery(clients.producer(settings.kafka, message_timeout_ms=GIVE_UP_MS))
    value = msgspec.json.encode(version)
    delivery.send(settings.topic(topics.RETENTION_CLASSES), value, key=value, headers=[])
    delivery.settle()
