"""A lane: order, waiting, and what it tells of failures. Threads are real, waits are on conditions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from streaming.alerting.messages import (
    DELIVERED,
    Action,
    Attempt,
    IncidentState,
    Notification,
    Receipt,
)
from streaming.alerting.notifier.lane import Lane
from streaming.alerting.notifier.outbox import Item
from streaming.alerting.notifier.reports import Fell, HandedOver, Left, Report, Rose, Settled, Tried
from streaming.alerting.notifier.standing import UNHEALTHY_AFTER
from streaming.alerting.receivers.base import Delivered, Receiver, Undelivered
from streaming.alerting.rules.routes import Secret
from streaming.alerting.secrets import resolve
from streaming.errors import Unavailable
from streaming.kafka.offsets import Span
from streaming.worker.health import Health
from tests.support.incidents import plain_incident


def note(version: int, action: Action = Action.OPEN, incident_id: str = "A") -> Notification:
    incident = plain_incident(incident_id=incident_id, incident_key=incident_id, version=version)
    return Notification(action=action, incident=incident, created_ms=0)


class Scripted:
    """A receiver that fails as told, then takes everything."""

    name = "scripted"

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.seen: list[tuple[int, bool, str | None]] = []

    def check(self) -> None:
        pass

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
        self.seen.append((notification.incident.version, look_first, receipt.message_id if receipt else None))
        if self.failures:
            raise self.failures.pop(0)
        return Delivered(f"m{notification.incident.version}", "c")


class Account:
    """What the lane saved and reported."""

    def __init__(self) -> None:
        self.saved: list[Receipt] = []
        self.reports: list[Report] = []
        self.attempts: list[Attempt] = []
        self._changed = threading.Condition()

    def save(self, *receipts: Receipt) -> bool:
        self.saved += receipts
        return True

    def report(self, report: Report) -> None:
        with self._changed:
            if isinstance(report, Tried):
                self.attempts.append(report.attempt)
            else:
                self.reports.append(report)
            self._changed.notify_all()

    @property
    def settled(self) -> list[Span]:
        return [span for report in self.reports if isinstance(report, Settled) for span in report.spans]

    @property
    def handed_over(self) -> list[tuple[int, Action, bool]]:
        return [
            (item.notification.incident.version, item.notification.action, report.stays)
            for report in self.reports
            if isinstance(report, HandedOver)
            for item in report.items
        ]

    def until(self, holds: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + 10
        with self._changed:
            while not holds():
                assert time.monotonic() < give_up_at, self.reports
                self._changed.wait(0.01)

    def await_settled(self, number: int) -> None:
        self.until(lambda: len(self.settled) >= number)


@contextmanager
def lane(receiver: Receiver, patience_s: float = 300.0) -> Iterator[tuple[Lane, Account, Health]]:
    account, health = Account(), Health("test", receiver.name)
    made = Lane(receiver.name, lambda: receiver, account.save, account.report, health, patience_s)
    yield made, account, health
    made.close(5)


def span(offset: int) -> Span:
    return Span(0, offset, offset)


def put(to: Lane, version: int, action: Action = Action.OPEN, *, look_first: bool = False) -> None:
    to.put(Item(note(version, action), [span(version)], look_first))


LATER = Undelivered("busy", wait_s=3600)


def soon(*, unknown: bool = False, misconfigured: bool = False, only_this: bool = False) -> Undelivered:
    return Undelivered("busy", wait_s=0.01, unknown=unknown, misconfigured=misconfigured, only_this=only_this)


def test_it_delivers_writes_the_receipt_and_then_settles() -> None:
    receiver = Scripted()
    with lane(receiver) as (to, account, health):
        put(to, 1)
        account.await_settled(1)
        put(to, 2, Action.UPDATE)
        account.await_settled(2)
    assert receiver.seen == [(1, False, None), (2, False, "m1")]
    assert [(r.version, r.action, r.message_id) for r in account.saved] == [
        (1, Action.OPEN, "m1"),
        (2, Action.UPDATE, "m2"),
    ]
    assert [span.first for span in account.settled] == [1, 2]
    assert health.answer()["checks"]["scripted"]["ok"]


def test_what_has_a_receipt_already_is_settled_unsent() -> None:
    receiver = Scripted()
    with lane(receiver) as (to, account, _):
        put(to, 3, look_first=True)
        account.await_settled(1)
        account.until(lambda: isinstance(account.reports[-1], Settled))
        to.restart([*account.saved])
        put(to, 2, Action.UPDATE, look_first=True)
        account.await_settled(2)
    assert [version for version, _, _ in receiver.seen] == [3]


def test_a_note_is_delivered_once_also_where_what_was_told_ran_ahead_of_it() -> None:
    """What is handed over from another receiver says how things are now: its version may be above the note's."""
    receiver = Scripted()
    with lane(receiver) as (sending, account, _):
        put(sending, 5)
        account.await_settled(1)
        put(sending, 4, Action.ANNOTATE)
        put(sending, 5, Action.ANNOTATE)
        account.await_settled(3)
        assert [(r.version, r.noted, r.message_id) for r in account.saved] == [(5, 0, "m5"), (5, 4, "m5"), (5, 5, "m5")]
        sending.restart([account.saved[-1]])
        put(sending, 4, Action.ANNOTATE, look_first=True)
        put(sending, 5, Action.ANNOTATE, look_first=True)
        account.await_settled(5)
    assert [version for version, _, _ in receiver.seen] == [5, 4, 5]


