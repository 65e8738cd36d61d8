"""The notifier's loop: notifications in, one lane for each receiver, offsets committed once all is delivered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streaming import decoding
from streaming.alerting.messages import Attempt, Candidate, Notification, Recovery
from streaming.alerting.notifier.lanes import Lanes
from streaming.alerting.notifier.record import Record
from streaming.alerting.notifier.signs import PathWatch, Signs
from streaming.alerting.orders import Orders
from streaming.alerting.receipts import Horizon, read_receipts
from streaming.alerting.receivers import button_apps, make_receiver
from streaming.alerting.rules.source import RuleSource, last_good
from streaming.kafka import topics
from streaming.kafka.assigning import at_committed
from streaming.kafka.clients import consumer, producer, take
from streaming.kafka.offsets import OffsetTracker
from streaming.kafka.probe import Probe
from streaming.kafka.transactions import raise_if_fenced
from streaming.settings import Settings
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import UNREADABLE

if TYPE_CHECKING:
    from streaming.alerting.receivers.slack.sockets import Sockets

log = logger(__name__)

BATCH = 500
WAIT_S = 0.1
WAITING_LIMIT = 5000
"""Messages held that nobody has been told of; more wait in Kafka. 5,000 x 4 KiB = 20 MiB."""

CLOSE_LANES_S = 5.0
FORGET_EVERY_S = 3600.0
"""Receipts of a day's incidents are held in memory: 10,000 x 0.5 KiB x 2 receivers = 10 MiB. Where a receiver is away
for longer they are held for as long, since `notifications` keeps a day and an hour: 11 MiB."""

FIRST_FORGET_S = 60.0
"""After it became the active one: by then it has read where it goes on. One that is often restarted forgets, too."""


class Notifier:
    """Carries notifications to their receivers. With more than one, one is active: the topic has one partition.

    Guarantee: each notification is delivered, in order for each incident, however long a receiver is away; later
    ones of an incident may be merged into what still waits. Where a receiver fails for long, what must alert is
    delivered to others in its place. To a receiver that can be asked (Slack) each message goes once, also after
    SIGKILL; to one that cannot (console) at least once.

    Raises:
        ConfigError: the rule files are broken and there is no last good set.
        Unavailable: Kafka does not answer, or refuses a receipt.
    """

    name = "notifier"

    def __init__(self, settings: Settings, slot: int = 0) -> None:
        self._settings = settings
        self.health = Health(self.name, "rules", "kafka", "role")
        self._rules = RuleSource(settings.rules_path, lambda: last_good(settings))
        # Receipts must be durable before the next message goes; they wait for Kafka as long as it takes.
        self._out = producer(settings.kafka, linger_ms=0, message_timeout_ms=0)
        self._record = Record(self._out, settings.topic(topics.NOTIFICATION_RECEIPTS))
        self._tracker = OffsetTracker()
        self._closing = False
        self._attempted_below = 0
        self._horizon = Horizon()
        self._paused = self._is_active = False
        self._forget_at = time.monotonic() + FORGET_EVERY_S
        self._lanes = Lanes(
            settings,
            self._rules.rules,
            lambda wanted: make_receiver(wanted, settings),
            save=self._record.save,
            finish=self._tracker.finish,
            tell=self._tell,
            receipts=lambda: read_receipts(settings, with_intents=True),
            health=self.health,
        )
        self._signs, self._path = Signs(), None if self._rules.rules.dead_man is None else PathWatch(settings)
        self._show_rules()
        self._sockets: Sockets | None = None
        self._listen()
        self._in = consumer(
            settings.kafka,
            settings.group("notifier"),
            group_instance_id=f"{settings.group('notifier')}-slot{slot}",
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
        if self._rules.changed():
            self._take_rules()
        self._lanes.work()
        self._pace()
        messages = take(self._in, BATCH, WAIT_S)
        for message in messages:
            self._dispatch(message)
        self._probe.look(read=any(message.error() is None for message in messages))
        self._commit(asynchronous=True)
        self._show_life()
        self._forget()
        self._out.poll(0)
        self._record.raise_if_refused()

    def close(self) -> None:
        """Lets messages in hand finish and commits them; what waits is read again by the next notifier."""
        self._closing = True
        self._record.close()
        if self._sockets is not None:
            self._sockets.close()
        self._lanes.close(CLOSE_LANES_S)
        if self._path is not None:
            self._path.close()
        try:
            self._commit(asynchronous=False)
        except KafkaException as error:
            log.warning("not committed at the end; receipts tell what was sent", reason=str(error))
        self._in.close()

    def _take_rules(self) -> None:
        self._lanes.take_rules(self._rules.rules)
        self._show_rules()
        self._listen()

    def _listen(self) -> None:
        """Has the buttons of Slack answered, where an app token is given; by a notifier that stands by, too."""
        apps = button_apps(self._rules.rules, self._settings)
        if self._sockets is None and apps:
            # slack-sdk's socket mode costs memory and threads, which who has no buttons need not spend.
            from streaming.alerting.receivers.slack.buttons import Buttons
            from streaming.alerting.receivers.slack.sockets import Sockets

            buttons = Buttons(Orders(self._settings), lambda: self._rules.rules, lambda: time.time_ns() // 1_000_000)
            self._sockets = Sockets(self._settings.slack_api_url, buttons.answer, self.health)
        if self._sockets is not None:
            self._sockets.keep(apps)

    def _show_rules(self) -> None:
        # The matcher raises the incident about a broken file; here it only shows in the health answer.
        self.health.set("rules", True, str(self._rules.broken or self._rules.rules.version))

    def _pace(self) -> None:
        full = self._lanes.waiting() >= WAITING_LIMIT
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
        self._horizon.read(message.timestamp()[1])
        span = self._tracker.begin(message.partition() or 0, offset, offset)
        try:
            notification = decoding.decode(message.value() or b"", Notification)
        except (msgspec.MsgspecError, UnicodeDecodeError) as unreadable:
            UNREADABLE.labels(self.name, topics.NOTIFICATIONS).inc()
            log.error("record left unread", topic=topics.NOTIFICATIONS, offset=offset, reason=str(unreadable))
            self._tracker.finish(span)
            return
        if not self._lanes.knows(notification) and self._rules.changed(at_once=True):
            # The manager has looked at rules that changed just now.
            self._take_rules()
        self._lanes.dispatch(notification, span, look_first=offset < self._attempted_below)

    def _commit(self, *, asynchronous: bool) -> None:
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

    def _tell(self, found: Candidate | Recovery | Attempt) -> None:
        """Lets the manager know of a receiver that fails, or works again; keeps an attempt for the history."""
        if isinstance(found, Attempt):
            attempts = self._settings.topic(topics.DELIVERY_ATTEMPTS)
            self._out.produce(attempts, key=found.incident_id, value=msgspec.json.encode(found))
            return
        self._out.produce(
            self._settings.topic(topics.CANDIDATES),
            key=found.incident_key.encode("utf-8", "replace"),
            value=msgspec.json.encode(found),
        )

    def _show_life(self) -> None:
        """Has a sign of life sent where it is due, and where alerts would be delivered: that is what it says."""
        dead_man = self._rules.rules.dead_man
        if dead_man is None:
            self.health.forget("dead-man")
            return
        if self._path is None:
            self._path = PathWatch(self._settings)
        trouble = "this notifier stands by" if not self._is_active else self._path.trouble()
        if not trouble and self._paused:
            trouble = "receivers are away: notifications wait in Kafka"
        self.health.set("dead-man", True, f"no sign of life: {trouble}" if trouble else "")
        if self._signs.due(dead_man, not trouble, time.monotonic()):
            self._lanes.show_life(dead_man.receiver, dead_man.every)

    def _forget(self) -> None:
        """Deletes receipts that nobody will ask for, so that neither their topic nor this process grows for ever."""
        if time.monotonic() < self._forget_at or not self._is_active:
            return
        self._forget_at = time.monotonic() + FORGET_EVERY_S
        now_ms = time.time_ns() // 1_000_000
        needed_ms = self._horizon.needed_ms(self._lanes.oldest_ms(), now_ms)
        if needed_ms is None:
            return
        for receipt in self._lanes.forget_expired(now_ms, needed_ms):
            self._record.delete(receipt)

    def _on_assign(self, source: Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions:
            return
        receipts = read_receipts(self._settings, with_intents=True)
        self._lanes.begin(receipts)
        # What is in the topic already may have been sent by a forerunner that died before it wrote the receipt.
        self._attempted_below = source.get_watermark_offsets(partitions[0], timeout=10)[1]
        placed = at_committed(source, partitions)
        all_done = placed[0].offset >= self._attempted_below
        source.incremental_assign(placed)
        self._horizon.begin(time.time_ns() // 1_000_000 if all_done else None)
        self._forget_at = time.monotonic() + FIRST_FORGET_S
        self._is_active = True
        self.health.set("role", True, "active")
        log.info("active", receipts=len(receipts))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions or self._closing:
            return
        self._lanes.end()
        self._tracker.forget(p.partition for p in partitions)
        self._is_active = False
        self.health.set("role", True, "standby")
        log.info("standby")
