"""One receiver's thread: a slow or broken receiver delays nobody else's messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Protocol

from msgspec.structs import replace as replace_struct

from streaming.alerting.messages import DELIVERED, Action, Attempt, Receipt
from streaming.alerting.notifier.digest_writer import Closing, DigestWriter
from streaming.alerting.notifier.digests import Digests, Work
from streaming.alerting.notifier.guard import GuardedTeller, guarded
from streaming.alerting.notifier.handing_over import Given, HandingOver
from streaming.alerting.notifier.outbox import QUIET, Item, Outbox, backoff_s
from streaming.alerting.notifier.remade import Remade
from streaming.alerting.notifier.reports import Fell, HandedOver, Left, Report, Rose, Settled, Tried
from streaming.alerting.notifier.standing import PACED, Standing
from streaming.alerting.receipts import alerted, expired, is_over
from streaming.alerting.receivers.base import Delivered, Receiver, ShowsLife, TellsMany, Undelivered
from streaming.alerting.text import cut
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import NOTIFIER_FAILED, NOTIFIER_LATENCY_SECONDS, NOTIFIER_SENT, NOTIFIER_SIGNS

log = logger(__name__)

IDLE_WAIT_S = 1.0
CHECK_AGAIN_S = 60.0
NOTHING_GIVEN = Given([], [], [])

OUTCOME_LIMIT = 500
"""Characters of a receiver's words that are kept."""


class Save(Protocol):
    """Returns when these receipts are durable; false: the notifier is closing."""

    def __call__(self, *receipts: Receipt) -> bool: ...