def test_a_note_of_what_others_were_told_in_its_place_is_not_sent() -> None:
    receiver = Scripted()
    with lane(receiver) as (sending, account, _):
        assert not sending.was_told("A")
        put(sending, 2, Action.ANNOTATE)
        account.await_settled(1)
        assert (receiver.seen, account.saved) == ([], [])
        put(sending, 3)
        account.await_settled(2)
        put(sending, 4, Action.RESOLVE)
        account.await_settled(3)
        assert sending.was_told("A")


def test_after_an_unknown_outcome_it_looks_first() -> None:
    receiver = Scripted(soon(), soon(unknown=True), soon())
    with lane(receiver) as (to, account, _):
        put(to, 1)
        account.await_settled(1)
    assert [look for _, look, _ in receiver.seen] == [False, False, True, True]


def test_every_attempt_is_told_with_what_the_receiver_answered() -> None:
    receiver = Scripted(soon(unknown=True))
    with lane(receiver) as (to, account, _):
        put(to, 1)
        account.await_settled(1)
        told = [(attempt.version, attempt.action, attempt.outcome) for attempt in account.attempts]
    assert told == [(1, Action.OPEN, "busy"), (1, Action.OPEN, DELIVERED)]


def test_a_fault_of_configuration_shows_in_health_until_it_is_mended() -> None:
    receiver = Scripted(soon(misconfigured=True))
    with lane(receiver) as (to, account, health):
        put(to, 1)
        account.until(lambda: account.handed_over == [(1, Action.OPEN, False)])
        assert health.answer()["checks"]["scripted"]["ok"] is False
        # An update is never handed over: it waits for the next attempt.
        put(to, 2, Action.UPDATE)
        account.await_settled(1)
        assert health.answer()["checks"]["scripted"]["ok"]
    assert [type(report) for report in account.reports] == [Fell, HandedOver, Rose, Settled]


