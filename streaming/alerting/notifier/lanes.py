"""All lanes together: who gets a notification, what becomes of it, and what follows when the rules change."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from streaming.alerting.failing_receiver import TELL_AGAIN_S, failing, recovered
from streaming.alerting.messages import (
    Action,
    Attempt,
    Candidate,
    Incident,
    IncidentState,
    Notification,
    Receipt,
    Recovery,
)
from streaming.alerting.notifier.addressing import Directory
from streaming.alerting.notifier.lane import Lane, Save
from streaming.alerting.notifier.outbox import Item
from streaming.alerting.notifier.reports import Fell, HandedOver, Left, Report, Rose, Settled, Tried
from streaming.alerting.receivers import Wanted, wanted_receivers
from streaming.alerting.receivers.base import Receiver
from streaming.alerting.routes import CANARY, CONSOLE, default_receiver
from streaming.alerting.routing import Routing
from streaming.alerting.rules.ruleset import RuleSet
from streaming.kafka.offsets import Span
from streaming.settings import Settings
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import NOTIFIER_HANDED_OVER

log = logger(__name__)

REACHED = "reached"
"""Check of the health answer: whether alerts reach whom they are for, or the console alone."""


@dataclass
class Open:
    """A record that is not finished."""

    incident_id: str
    created_ms: int
    left: int
    """So many receivers are still to have it."""


@dataclass
class Latest:
    """An incident with records that are not finished, as it was last told of."""

    incident: Incident
    records: int


class Lanes:
    """The receivers of the rule set in force, a lane for each.

    Each record counts as finished, and is told so by `finish`, once every receiver that was to be told of it has it,
    or others that were told in its place. `tell` is given what the manager is to know of receivers that fail, and each
    attempt for the history. But for the lanes' own threads all is done in the caller's, which calls `work` often.
    """

    def __init__(
        self,
        settings: Settings,
        rules: RuleSet,
        make: Callable[[Wanted], Receiver],
        *,
        save: Save,
        finish: Callable[[Span], None],
        tell: Callable[[Candidate | Recovery | Attempt], None],
        receipts: Callable[[], Iterable[Receipt]],
        health: Health,
    ) -> None:
        self._settings, self._make = settings, make
        self._save, self._finish, self._tell, self._receipts = save, finish, tell, receipts
        self._health = health
        self._lanes, self._wanted = dict[str, Lane](), dict[str, Wanted]()
        self._leaving: dict[str, Lane] = {}
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._open: dict[Span, Open] = {}
        self._latest: dict[str, Latest] = {}
        self._fallen: dict[str, tuple[str, float]] = {}
        """Receivers that fail for long: why, and when the manager is told of it next."""
        self._is_active = False
        health.set(REACHED, True)
        self.take_rules(rules)

    def take_rules(self, rules: RuleSet) -> None:
        """Other rules are in force: lanes begin, change and end as their receivers do."""
        wanted = wanted_receivers(rules, self._settings)
        default = Routing(rules).default_receivers() or (default_receiver(self._settings),)
        self._directory = Directory(frozenset(wanted), default)
        for name in self._wanted.keys() - wanted.keys():
            lane = self._lanes.pop(name)
            lane.leave()
            self._leaving[name] = lane
        for name, receiver in wanted.items():
            if name not in self._lanes:
                self._lanes[name] = self._begun(receiver)
            elif receiver != self._wanted[name]:
                self._lanes[name].replace(self._maker(receiver))
        self._wanted = wanted

    def knows(self, notification: Notification) -> bool:
        """Whether all receivers that it names are there."""
        return all(name in self._lanes for name in notification.receivers)

    def dispatch(self, notification: Notification, span: Span, *, look_first: bool) -> None:
        """Hands a notification to the lanes of all who are to be told."""
        incident = notification.incident
        is_note = notification.action is Action.ANNOTATE
        holding = [
            name
            for name, lane in self._lanes.items()
            if (lane.was_told(incident.incident_id) if is_note else lane.holds(incident.incident_id))
        ]
        names = self._directory.told(notification, holding)
        if not names and is_note:
            self._finish(span)
            return
        if not names:
            log.error("told nobody", incident=incident.incident_id, reason="it is about the only receiver there is")
            self._finish(span)
            return
        self._open[span] = Open(incident.incident_id, notification.created_ms, len(names))
        latest = self._latest.setdefault(incident.incident_id, Latest(incident, 0))
        latest.incident, latest.records = incident, latest.records + 1
        for name in names:
            self._lanes[name].put(Item(notification, [span], look_first))

    def work(self) -> None:
        """Does what follows from what the lanes report.

        Raises whatever a lane's thread ended by.
        """
        for lane in (*self._lanes.values(), *self._leaving.values()):
            if lane.crash is not None:
                raise lane.crash
        while not self._reports.empty():
            self._heed(self._reports.get())
        self._tell_of_fallen(time.monotonic())

    def begin(self, receipts: Iterable[Receipt]) -> None:
        """This notifier is the active one from now on."""
        self._is_active = True
        self._restart(list(receipts))

    def end(self) -> None:
        """It no longer is: what waits is another's."""
        self._is_active = False
        self._restart([])

    def waiting(self) -> int:
        """Messages not yet sent, but for those that keep nobody waiting (`Lane.waiting`)."""
        return sum(lane.waiting() for lane in (*self._lanes.values(), *self._leaving.values()))

    def show_life(self, receiver: str, every_s: float) -> None:
        """Has a receiver send a sign of life."""
        if receiver in self._lanes:
            self._lanes[receiver].show_life(every_s)

    def oldest_ms(self) -> int | None:
        """When the oldest notification was made that is not finished; None: all are."""
        return min((record.created_ms for record in self._open.values()), default=None)

    def forget_expired(self, now_ms: int, needed_ms: int) -> list[Receipt]:
        """Gives up receipts that nobody will ask for, none since `needed_ms`, and says which."""
        return [receipt for lane in self._lanes.values() for receipt in lane.forget_expired(now_ms, needed_ms)]

    def close(self, within_s: float) -> None:
        """Lets messages in hand finish; what waits is read again by the next notifier."""
        lanes = [*self._lanes.values(), *self._leaving.values()]
        closes_by = time.monotonic() + within_s
        for lane in lanes:
            lane.stop()
        for lane in lanes:
            lane.close(max(0.0, closes_by - time.monotonic()))
        while not self._reports.empty():
            report = self._reports.get()
            if isinstance(report, Settled):
                self._settle(report.spans)
            elif isinstance(report, Tried):
                self._tell(report.attempt)

    # ------------------------------------------------------------------------------------------------- within

    def _begun(self, receiver: Wanted) -> Lane:
        """A lane for a receiver that is new, or is there again."""
        leaving = self._leaving.get(receiver.name)
        if leaving is not None and leaving.stay():
            del self._leaving[receiver.name]
            leaving.replace(self._maker(receiver))
            return leaving
        self._health.set(receiver.name, False, "not yet asked")
        patience_s = self._settings.fall_back_after_s
        make = self._maker(receiver)
        lane = Lane(receiver.name, make, self._save, self._reports.put, self._health, patience_s)
        if self._is_active:
            lane.restart(self._receipts())
        return lane

    def _maker(self, receiver: Wanted) -> Callable[[], Receiver]:
        return lambda: self._make(receiver)

    def _restart(self, receipts: list[Receipt]) -> None:
        self._open.clear()
        self._latest.clear()
        for lane in (*self._lanes.values(), *self._leaving.values()):
            lane.restart(receipts)

    def _heed(self, report: Report) -> None:
        match report:
            case Tried(attempt):
                self._tell(attempt)
            case Settled(spans):
                self._settle(spans)
            case HandedOver():
                self._hand_over(report)
            case Fell(receiver, reason):
                if receiver != CANARY:
                    self._fallen[receiver] = (reason, 0.0)
            case Rose(receiver):
                self._rise(receiver, "it takes messages again")
            case Left(receiver):
                self._leave(receiver)

    def _tell_of_fallen(self, now: float) -> None:
        """The active notifier tells: one that stands by may stand where a secret is missing."""
        for name, (reason, due) in self._fallen.items():
            if self._is_active and now >= due:
                self._fallen[name] = (reason, now + TELL_AGAIN_S)
                self._tell(failing(name, reason, _now_ms()))

    def _hand_over(self, report: HandedOver) -> None:
        """Has others told what a receiver does not take; what nobody else can be told waits for it."""
        for item in report.items:
            if not all(span in self._open for span in item.spans):
                continue  # Partitions went meanwhile: it is another notifier's.
            tried = item.tried | {report.receiver}
            others = self._directory.others(item.notification, tried)
            log.warning(
                "handed over",
                incident=item.notification.incident.incident_id,
                receiver=report.receiver,
                to=list(others),
            )
            NOTIFIER_HANDED_OVER.labels(report.receiver).inc(bool(others))
            if others == (CONSOLE,) and CONSOLE not in item.notification.fallback:
                self._health.set(REACHED, False, f"{', '.join(sorted(tried))} fail: the console has what was for them")
            for span in item.spans:
                self._open[span].left += len(others)
            told = self._up_to_date(item.notification)
            for name in others:
                self._lanes[name].put(Item(told, item.spans, item.look_first, tried=tried, alerts=item.alerts))
            if report.stays:
                continue
            if others:
                self._settle(item.spans)
            else:
                self._take_back(report.receiver, item)

    def _up_to_date(self, notification: Notification) -> Notification:
        """It may come after later ones to those who are told instead: it says how things are now, unless they are over,
        which is told by a notification of its own."""
        latest = self._latest[notification.incident.incident_id].incident
        if latest.version <= notification.incident.version or latest.state is IncidentState.RESOLVED:
            return notification
        return msgspec.structs.replace(notification, incident=latest)

    def _take_back(self, receiver: str, item: Item) -> None:
        self._health.set(REACHED, False, f"{receiver} fails, and there is nobody else")
        lane = self._lanes.get(receiver) or self._leaving.get(receiver)
        if lane is not None:
            lane.take_back(item)

    def _settle(self, spans: Iterable[Span]) -> None:
        """One receiver has it; when all have, its record is finished."""
        for span in spans:
            record = self._open.get(span)
            if record is None:
                continue  # Partitions went meanwhile.
            record.left -= 1
            if not record.left:
                self._finished(span, record)

    def _finished(self, span: Span, record: Open) -> None:
        del self._open[span]
        latest = self._latest[record.incident_id]
        latest.records -= 1
        if not latest.records:
            del self._latest[record.incident_id]
        self._finish(span)

    def _rise(self, receiver: str, reason: str) -> None:
        """Told also where it never fell here: it may have, at a notifier before."""
        self._fallen.pop(receiver, None)
        if receiver != CANARY and self._is_active:
            self._tell(recovered(receiver, reason, _now_ms()))
        if not self._fallen:
            self._health.set(REACHED, True)

    def _leave(self, receiver: str) -> None:
        lane = self._leaving.pop(receiver, None)
        if lane is None or receiver in self._lanes:
            return
        self._health.forget(receiver)
        self._rise(receiver, "it was taken out of the rules")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