class Lane:
    """Sends what is added, in order for each incident, until it arrives or others are told in its place.

    `make` makes the receiver when it is first needed, and again where it was misconfigured: so a secret that was put
    right is taken up. `save` must return only when the receipt is durable (false: the notifier is closing). `report`
    is told what becomes of the items. All three are called from the lane's thread, as the receiver is.

    A message that has failed for `patience_s` is handed over if it must alert, also where others pass. Where the
    receiver has failed for so long with nothing delivered between, or is misconfigured, it has fallen: all that must
    alert is handed over. From then on it is tried by what comes, and what it does not take is handed over at
    once, until it takes something.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Receiver],
        save: Save,
        report: Callable[[Report], None],
        health: Health,
        patience_s: float,
    ) -> None:
        self.name = name
        self._receiver = Remade(name, make)
        self._save, self._report, self._health = save, report, health
        self._outbox, self._receipts = Outbox(), dict[str, Receipt]()
        self._digests = Digests()
        self._in_hand: Item | None = None
        self._round = 0
        """Rises when partitions come or go: what was in hand before belongs to another notifier now."""
        self._changed = self.lock = threading.Condition()
        self._standing = Standing(patience_s)
        self._handing_over = HandingOver(self._standing)
        self.crash: BaseException | None = None
        self._check_at: float | None = 0.0
        self._sign_every_s: float | None = None
        self._tells_many = False
        self._has_delivered = self._closing = self._leaving = self._left = False
        self._thread = threading.Thread(target=self._loop, name=f"lane-{name}", daemon=True)
        self._thread.start()

    # -------------------------------------------------------------------------- called by the notifier's thread

    def put(self, item: Item) -> None:
        """Takes an item in; reports will tell of its spans."""
        with self._changed:
            self._outbox.put(item)
            self._changed.notify()

    def take_back(self, item: Item) -> None:
        """Nobody else could take what was handed over: it waits here until the receiver does."""
        with self._changed:
            item.handed_on = True
            self._outbox.return_(item)
            self._changed.notify()

    def restart(self, receipts: Iterable[Receipt]) -> None:
        """Forgets what waits, and starts from these receipts: partitions came or went."""
        with self._changed:
            self._round += 1
            self._outbox.clear()
            self._receipts = {r.incident_id: r for r in receipts if r.receiver == self.name}
            self._digests = Digests()
            self._digests.restart(self._receipts.values())

    def replace(self, make: Callable[[], Receiver]) -> None:
        """The receiver is another from the next message on, and is tried at once."""
        with self._changed:
            self._receiver.replace(make)
            self._standing.replaced()
            self._check_at = 0.0
            self._changed.notify()

    def leave(self) -> None:
        """Goes on until nothing waits, and hands over what cannot be sent; then reports `Left`, and ends."""
        with self._changed:
            self._leaving = True
            self._changed.notify()

    def stay(self) -> bool:
        """Takes `leave` back; false where it has left."""
        with self._changed:
            self._leaving = False
            return not self._left

    def show_life(self, every_s: float) -> None:
        """Sends a sign of life as soon as the message in hand is sent; the next one follows after `every_s`."""
        with self._changed:
            self._sign_every_s = every_s
            self._changed.notify()

    def waiting(self) -> int:
        """Messages not yet sent, for which no more need be read: but for those that others were told of, and, where the
        receiver has fallen, edits. A receiver that is away for days keeps nobody else's alerts waiting.

        Those that do not count are bounded, too: resolutions by what people had been told there before it fell, edits
        by `handing_over.EDITS_LIMIT`.
        """
        with self._changed:
            fallen = self._standing.has_fallen
            held = (item for box in (self._outbox, self._digests.held) for item in box)
            return sum(not item.told_elsewhere and not (fallen and item.notification.action in QUIET) for item in held)

    def holds(self, incident_id: str) -> bool:
        """Whether people were told there of the incident and not yet that it is over, or are about to be."""
        with self._changed:
            receipt = self._receipts.get(incident_id)
            return (
                incident_id in self._outbox.waiting
                or self._digests.holds(incident_id)
                or (self._in_hand is not None and self._in_hand.notification.incident.incident_id == incident_id)
                or (receipt is not None and not is_over(receipt))
            )

    def was_told(self, incident_id: str) -> bool:
        """Whether people were told there of the incident, also that it is over, or are about to be."""
        with self._changed:
            is_known = incident_id in self._receipts
        return is_known or self.holds(incident_id)

    @property
    def has_fallen(self) -> bool:
        """Whether others are told in its place."""
        return self._standing.has_fallen

    def forget_expired(self, now_ms: int, needed_ms: int) -> list[Receipt]:
        """Gives up receipts that nobody will ask for, none since `needed_ms`, and says which."""
        with self._changed:
            gone = expired(self._receipts.values(), now_ms, needed_ms)
            for receipt in gone:
                del self._receipts[receipt.incident_id]
            self._digests.forget(gone)
            return gone

    def stop(self) -> None:
        """Begins nothing more; what waits stays in Kafka."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def close(self, within_s: float) -> None:
        """Stops, and lets the message in hand finish."""
        self.stop()
        self._thread.join(within_s)

    # -------------------------------------------------------------------------------- called by the lane's thread

    def _loop(self) -> None:
        try:
            self._work()
            self._receiver.close()
        except BaseException as error:
            # A fault of the notifier, not of a receiver, or Kafka does not answer: the notifier sees it here and ends.
            self.crash = error
            raise

    def _work(self) -> None:
        while True:
            self._hand_over()
            if self._has_left():
                return
            item = self._next()
            if self._closing:
                return
            if self._sign_every_s is not None:
                self._show_life(self._sign_every_s)
            if item is not None:
                self._send(item)
            elif (work := self._due_digest()) is not None:
                self._write_digest(*work)
            elif self._check_at is not None and time.monotonic() >= self._check_at:
                self._check()

    def _next(self) -> Item | None:
        """Waits for an item that is due; None now and then, so that other duties have their turn."""
        with self._changed:
            now = time.monotonic()
            item = self._take(now)
            if item is not None or self._has_duties(now):
                return item
            due = min((at for at in (self._outbox.next_at(), self._digests.next_at()) if at is not None), default=None)
            wait_s = IDLE_WAIT_S if due is None else max(due, self._standing.not_before) - now
            self._changed.wait(min(IDLE_WAIT_S, max(0.001, wait_s)))
            return self._take(time.monotonic())

    def _take(self, now: float) -> Item | None:
        # A digest that is due goes first: it tells of many.
        is_free = now >= self._standing.not_before and not self._may_write(now)
        self._in_hand = self._outbox.take(now) if is_free else None
        return self._in_hand

    def _has_duties(self, now: float) -> bool:
        due = self._check_at is not None and now >= self._check_at
        return self._closing or self._sign_every_s is not None or due or self._may_write(now)

    def _may_write(self, now: float) -> bool:
        at = self._digests.next_at()
        return at is not None and at <= now and now >= self._standing.not_before

    def _send(self, item: Item) -> None:
        incident, started_in = item.notification.incident, self._round
        receipt = self._receipts.get(incident.incident_id)
        if receipt is not None and _is_told(item, receipt):
            self._has_settled(item)
            return
        try:
            receiver = self._receiver.made()
            if self._gathered(item, receipt, receiver):
                return
            if item.is_note and (receipt is None or not receipt.version):
                # Others were told of the incident in its place.
                self._has_settled(item)
                return
            began = time.monotonic()
            with guarded(self.name):
                delivered = receiver.deliver(item.notification, receipt, item.look_first)
        except Undelivered as failure:
            self._failed(item, failure, started_in)
            return
        new = self._receipt(item, delivered, receipt)
        with self._changed:
            self._receipts[incident.incident_id] = new
            if not item.is_note:
                self._digests.delivered(incident.incident_id)
            if self._tells_many:
                now = time.monotonic()
                self._digests.has_taken(now - began, self._waiting(), now, time.time_ns() // 1_000_000)
        _count(self.name, item, new)
        self._note(item, DELIVERED, delivered)
        self._works()
        if self._save(new):
            self._has_settled(item)

    def _receipt(self, item: Item, delivered: Delivered, before: Receipt | None) -> Receipt:
        incident = item.notification.incident
        if item.is_note and before is not None:
            # The incident's message is as it was.
            return replace_struct(before, noted=incident.version, sent_ms=time.time_ns() // 1_000_000)
        return Receipt(
            incident_id=incident.incident_id,
            receiver=self.name,
            version=incident.version,
            action=item.notification.action,
            rule_id=incident.rule_id,
            severity=incident.severity,
            title=incident.title,
            sent_ms=time.time_ns() // 1_000_000,
            message_id=delivered.message_id,
            channel=delivered.channel,
            state=incident.state,
            alerted=max(item.alerts, 0 if before is None else alerted(before)),
            noted=0 if before is None else before.noted,
        )

    def _has_settled(self, item: Item) -> None:
        with self._changed:
            self._in_hand = None
        self._report(Settled(item.spans))

    def _failed(self, item: Item, failure: Undelivered, started_in: int) -> None:
        self._tell_failure(failure, item)
        with self._changed:
            now = time.monotonic()
            fell = False
            if failure.reason != PACED and not self._receiver.was_replaced:
                self._handing_over.has_failed(item, now)
            if self._receiver.was_replaced:
                not_before = now  # The one that failed is no more.
            elif failure.only_this:
                not_before = now + (backoff_s(item.attempts + 1) if failure.wait_s is None else failure.wait_s)
            elif failure.reason == PACED and self._press(item, failure.wait_s or 0.0, now):
                not_before = now
            else:
                # What one message met, the others would meet too: the lane waits as a whole.
                not_before, fell = now, self._standing.failed(failure, now)
            self._in_hand = None
            if started_in == self._round:
                self._outbox.put_back(item, not_before, unknown=failure.unknown)
        if not failure.only_this:
            self._is_ill(failure, fell)

    def _tell_failure(self, failure: Undelivered, item: Item | None = None) -> None:
        if failure.reason == PACED:
            return
        NOTIFIER_FAILED.labels(self.name, failure.reason).inc()
        about = "" if item is None else item.notification.incident.incident_id
        attempts = 1 if item is None else item.attempts + 1
        log.warning("not delivered", receiver=self.name, incident=about, reason=str(failure), attempts=attempts)
        if item is not None:
            self._note(item, str(failure))

    def _note(self, item: Item, outcome: str, delivered: Delivered | None = None) -> None:
        """For whoever asks later what the receiver answered."""
        incident = item.notification.incident
        attempt = Attempt(
            at_ms=time.time_ns() // 1_000_000,
            incident_id=incident.incident_id,
            receiver=self.name,
            action=item.notification.action,
            version=incident.version,
            outcome=cut(outcome, OUTCOME_LIMIT),
            message_id=delivered.message_id if delivered else None,
            channel=delivered.channel if delivered else None,
        )
        self._report(Tried(attempt))

    def _is_ill(self, failure: Undelivered, fell: bool) -> None:
        if failure.reason != PACED:
            self._health.set(self.name, not self._standing.is_ill(failure), str(failure))
        if failure.misconfigured:
            self._receiver.make_anew()
        if fell:
            self._fell()

    def _fell(self) -> None:
        log.error("receiver fails for long, others are told", receiver=self.name, reason=self._standing.reason)
        self._health.set(self.name, False, self._standing.reason)
        self._report(Fell(self.name, self._standing.reason))

    def _works(self) -> None:
        """It delivered."""
        with self._changed:
            rose = self._standing.delivered() or not self._has_delivered
            self._has_delivered = True
        self._health.set(self.name, True)
        if rose:
            self._report(Rose(self.name))

    def _show_life(self, every_s: float) -> None:
        with self._changed:
            self._sign_every_s = None
        try:
            receiver: object = self._receiver.made()
            if not isinstance(receiver, ShowsLife):
                raise Undelivered("shows_no_life", "a receiver of this kind sends no sign of life", misconfigured=True)
            with guarded(self.name):
                receiver.alive(time.time_ns() // 1_000_000, every_s)
        except Undelivered as failure:
            NOTIFIER_SIGNS.labels(self.name, failure.reason).inc()
            self._tell_failure(failure)
            with self._changed:
                fell = self._standing.failed(failure, time.monotonic(), is_sign=True)
            self._is_ill(failure, fell)
            return
        NOTIFIER_SIGNS.labels(self.name, "sent").inc()
        if not self._standing.owes_message:
            self._works()

    def _check(self) -> None:
        """Asks whether it would take a message, until it says so once."""
        try:
            receiver = self._receiver.made()
            with guarded(self.name):
                receiver.check()
        except Undelivered as failure:
            with self._changed:
                fell = self._standing.refused(failure, time.monotonic())
                self._check_at = time.monotonic() + CHECK_AGAIN_S
            log.warning("receiver would not take a message", receiver=self.name, reason=str(failure))
            self._is_ill(failure, fell)
            return
        with self._changed:
            self._check_at = None
            fell_by_asking = self._standing.fell_by_asking
        if fell_by_asking:
            self._works()
        elif not self._standing.has_fallen:
            self._health.set(self.name, True)

    # ---------------------------------------------------------------------------------------- many in one message

    def receipt_of(self, incident_id: str) -> Receipt | None:
        """The latest receipt of an incident."""
        with self._changed:
            return self._receipts.get(incident_id)

    def keep(self, receipts: Sequence[Receipt]) -> bool:
        """Returns when these are durable; false: the notifier is closing, or another one is active."""
        started_in = self._round
        if not self._save(*receipts):
            return False
        with self._changed:
            if started_in != self._round:
                return False
            self._receipts.update((receipt.incident_id, receipt) for receipt in receipts)
        return True

    def has_settled(self, items: Iterable[Item], receipts: Mapping[str, Receipt]) -> None:
        """These items are delivered, and their receipts durable."""
        for item in items:
            receipt = receipts[item.notification.incident.incident_id]
            _count(self.name, item, receipt)
            self._note(item, DELIVERED, Delivered(receipt.message_id, receipt.channel))
            self._report(Settled(item.spans))

    def goes_by_itself(self, items: Iterable[Item]) -> None:
        """These have messages of their own, which are to be found and edited."""
        with self._changed:
            for item in items:
                self._outbox.put(item)

    def _gathered(self, item: Item, receipt: Receipt | None, receiver: object) -> bool:
        """Whether a digest is to tell of it."""
        self._tells_many = isinstance(receiver, TellsMany)
        if not self._tells_many:
            return False
        with self._changed:
            gathered = self._digests.gather(item, receipt, time.monotonic(), time.time_ns() // 1_000_000)
            if gathered:
                self._in_hand = None
        return gathered

    def _press(self, refused: Item, wait_s: float, now: float) -> bool:
        """Whether what waits is gathered into a digest from now on."""
        return self._tells_many and self._digests.press(
            self._waiting(refused), wait_s, now, time.time_ns() // 1_000_000
        )

    def _waiting(self, *before: Item) -> Iterator[tuple[Item, Receipt | None]]:
        """The first that waits of each incident, with its receipt; these before."""
        for item in (*before, *(items[0] for items in self._outbox.waiting.values())):
            yield item, self._receipts.get(item.notification.incident.incident_id)

    def _due_digest(self) -> tuple[Digests, Work, int] | None:
        with self._changed:
            now = time.monotonic()
            work = self._digests.due(now) if self._may_write(now) else None
            return None if work is None else (self._digests, work, self._round)

    def _write_digest(self, digests: Digests, work: Work, started_in: int) -> None:
        now = time.monotonic()
        try:
            receiver: object = self._receiver.made()
            if not isinstance(receiver, TellsMany):
                # The rules changed, and with them the kind of the receiver.
                self._release()
                return
            teller = GuardedTeller(self.name, receiver)
            DigestWriter(self, digests, teller, now, time.time_ns() // 1_000_000).write(work)
        except Closing:
            return
        except Undelivered as failure:
            self._tell_failure(failure)
            self._note_first(work, failure)
            with self._changed:
                now, fell = time.monotonic(), False
                wait_s = backoff_s(1) if failure.wait_s is None else failure.wait_s
                digests.failed(work, now, wait_s, unknown=failure.unknown)
                if failure.reason != PACED and not self._receiver.was_replaced:
                    for item in work.items:
                        self._handing_over.has_failed(item, now)
                if not failure.only_this and failure.reason != PACED and not self._receiver.was_replaced:
                    fell = self._standing.failed(failure, now)
            if not failure.only_this and started_in == self._round:
                self._is_ill(failure, fell)
            return
        self._works()

    def _note_first(self, work: Work, failure: Undelivered) -> None:
        """Of each item the first failure alone: a digest of thousands that fails for an hour would fill the history."""
        for item in work.items if failure.reason != PACED else ():
            if not item.attempts:
                self._note(item, str(failure))
            item.attempts += 1

    def _release(self) -> None:
        """What waits for digests waits by itself."""
        with self._changed:
            for item in reversed(self._digests.release()):
                self._outbox.return_(item)

    # ----------------------------------------------------------------------------------------- giving to others

    def _hand_over(self) -> None:
        """Gives to others what they are to be told of in its place."""
        with self._changed:
            fell = self._standing.waited(time.monotonic())
        if fell:
            self._fell()
        given = self._taken_from_here()
        if given.moving:
            self._report(HandedOver(self.name, given.moving, stays=False))
        if given.staying:
            self._report(HandedOver(self.name, [replace(item) for item in given.staying], stays=True))
        if given.dropped and not self._leaving:
            log.warning("edits left out", receiver=self.name, incidents=len(given.dropped))
        for item in given.dropped:
            self._report(Settled(item.spans))

    def _taken_from_here(self) -> Given:
        with self._changed:
            now, handing_over, leaving = time.monotonic(), self._handing_over, self._leaving
            if not handing_over.is_due(now, leaving=leaving):
                return NOTHING_GIVEN
            if handing_over.gives_up(now, leaving=leaving) or any(
                handing_over.must_go(item, now, leaving=leaving) for item in self._digests.held
            ):
                self._release()
            given = handing_over.take(self._outbox, self._receipts, now, leaving=leaving)
            handing_over.look_again(chain(self._outbox, self._digests.held))
            return given

    def _has_left(self) -> bool:
        with self._changed:
            self._left = self._leaving and not len(self._outbox) and not len(self._digests)
        if self._left:
            self._report(Left(self.name))
        return self._left


def _is_told(item: Item, receipt: Receipt) -> bool:
    """Whether a forerunner delivered it, or it merged into something that was."""
    version = item.notification.incident.version
    if item.is_note:
        return receipt.noted >= version
    return receipt.version >= version and alerted(receipt) >= item.alerts


def _count(receiver: str, item: Item, receipt: Receipt) -> None:
    action = item.notification.action
    NOTIFIER_SENT.labels(receiver, action.value).inc()
    if action in (Action.OPEN, Action.REOPEN):
        received_ms = item.notification.incident.sample.received_ms
        NOTIFIER_LATENCY_SECONDS.observe(max(0, receipt.sent_ms - received_ms) / 1000)
