"""A lane without threads, in simulated time: what `notifier/lane.py` does with outbox, digests and receiver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import msgspec

from streaming.alerting.messages import Notification, Receipt
from streaming.alerting.notifier.digest_writer import DigestWriter
from streaming.alerting.notifier.digests import Digests
from streaming.alerting.notifier.outbox import Item, Outbox, backoff_s
from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.receivers.slack import SlackReceiver
from streaming.kafka.offsets import Span
from tests.support.told import NOON_MS, receipt


class Killed(BaseException):
    """SIGKILL, at a place that a test chose."""


@dataclass
class Topic:
    """What Kafka keeps: notifications, which of them are settled, receipts."""

    notifications: list[tuple[Notification, Span]] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)
    receipts: dict[str, Receipt] = field(default_factory=dict)

    def add(self, notification: Notification) -> tuple[Notification, Span]:
        offset = len(self.notifications)
        self.notifications.append((notification, Span(0, offset, offset)))
        return self.notifications[-1]

    def committed(self) -> int:
        return next((i for i in range(len(self.notifications)) if i not in self.settled), len(self.notifications))


class SimulatedLane:
    """One life of a notifier's lane, from the committed offset on; its clock is shared with receiver and Slack."""

    def __init__(self, topic: Topic, receiver: SlackReceiver, clock: Clock, kill_at: Callable[[], bool]) -> None:
        self.name, self.lock = receiver.name, nullcontext()
        self.topic, self.receiver, self.clock, self.kill_at = topic, receiver, clock, kill_at
        self.outbox, self.digests = Outbox(), Digests()
        self.receipts = dict(topic.receipts)
        self.digests.restart(self.receipts.values())
        self.not_before = 0.0
        for notification, span in topic.notifications[topic.committed() :]:
            self.outbox.add(notification, span, look_first=True)

    def add(self, notification: Notification) -> None:
        """The manager orders something."""
        self.outbox.add(*self.topic.add(notification), look_first=False)

    def run(self, until: float) -> None:
        """Works until that time; time passes only where it waits."""
        while True:
            self.work()
            due = [at for at in (self.outbox.next_at(), self.digests.next_at()) if at is not None]
            if not due or max(min(due), self.not_before) > until:
                self.clock.now = max(self.clock.now, until)
                return
            self.clock.now = max(self.clock.now, min(due), self.not_before)

    def work(self) -> None:
        """All that is due now."""
        while self.clock.now >= self.not_before:
            work = self.digests.due(self.clock.now)
            if work is not None:
                try:
                    DigestWriter(self, self.digests, self.receiver, self.clock.now, self.clock.ms()).write(work)
                except Undelivered as failure:
                    wait_s = failure.wait_s if failure.wait_s is not None else backoff_s(1)
                    self.digests.failed(work, self.clock.now, wait_s, unknown=failure.unknown)
                continue
            item = self.outbox.take(self.clock.now)
            if item is None:
                return
            self.send(item)

    def send(self, item: Item) -> None:
        incident = item.notification.incident
        known, now = self.receipt_of(incident.incident_id), self.clock.now
        if known is not None and (known.noted if item.is_note else known.version) >= incident.version:
            self.topic.settled |= {span.first for span in item.spans}
            return
        if self.digests.gather(item, known, now, self.clock.ms()):
            return
        try:
            delivered = self.receiver.deliver(item.notification, known, item.look_first)
        except Undelivered as failure:
            wait_s = failure.wait_s if failure.wait_s is not None else backoff_s(1)
            if failure.only_this:
                self.outbox.put_back(item, now + wait_s, unknown=failure.unknown)
                return
            if failure.reason == "paced" and self.digests.press(self._waiting(item), wait_s, now, self.clock.ms()):
                wait_s = 0.0
            self.not_before = now + wait_s
            self.outbox.put_back(item, now, unknown=failure.unknown)
            return
        if item.is_note:
            assert known is not None, "a note comes after the incident"
            self.keep([msgspec.structs.replace(known, noted=incident.version)])
            self.topic.settled |= {span.first for span in item.spans}
            return
        new = receipt(
            delivered,
            incident.version,
            incident_id=incident.incident_id,
            action=item.notification.action,
            severity=incident.severity,
            state=incident.state,
            noted=0 if known is None else known.noted,
        )
        self.keep([new])
        self.digests.delivered(incident.incident_id)
        self.digests.has_taken(self.clock.now - now, self._waiting(), self.clock.now, self.clock.ms())
        self.topic.settled |= {span.first for span in item.spans}

    def _waiting(self, *before: Item) -> Iterator[tuple[Item, Receipt | None]]:
        for one in (*before, *(items[0] for items in self.outbox.waiting.values())):
            yield one, self.receipt_of(one.notification.incident.incident_id)

    # ------------------------------------------------------------------------------ as `digest_writer.Lane`

    def receipt_of(self, incident_id: str) -> Receipt | None:
        return self.receipts.get(incident_id)

    def keep(self, receipts: Sequence[Receipt]) -> bool:
        if self.kill_at():
            raise Killed
        for one in receipts:
            self.receipts[one.incident_id] = self.topic.receipts[one.incident_id] = one
        if self.kill_at():
            raise Killed
        return True

    def has_settled(self, items: Iterable[Item], receipts: Mapping[str, Receipt]) -> None:
        self.topic.settled |= {span.first for item in items for span in item.spans}

    def goes_by_itself(self, items: Iterable[Item]) -> None:
        for item in items:
            self.outbox.return_(item)


@dataclass
class Clock:
    """Simulated seconds; they begin at noon."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def ms(self) -> int:
        return NOON_MS + round(self.now * 1000)

    def wall(self) -> float:
        return self.ms() / 1000