def test_failures_that_go_on_show_in_health_whatever_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.alerting.notifier.standing.backoff_s", lambda _: 0.001)
    answered: list[bool] = []
    receiver = Scripted()
    with lane(receiver) as (to, account, health):

        def failing(notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
            answered.append(health.answer()["checks"]["scripted"]["ok"])
            if len(answered) > 2 * UNHEALTHY_AFTER:
                return Delivered("m", "c")
            raise Undelivered("weird_thing")

        receiver.deliver = failing  # type: ignore[method-assign]
        put(to, 1)
        account.await_settled(1)
        assert health.answer()["checks"]["scripted"]["ok"]
    assert answered[UNHEALTHY_AFTER - 1] is True, "a short outage of a receiver is not this worker's illness"
    assert answered[UNHEALTHY_AFTER] is False


def test_a_fault_of_a_receiver_is_that_message_s_and_ends_nothing() -> None:
    class Faulty(Scripted):
        def check(self) -> None:
            raise KeyError("checked")

        def alive(self, at_ms: int, every_s: float) -> None:
            raise KeyError("alive")

        def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
            if notification.incident.incident_id == "A":
                self.seen.append((notification.incident.version, look_first, None))
                raise ZeroDivisionError
            return super().deliver(notification, receipt, look_first)

    receiver = Faulty()
    with lane(receiver) as (to, account, _), structlog.testing.capture_logs() as logs:
        put(to, 1)
        account.until(lambda: len(account.attempts) == 1)
        to.put(Item(note(1, incident_id="B"), [span(2)]))
        account.await_settled(1)
        to.show_life(60)
        account.until(lambda: sum("fault" in str(entry) for entry in logs) > 2)
        assert to.crash is None
        assert account.attempts[0].outcome == "fault: ZeroDivisionError"
    (trace, *_) = [entry["traceback"] for entry in logs if entry.get("fault") == "ZeroDivisionError"]
    assert "raise ZeroDivisionError" in trace


def test_what_was_delivered_before_a_fault_is_looked_for() -> None:
    receiver = Scripted(ZeroDivisionError())
    with lane(receiver) as (to, account, _):
        put(to, 1)
        account.await_settled(1)
    assert [look for _, look, _ in receiver.seen] == [False, True]


def test_a_receiver_whose_making_has_a_fault_ends_nothing() -> None:
    def make() -> Receiver:
        raise ZeroDivisionError

    account = Account()
    to = Lane("scripted", make, account.save, account.report, Health("test"), 0.0)
    put(to, 1)
    account.until(lambda: account.handed_over == [(1, Action.OPEN, False)])
    to.close(5)


def test_a_fault_of_the_notifier_itself_is_not_hidden() -> None:
    account = Account()

    def save(*receipts: Receipt) -> bool:
        raise Unavailable("Kafka")

    threading.excepthook, before = lambda _: None, threading.excepthook
    try:
        to = Lane("scripted", Scripted, save, account.report, Health("test"), 300.0)
        put(to, 1)
        to._thread.join(10)
        assert isinstance(to.crash, Unavailable)
    finally:
        threading.excepthook = before


def test_what_fails_for_long_is_handed_over_but_updates_wait() -> None:
    receiver = Scripted(LATER)
    with lane(receiver, patience_s=0.0) as (to, account, _):
        put(to, 1)
        account.until(lambda: account.handed_over == [(1, Action.OPEN, False)])
        # It has fallen, and its next attempt is an hour away: others are told at once.
        put(to, 2, Action.RESOLVE)
        account.until(lambda: len(account.handed_over) == 2)
        put(to, 3, Action.UPDATE)
        to.replace(lambda: receiver)
        account.await_settled(1)
    assert receiver.seen == [(1, False, None), (3, False, None)], "by the update it was seen to work again"
    assert account.handed_over == [(1, Action.OPEN, False), (2, Action.RESOLVE, False)]
    assert [r.version for r in account.saved] == [3]


def test_who_was_told_there_that_it_fires_is_told_there_that_it_is_over() -> None:
    receiver = Scripted()
    with lane(receiver, patience_s=0.0) as (to, account, _):
        put(to, 1)
        account.await_settled(1)
        receiver.failures = [LATER]
        put(to, 2, Action.RESOLVE)
        account.until(lambda: account.handed_over == [(2, Action.RESOLVE, True)])
        to.replace(lambda: receiver)
        account.await_settled(2)
    assert [(r.version, r.action) for r in account.saved] == [(1, Action.OPEN), (2, Action.RESOLVE)]


def test_what_waits_for_a_fallen_receiver_alone_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.alerting.notifier.handing_over.EDITS_LIMIT", 3)
    receiver = Scripted()
    with lane(receiver, patience_s=0.0) as (to, account, _):
        put(to, 1)
        account.await_settled(1)
        receiver.failures = [LATER]
        put(to, 2, Action.RESOLVE)
        account.until(lambda: account.handed_over == [(2, Action.RESOLVE, True)])
        assert to.waiting() == 0, "others were told of it"
        for number in range(3, 8):
            to.put(Item(note(1, Action.UPDATE, f"U{number}"), [span(number)]))
        account.await_settled(3)
        assert [one.first for one in account.settled] == [1, 3, 4], "the oldest edits are left out"
        assert to.waiting() == 0
        to.put(Item(note(1, incident_id="B"), [span(9)]))
        account.until(lambda: len(account.handed_over) == 2)
        report = account.reports[-1]
        assert isinstance(report, HandedOver)
        to.take_back(report.items[0])
        assert to.waiting() == 1, "nobody was told of it"


def test_what_nobody_else_takes_waits_for_the_receiver() -> None:
    receiver = Scripted(LATER)
    with lane(receiver, patience_s=0.0) as (to, account, _):
        put(to, 1)
        account.until(lambda: bool(account.handed_over))
        (report,) = [report for report in account.reports if isinstance(report, HandedOver)]
        to.take_back(report.items[0])
        to.replace(lambda: receiver)
        account.await_settled(1)
    assert len(account.handed_over) == 1
    assert [r.version for r in account.saved] == [1]


def test_a_message_that_is_refused_for_itself_alone_goes_to_others_alone() -> None:
    receiver = Scripted(soon(only_this=True))
    with lane(receiver, patience_s=0.0) as (to, account, health):
        put(to, 1)
        account.until(lambda: account.handed_over == [(1, Action.OPEN, False)])
        to.put(Item(note(1, incident_id="B"), [span(2)]))
        account.await_settled(1)
        assert not to.has_fallen
        assert health.answer()["checks"]["scripted"]["ok"]


class Picky(Scripted):
    """Takes everything but incident `A`, and shows life."""

    failure = Undelivered("http_500", wait_s=0.001, unknown=True)
    signs = 0

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
        if notification.incident.incident_id == "A":
            raise self.failure
        return super().deliver(notification, receipt, look_first)

    def alive(self, at_ms: int, every_s: float) -> None:
        self.signs += 1


def test_a_message_that_fails_for_long_goes_to_others_also_while_the_receiver_takes_everything_else() -> None:
    receiver = Picky()
    with lane(receiver, patience_s=0.3) as (to, account, _):
        put(to, 1)
        version = 0

        def is_handed_over() -> bool:
            nonlocal version
            version += 1
            to.put(Item(note(version, incident_id=f"B{version}"), [span(version)]))
            account.await_settled(version)
            return account.handed_over == [(1, Action.OPEN, False)]

        account.until(is_handed_over)
        assert not to.has_fallen


def test_a_sign_of_life_does_not_say_that_messages_pass() -> None:
    receiver = Picky()
    with lane(receiver, patience_s=0.2) as (to, account, health):
        put(to, 1)
        account.until(lambda: bool(account.attempts))

        def has_fallen() -> bool:
            shown = receiver.signs
            to.show_life(60)
            account.until(lambda: receiver.signs > shown)
            return any(isinstance(report, Fell) for report in account.reports)

        account.until(has_fallen)
        has_fallen()
        assert to.has_fallen
        assert health.answer()["checks"]["scripted"]["ok"] is False
        to.put(Item(note(2, Action.UPDATE, incident_id="B"), [span(2)]))
        account.until(lambda: not to.has_fallen)


def test_it_holds_what_people_were_told_and_not_yet_that_it_is_over() -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(Scripted):
        def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
            entered.set()
            assert go_on.wait(10)
            return super().deliver(notification, receipt, look_first)

    with lane(Slow()) as (to, account, _):
        assert not to.holds("A")
        put(to, 1)
        assert entered.wait(10)
        assert to.holds("A"), "it is in hand"
        go_on.set()
        account.await_settled(1)
        assert to.holds("A"), "it was told"
        put(to, 2, Action.RESOLVE)
        account.await_settled(2)
        assert not to.holds("A")
        put(to, 3, Action.REOPEN)
        account.await_settled(3)
        to.restart([])
        assert not to.holds("A")


def test_an_edit_of_what_is_over_does_not_open_it_again() -> None:
    with lane(Scripted()) as (to, account, _):
        put(to, 1)
        put(to, 2, Action.RESOLVE)
        account.await_settled(2)
        edit = note(3, Action.UPDATE)
        edit.incident.state = IncidentState.RESOLVED
        to.put(Item(edit, [span(3)]))
        account.await_settled(3)
        assert not to.holds("A")


def test_a_lane_that_leaves_sends_what_waits_or_hands_it_over() -> None:
    going, broken = Scripted(), Scripted(*[LATER for _ in range(99)])
    with lane(going) as (to, account, _):
        put(to, 1)
        to.leave()
        account.until(lambda: Left("scripted") in account.reports)
        assert [span.first for span in account.settled] == [1]
        assert not to.stay()
    with lane(broken) as (to, account, _):
        put(to, 1)
        account.until(lambda: bool(broken.seen))
        put(to, 2, Action.RESOLVE)
        to.leave()
        account.until(lambda: Left("scripted") in account.reports)
        assert account.handed_over == [(1, Action.OPEN, False), (2, Action.RESOLVE, False)]


def test_a_lane_that_leaves_waits_no_longer_for_what_others_were_told() -> None:
    receiver = Scripted()
    with lane(receiver, patience_s=0.0) as (to, account, _):
        put(to, 1)
        account.await_settled(1)
        receiver.failures = [LATER]
        put(to, 2, Action.RESOLVE)
        account.until(lambda: account.handed_over == [(2, Action.RESOLVE, True)])
        to.leave()
        account.until(lambda: Left("scripted") in account.reports)
        assert [span.first for span in account.settled] == [1, 2]


def test_another_receiver_takes_over_after_the_message_in_hand() -> None:
    first, second = Scripted(LATER), Scripted()
    with lane(first) as (to, account, _):
        put(to, 1)
        account.until(lambda: bool(first.seen))
        to.replace(lambda: second)
        account.await_settled(1)
        assert (len(first.seen), len(second.seen)) == (1, 1)


def test_a_receiver_that_cannot_be_made_is_misconfigured_and_made_again(tmp_path: Path) -> None:
    receiver, secret = Scripted(), Secret(file=str(tmp_path / "secret"))

    def make() -> Scripted:
        resolve(secret, "scripted")
        return receiver

    account, health = Account(), Health("test", "scripted")
    to = Lane("scripted", make, account.save, account.report, health, 300.0)
    try:
        account.until(lambda: bool(account.reports))
        assert isinstance(account.reports[0], Fell)
        assert "No such file" in health.answer()["checks"]["scripted"]["detail"]
        (tmp_path / "secret").touch(mode=0o600)
        (tmp_path / "secret").write_text("hunter2")
        put(to, 1)
        account.await_settled(1)
        assert health.answer()["checks"]["scripted"]["ok"]
    finally:
        to.close(5)


def test_what_was_in_hand_when_partitions_went_is_not_tried_again() -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(Scripted):
        def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
            entered.set()
            assert go_on.wait(10)
            return super().deliver(notification, receipt, look_first)

    receiver = Slow(soon())
    with lane(receiver) as (to, account, _):
        put(to, 1)
        assert entered.wait(10)
        to.restart([])
        go_on.set()
        to.put(Item(note(7, incident_id="B"), [span(7)]))
        account.await_settled(1)
        assert to.waiting() == 0
    assert [version for version, _, _ in receiver.seen] == [1, 7]


def test_it_shows_life_also_while_messages_wait() -> None:
    class Alive(Scripted):
        signs = 0

        def alive(self, at_ms: int, every_s: float) -> None:
            self.signs += 1
            if self.signs == 1:
                raise Undelivered("busy", wait_s=3600)

    receiver = Alive()
    with lane(receiver) as (to, account, _):
        to.show_life(60)
        account.until(lambda: receiver.signs == 1)
        put(to, 1)
        to.show_life(60)
        account.await_settled(1)
        assert receiver.signs == 2
    with lane(Scripted()) as (to, account, _):
        to.show_life(60)
        account.until(lambda: bool(account.reports))
        assert account.reports[0] == Fell("scripted", "shows_no_life: a receiver of this kind sends no sign of life")
