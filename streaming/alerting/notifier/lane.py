"""One receiver's thread: a slow or broken receiver delays nobody else's messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from streaming.alerting.messages import Action, Notification, Receipt
from streaming.alerting.notifier.outbox import Item, Outbox, backoff_s
from streaming.alerting.receivers.base import Receiver, Undelivered
from streaming.kafka.offsets import Span
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import NOTIFIER_FAILED, NOTIFIER_LATENCY_SECONDS, NOTIFIER_SENT

log = logger(__name__)

IDLE_WAIT_S = 1.0
CHECK_AGAIN_S = 60.0
UNHEALTHY_AFTER = 6
"""So many failures in a row, with nothing delivered between: 1 + 2 + 4 + 8 + 16 = 31 s of waiting, whatever the
reason. Alerts that reach nobody for so long must show."""


class Lane:
    """Sends what is added, in order for each incident, until it arrives.

    `save` must return only when the receipt is durable (false: the notifier is closing); `settled` is then told
    which records are finished. Both are called from the lane's thread.
    """

    def __init__(
        self,
        receiver: Receiver,
        save: Callable[[Receipt], bool],
        settled: Callable[[list[Span]], None],
        health: Health,
    ) -> None:
        self.receiver = receiver
        self._save, self._settled, self._health = save, settled, health
        self._outbox, self._receipts = Outbox(), dict[str, Receipt]()
        self._changed = threading.Condition()
        self._not_before, self._failures = 0.0, 0
        self.crash: BaseException | None = None
        self._check_at: float | None = 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name=f"lane-{receiver.name}", daemon=True)
        self._thread.start()

    def add(self, notification: Notification, span: Span, *, look_first: bool) -> None:
        """Takes a notification in; `settled` will be told of its span."""
        with self._changed:
            self._outbox.add(notification, span, look_first=look_first)
            self._changed.notify()

    def restart(self, receipts: Iterable[Receipt]) -> None:
        """Forgets what waits, and starts from these receipts: partitions came or went."""
        with self._changed:
            self._outbox.clear()
            self._receipts = {r.incident_id: r for r in receipts if r.receiver == self.receiver.name}

    def waiting(self) -> int:
        """Messages not yet sent."""
        with self._changed:
            return len(self._outbox)

    def close(self, within_s: float) -> None:
        """Lets the message in hand finish; what waits stays in Kafka."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(within_s)

    def _loop(self) -> None:
        try:
            self._work()
        except BaseException as error:
            # A fault of the program, not of a receiver: the notifier sees it here and ends.
            self.crash = error
            raise

    def _work(self) -> None:
        while True:
            item = self._next()
            if self._closing:
                return
            if item is not None:
                self._send(item)
            elif self._check_at is not None and time.monotonic() >= self._check_at:
                self._check()

    def _next(self) -> Item | None:
        """Waits for an item that is due; None now and then, so that other duties have their turn."""
        with self._changed:
            now = time.monotonic()
            item = self._outbox.take(now) if now >= self._not_before else None
            if item is not None or self._closing or (self._check_at is not None and now >= self._check_at):
                return item
            due = self._outbox.next_at()
            wait_s = IDLE_WAIT_S if due is None else max(due, self._not_before) - now
            self._changed.wait(min(IDLE_WAIT_S, max(0.001, wait_s)))
            now = time.monotonic()
            return self._outbox.take(now) if now >= self._not_before else None

    def _send(self, item: Item) -> None:
        incident = item.notification.incident
        receipts = self._receipts
        receipt = receipts.get(incident.incident_id)
        if receipt is not None and receipt.version >= incident.version:
            self._settled(item.spans)
            return
        try:
            delivered = self.receiver.deliver(item.notification, receipt, item.look_first)
        except Undelivered as failure:
            self._failed(item, failure)
            return
        now_ms = time.time_ns() // 1_000_000
        action = item.notification.action
        new = Receipt(
            incident_id=incident.incident_id,
            receiver=self.receiver.name,
            version=incident.version,
            action=action,
            rule_id=incident.rule_id,
            severity=incident.severity,
            title=incident.title,
            sent_ms=now_ms,
            message_id=delivered.message_id,
            channel=delivered.channel,
        )
        receipts[incident.incident_id] = new
        self._failures = 0
        NOTIFIER_SENT.labels(self.receiver.name, action.value).inc()
        if action in (Action.OPEN, Action.REOPEN):
            NOTIFIER_LATENCY_SECONDS.observe(max(0, now_ms - incident.sample.received_ms) / 1000)
        self._health.set(self.receiver.name, True)
        if self._save(new):
            self._settled(item.spans)

    def _failed(self, item: Item, failure: Undelivered) -> None:
        if failure.reason != "paced":
            NOTIFIER_FAILED.labels(self.receiver.name, failure.reason).inc()
            log.warning(
                "not delivered",
                receiver=self.receiver.name,
                incident=item.notification.incident.incident_id,
                reason=str(failure),
                attempts=item.attempts + 1,
            )
        with self._changed:
            now = time.monotonic()
            if failure.only_this:
                self._outbox.put_back(item, now + backoff_s(item.attempts + 1), unknown=failure.unknown)
                return
            # What one message met, the others would meet too: the lane waits as a whole.
            self._failures += failure.wait_s is None
            if failure.reason != "paced":
                lasts = self._failures >= UNHEALTHY_AFTER
                self._health.set(self.receiver.name, not (failure.misconfigured or lasts), str(failure))
            self._not_before = now + (backoff_s(self._failures) if failure.wait_s is None else failure.wait_s)
            self._outbox.put_back(item, now, unknown=failure.unknown)

    def _check(self) -> None:
        try:
            self.receiver.check()
        except Undelivered as failure:
            self._health.set(self.receiver.name, not failure.misconfigured, str(failure))
            self._check_at = time.monotonic() + CHECK_AGAIN_S
            log.warning("receiver would not take a message", receiver=self.receiver.name, reason=str(failure))
            return
        self._health.set(self.receiver.name, True)
        self._check_at = None
