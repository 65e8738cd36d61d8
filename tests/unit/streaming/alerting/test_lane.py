"""A lane: order, waiting, and what it tells of failures. Threads are real, waits are on conditions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Receipt, Sample, Severity
from streaming.alerting.notifier.lane import UNHEALTHY_AFTER, Lane
from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.events.model import Level
from streaming.kafka.offsets import Span
from streaming.worker.health import Health


def note(version: int, action: Action = Action.OPEN, incident_id: str = "A") -> Notification:
    incident = Incident(
        incident_id=incident_id,
        incident_key=incident_id,
        rule_id="r",
        group={},
        severity=Severity.ERROR,
        title="t",
        state=IncidentState.FIRING,
        version=version,
        count=1,
        opened_ms=0,
        first_ms=0,
        last_ms=0,
        updated_ms=0,
        last_received_ms=0,
        sample=Sample(timestamp_ms=0, level=Level.ERROR, message="m", service="s", node_id="n"),
        resolve_after_s=None,
    )
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
    """What the lane saved and settled."""

    def __init__(self) -> None:
        self.saved: list[Receipt] = []
        self.settled: list[Span] = []
        self._changed = threading.Condition()

    def save(self, receipt: Receipt) -> bool:
        self.saved.append(receipt)
        return True

    def settle(self, spans: list[Span]) -> None:
        with self._changed:
            self.settled += spans
            self._changed.notify_all()

    def await_settled(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.settled) >= number, 10)


@contextmanager
def lane(receiver: Scripted) -> Iterator[tuple[Lane, Account, Health]]:
    account, health = Account(), Health("test", receiver.name)
    made = Lane(receiver, account.save, account.settle, health)
    yield made, account, health
    made.close(5)


def span(offset: int) -> Span:
    return Span(0, offset, offset)


def soon(*, unknown: bool = False, misconfigured: bool = False) -> Undelivered:
    return Undelivered("busy", wait_s=0.01, unknown=unknown, misconfigured=misconfigured)


def test_it_delivers_writes_the_receipt_and_then_settles() -> None:
    receiver = Scripted()
    with lane(receiver) as (to, account, health):
        one, two = span(1), span(2)
        to.add(note(1), one, look_first=False)
        account.await_settled(1)
        to.add(note(2, Action.UPDATE), two, look_first=False)
        account.await_settled(2)
    assert receiver.seen == [(1, False, None), (2, False, "m1")]
    assert [(r.version, r.action, r.message_id) for r in account.saved] == [
        (1, Action.OPEN, "m1"),
        (2, Action.UPDATE, "m2"),
    ]
    assert account.settled == [one, two]
    assert health.answer()["checks"]["scripted"]["ok"]


def test_what_has_a_receipt_already_is_settled_unsent() -> None:
    receiver = Scripted()
    with lane(receiver) as (to, account, _):
        to.add(note(3), span(1), look_first=True)
        account.await_settled(1)
        to.restart([*account.saved])
        to.add(note(2, Action.UPDATE), span(2), look_first=True)
        account.await_settled(2)
    assert [version for version, _, _ in receiver.seen] == [3]


def test_after_an_unknown_outcome_it_looks_first() -> None:
    receiver = Scripted(soon(), soon(unknown=True), soon())
    with lane(receiver) as (to, account, _):
        to.add(note(1), span(1), look_first=False)
        account.await_settled(1)
    assert [look for _, look, _ in receiver.seen] == [False, False, True, True]


def test_a_fault_of_configuration_shows_in_health_until_it_is_mended() -> None:
    answered: list[bool] = []
    receiver = Scripted(soon(misconfigured=True))
    with lane(receiver) as (to, account, health):
        deliver: Callable[[Notification, Receipt | None, bool], Delivered] = receiver.deliver

        def watched(notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
            answered.append(health.answer()["checks"]["scripted"]["ok"])
            return deliver(notification, receipt, look_first)

        receiver.deliver = watched  # type: ignore[method-assign]
        to.add(note(1), span(1), look_first=False)
        account.await_settled(1)
        assert health.answer()["checks"]["scripted"]["ok"]
    assert answered[-1] is False


def test_failures_that_go_on_show_in_health_whatever_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.alerting.notifier.lane.backoff_s", lambda _: 0.001)
    answered: list[bool] = []
    receiver = Scripted()
    with lane(receiver) as (to, account, health):

        def failing(notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
            answered.append(health.answer()["checks"]["scripted"]["ok"])
            if len(answered) > 2 * UNHEALTHY_AFTER:
                return Delivered("m", "c")
            raise Undelivered("weird_thing")

        receiver.deliver = failing  # type: ignore[method-assign]
        to.add(note(1), span(1), look_first=False)
        account.await_settled(1)
        assert health.answer()["checks"]["scripted"]["ok"]
    assert answered[UNHEALTHY_AFTER - 1] is True, "a short outage of a receiver is not this worker's illness"
    assert answered[UNHEALTHY_AFTER] is False


def test_a_bug_of_a_receiver_is_not_hidden() -> None:
    receiver = Scripted(ZeroDivisionError())
    threading.excepthook, before = lambda _: None, threading.excepthook
    try:
        with lane(receiver) as (to, _, _):
            to.add(note(1), span(1), look_first=False)
            to._thread.join(10)
            assert isinstance(to.crash, ZeroDivisionError)
    finally:
        threading.excepthook = before
