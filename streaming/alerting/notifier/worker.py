"""The notifier's loop: notifications in, one lane for each receiver, offsets committed once all is delivered."""

from __future__ import annotations

import queue
import time

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streaming.alerting.messages import Notification, Receipt
from streaming.alerting.notifier.lane import Lane
from streaming.alerting.receipts import is_expired, key_of, read_receipts
from streaming.alerting.receivers import make_receivers
from streaming.alerting.routes import receivers_for
from streaming.kafka import topics
from streaming.kafka.clients import consumer, producer, take
from streaming.kafka.offsets import OffsetTracker, Span
from streaming.kafka.probe import Probe
from streaming.kafka.transactions import raise_if_fenced
from streaming.settings import Settings
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import UNREADABLE

log = logger(__name__)

BATCH = 500
WAIT_S = 0.1
WAITING_LIMIT = 5000
"""Messages held for receivers that are away; more wait in Kafka. 5,000 x 4 KiB = 20 MiB."""

CLOSE_LANE_S = 5.0


class Notifier:
    """Carries notifications to their receivers. With more than one, one is active: the topic has one partition.

    Guarantee: each notification is delivered, in order for each incident, however long a receiver is away; later
    ones of an incident may be merged into what still waits. To a receiver that can be asked (Slack) each message goes
    once, also after SIGKILL; to one that cannot (console) at least once.

    Raises:
        Unavailable: Kafka does not answer.
    """

    name = "notifier"

    def __init__(self, settings: Settings, slot: int = 0) -> None:
        self._settings = settings
        receivers = make_receivers(settings)
        self.health = Health(self.name, "kafka", "role", *(r.name for r in receivers))
        # Receipts must be durable before the next message goes; they wait for Kafka as long as it takes.
        self._out = producer(settings.bootstrap, linger_ms=0, message_timeout_ms=0)
        self._tracker, self._open = OffsetTracker(), dict[Span, int]()
        self._settled: queue.SimpleQueue[list[Span]] = queue.SimpleQueue()
        self._closing = False
        self._lanes = {r.name: Lane(r, self._save, self._settled.put, self.health) for r in receivers}
        self._attempted_below = 0
        self._paused = False
        self._in = consumer(
            settings.bootstrap,
            settings.group("notifier"),
            group_instance_id=f"{settings.group('notifier')}-slot{slot}",
            fetch_wait_max_ms=10,
        )
        self._in.subscribe(
            [settings.topic(topics.NOTIFICATIONS)],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )
        self.health.set("kafka", True)
        self.health.set("role", True, "standby")
        self._probe = Probe(self._in, settings.topic(topics.NOTIFICATIONS), self.health)

    def run_once(self) -> None:
        """Hands out what came, commits what is delivered."""
        for lane in self._lanes.values():
            if lane.crash is not None:
                raise lane.crash
        self._pace()
        messages = take(self._in, BATCH, WAIT_S)
        for message in messages:
            self._dispatch(message)
        self._probe.look(read=any(message.error() is None for message in messages))
        self._commit(asynchronous=True)

    def close(self) -> None:
        """Lets messages in hand finish and commits them; what waits is read again by the next notifier."""
        self._closing = True
        for lane in self._lanes.values():
            lane.close(CLOSE_LANE_S)
        try:
            self._commit(asynchronous=False)
        except KafkaException as error:
            log.warning("not committed at the end; receipts tell what was sent", reason=str(error))
        self._in.close()

    def _pace(self) -> None:
        full = sum(lane.waiting() for lane in self._lanes.values()) >= WAITING_LIMIT
        if full and not self._paused:
            self._in.pause(self._in.assignment())
        elif self._paused and not full:
            self._in.resume(self._in.assignment())
        self._paused = full

    def _dispatch(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            raise_if_fenced(error, "this notifier")
            self.health.set("kafka", False, error.str())
            log.warning("cannot read", reason=error.str())
            return
        offset = message.offset() or 0
        span = self._tracker.begin(message.partition() or 0, offset, offset)
        try:
            notification = msgspec.json.decode(message.value() or b"", type=Notification)
        except msgspec.DecodeError as unreadable:
            UNREADABLE.labels(self.name, topics.NOTIFICATIONS).inc()
            log.error("record left unread", topic=topics.NOTIFICATIONS, offset=offset, reason=str(unreadable))
            self._tracker.finish(span)
            return
        names = receivers_for(notification.incident.route, self._settings)
        self._open[span] = len(names)
        for name in names:
            self._lanes[name].add(notification, span, look_first=offset < self._attempted_below)

    def _commit(self, *, asynchronous: bool) -> None:
        while not self._settled.empty():
            for span in self._settled.get():
                self._settle(span)
        positions = self._tracker.committable()
        if not positions:
            return
        topic = self._settings.topic(topics.NOTIFICATIONS)
        offsets = [TopicPartition(topic, p, offset) for p, offset in positions.items()]
        if asynchronous:
            self._in.commit(offsets=offsets, asynchronous=True)
        else:
            self._in.commit(offsets=offsets, asynchronous=False)
        self._tracker.committed(positions)

    def _settle(self, span: Span) -> None:
        """One receiver has it; when all have, its record is finished."""
        left = self._open.get(span, 0) - 1
        if left > 0:
            self._open[span] = left
            return
        self._open.pop(span, None)
        self._tracker.finish(span)

    def _save(self, receipt: Receipt) -> bool:
        """Returns when the receipt is durable; false when the notifier closes before."""
        self._out.produce(
            self._settings.topic(topics.NOTIFICATION_RECEIPTS), key=key_of(receipt), value=msgspec.json.encode(receipt)
        )
        while self._out.flush(1.0):
            if self._closing:
                return False
        return True

    def _on_assign(self, source: Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions:
            return
        receipts = self._without_expired(read_receipts(self._settings))
        for lane in self._lanes.values():
            lane.restart(receipts)
        # What is in the topic already may have been sent by a forerunner that died before it wrote the receipt.
        self._attempted_below = source.get_watermark_offsets(partitions[0], timeout=10)[1]
        self.health.set("role", True, "active")
        log.info("active", receipts=len(receipts))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions or self._closing:
            return
        for lane in self._lanes.values():
            lane.restart(())
        self._tracker.forget(p.partition for p in partitions)
        self._open.clear()
        self.health.set("role", True, "standby")
        log.info("standby")

    def _without_expired(self, receipts: list[Receipt]) -> list[Receipt]:
        """Deletes receipts that nobody will ask for, so that their topic does not grow for ever."""
        now_ms = time.time_ns() // 1_000_000
        for receipt in receipts:
            if is_expired(receipt, now_ms):
                self._out.produce(self._settings.topic(topics.NOTIFICATION_RECEIPTS), key=key_of(receipt), value=None)
        return [receipt for receipt in receipts if not is_expired(receipt, now_ms)]
