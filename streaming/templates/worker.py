"""The templates worker: shapes in, the map from fingerprints to templates out."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec
from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition

from streaming import decoding
from streaming.kafka import clients, topics
from streaming.kafka.compacted import read_all, readable
from streaming.kafka.delivery import Delivery
from streaming.kafka.probe import Probe
from streaming.retention.versions import read_retention
from streaming.settings import Settings
from streaming.templates.book import Book
from streaming.templates.messages import SUMMARY_KEY, Placed, Shape, Summary
from streaming.worker import metrics
from streaming.worker.health import Health
from streaming.worker.logs import logger

log = logger(__name__)

NAME = "templates"
KAFKA = "kafka"
BATCH = 2_000
ROUND_S = 0.5

QUEUED_KIB = 1_024
"""What is read ahead; the topic holds 500 bytes a shape."""

LEAST_BETWEEN_S = 2.0
"""Seconds between two merges: a template shows that long after its first message."""

REST_FACTOR = 20
"""And so many times as long as a merge took, so that it costs at most a twentieth of a core."""

FORGET_EVERY_S = 3_600.0
FORGET_AFTER_DAYS = 2
"""Beyond the retention of documents: shapes are told once a day, the last telling may be a day older than the last
message, and a day counts from midnight."""

DAY_MS = 86_400_000


class TemplateWorker:
    """One worker; a second one beside it does the same and harms nothing.

    Its state is the two topics: it reads both from their beginning at each start and commits no offset. Until it has
    read what was there, it publishes nothing. Written at least once, keyed by fingerprint.

    Raises:
        Unavailable: Kafka does not answer, or the topics are not there, or it does not take a record.
    """

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self.health = Health(NAME, KAFKA)
        self._shapes_topic = settings.topic(topics.FINGERPRINTS)
        self._templates_topic = settings.topic(topics.TEMPLATES)
        self._settings = settings
        self._book = Book()
        published = read_all(settings, topics.TEMPLATES)
        self._book.restore(*_read_published(published))
        self._summary: Summary | None = None
        self._delivery = Delivery(clients.producer(settings.kafka))
        self._caught_up = False
        self._early: dict[str, tuple[Shape, int]] = {}
        """Until then: the last record of each key, since what was refused or forgotten must not come in again."""
        self._next_merge_s = self._next_forget_s = 0.0
        # Its group is a name alone: the partition is assigned by hand and nothing is committed.
        self._consumer = clients.consumer(
            settings.kafka, settings.group(NAME), enable_partition_eof=True, queued_max_messages_kbytes=QUEUED_KIB
        )
        self._consumer.assign([TopicPartition(self._shapes_topic, 0, OFFSET_BEGINNING)])
        self._probe = Probe(self._consumer, self._shapes_topic, self.health)
        log.info("templates restored", shapes=self._book.summary.shapes)

    def run_once(self) -> None:
        """Takes in what has come, and merges and publishes when that is due."""
        messages = clients.take(self._consumer, BATCH, ROUND_S)
        for message in messages:
            self._take(message)
        self._probe.look(read=any(message.error() is None for message in messages))
        now_s = time.monotonic()
        if self._caught_up and now_s >= self._next_forget_s:
            self._next_forget_s = now_s + FORGET_EVERY_S
            self._forget()
        if self._caught_up and self._book.due and now_s >= self._next_merge_s:
            self._merge()
        self._delivery.settle()

    def close(self) -> None:
        """Disconnects; what is not published is found again at the next start."""
        self._consumer.close()

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._start_from_what_was_there()
            else:
                self.health.set(KAFKA, False, error.str())
            return
        key, value, told_ms = _text(message.key()), message.value(), message.timestamp()[1]
        if value is None:
            self._early.pop(key, None)
            return
        try:
            shape = decoding.decode(value, Shape)
        except (msgspec.MsgspecError, UnicodeDecodeError) as reason:
            log.error("shape left unread", offset=message.offset(), reason=str(reason))
            metrics.UNREADABLE.labels(NAME, "shape").inc()
            return
        if self._caught_up:
            self._learn(shape, told_ms)
        else:
            self._early[key] = (msgspec.structs.replace(shape, example=""), told_ms)

    def _start_from_what_was_there(self) -> None:
        if not self._caught_up:
            self._caught_up = True
            for shape, told_ms in self._early.values():
                self._learn(shape, told_ms)
            self._early.clear()
            self.health.set(KAFKA, True)

    def _learn(self, shape: Shape, told_ms: int) -> None:
        if not self._book.take(shape, told_ms):
            # So that the topic stays as small as the map.
            self._send(self._shapes_topic, shape.fingerprint, None)
            metrics.TEMPLATES_REFUSED.inc()

    def _merge(self) -> None:
        began_s = time.monotonic()
        changed = self._book.merge()
        for number, placed in enumerate(changed, 1):
            self._send(self._templates_topic, placed.fingerprint, msgspec.json.encode(placed))
            if number % BATCH == 0:
                self._delivery.settle()
        took_s = time.monotonic() - began_s
        self._next_merge_s = began_s + max(LEAST_BETWEEN_S, took_s * REST_FACTOR)
        summary = self._book.summary
        if summary != self._summary:
            self._summary = summary
            self._send(self._templates_topic, SUMMARY_KEY.decode(), msgspec.json.encode(summary))
        metrics.TEMPLATES_SHAPES.set(summary.shapes)
        metrics.TEMPLATES.set(summary.templates)

    def _forget(self) -> None:
        days = read_retention(self._settings).longest_days() + FORGET_AFTER_DAYS
        gone = self._book.forget(time.time_ns() // 1_000_000 - days * DAY_MS)
        for fingerprint in gone:
            self._send(self._shapes_topic, fingerprint, None)
            self._send(self._templates_topic, fingerprint, None)
        if gone:
            log.info("shapes forgotten", shapes=len(gone))

    def _send(self, topic: str, key: str, value: bytes | None) -> None:
        self._delivery.send(topic, value, key=key, headers=[])


def _text(key: bytes | str | None) -> str:
    return key.decode() if isinstance(key, bytes) else key or ""


def _read_published(records: Mapping[bytes, bytes]) -> tuple[list[Placed], Summary | None]:
    summary = {key: value for key, value in records.items() if key == SUMMARY_KEY}
    placed = {key: value for key, value in records.items() if key != SUMMARY_KEY}
    return (
        list(readable(placed, Placed, topics.TEMPLATES, NAME).values()),
        readable(summary, Summary, topics.TEMPLATES, NAME).get(SUMMARY_KEY),
    )
