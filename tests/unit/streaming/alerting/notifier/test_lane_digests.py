"""What a lane does with digests: real threads, waits on conditions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from streaming.alerting.messages import DELIVERED, Action, Incident, Notification, Receipt
from streaming.alerting.notifier import digests
from streaming.alerting.notifier.lane import Lane
from streaming.alerting.notifier.outbox import Item
from streaming.alerting.notifier.reports import HandedOver, Report, Settled, Tried
from streaming.alerting.receivers.base import Delivered, Digest, Notice, Undelivered
from streaming.kafka.offsets import Span
from streaming.worker.health import Health
from tests.support.told import note


class Paced:
    """A receiver that takes three messages, and then says that it is paced."""

    name = "paced"

    def __init__(self) -> None:
        self.singly: list[str] = []
        self.digests: list[tuple[str, int]] = []
        self.notices: list[Action] = []
        self.failure: Undelivered | None = None
        self.allowed = 3

    def check(self) -> None:
        pass

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
        if self.failure is not None:
            raise self.failure
        if notification.action is Action.OPEN and len(self.singly) >= self.allowed:
            raise Undelivered("paced", wait_s=0.05)
        self.singly.append(notification.incident.incident_id)
        return Delivered(f"m{len(self.singly)}", "c")

    def find_told(self, wanted: Mapping[str, tuple[Incident, Receipt | None]], since_ms: int) -> frozenset[str]:
        return frozenset()

    def write_digest(self, digest: Digest, look_first: bool) -> Delivered:
        if self.failure is not None:
            raise self.failure
        self.digests.append((digest.digest_id, len(digest.members)))
        return Delivered("d", "c")

    def write_notice(self, digest: Digest, notice: Notice, look_first: bool) -> None:
        self.notices.append(notice.action)


class Lab:
    """One lane, and what it reports and saves."""

    def __init__(self) -> None:
        self.receiver, self.health = Paced(), Health("test")
        self.saved: dict[str, Receipt] = {}
        self.saves: list[int] = []
        self.reports: list[Report] = []
        self.durable = True
        self._changed = threading.Condition()
        self.lane = Lane("paced", lambda: self.receiver, self.save, self.report, self.health, 1000.0)

    def save(self, *receipts: Receipt) -> bool:
        if self.durable:
            self.saved.update({receipt.incident_id: receipt for receipt in receipts})
            self.saves.append(len(receipts))
        return self.durable

    def report(self, report: Report) -> None:
        with self._changed:
            self.reports.append(report)
            self._changed.notify_all()

    def put(self, action: Action, number: int, version: int = 1) -> None:
        span = Span(0, number * 100 + version, number * 100 + version)
        self.lane.put(Item(note(action, incident_id=f"I{number}", version=version), [span]))

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 15), (self.receiver.digests, self.reports)

    def settled(self) -> int:
        return sum(len(report.spans) for report in self.reports if isinstance(report, Settled))


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(digests, "GATHER_S", 0.05)
    monkeypatch.setattr(digests, "EDIT_EVERY_S", 0.1)
    made = Lab()
    yield made
    made.lane.close(5)
    assert made.lane.crash is None


def test_what_may_not_go_singly_goes_into_one_digest(lab: Lab) -> None:
    for number in range(100):
        lab.put(Action.OPEN, number)
    lab.wait(lambda: lab.settled() == 100)
    digested = [receipt for receipt in lab.saved.values() if receipt.digest]
    assert len(digested) + len(lab.receiver.singly) == 100
    assert {name for name, _ in lab.receiver.digests} == {digested[0].digest}
    assert lab.receiver.digests[-1][1] == len(digested)
    assert len(lab.saves) < 30, "many receipts at once"
    assert all(receipt.intent == "" and receipt.version == 1 for receipt in lab.saved.values())
    assert lab.lane.waiting() == 0
    tried = [report.attempt for report in lab.reports if isinstance(report, Tried)]
    assert {attempt.incident_id for attempt in tried if attempt.outcome == DELIVERED} == lab.saved.keys()
    for number in range(20, 60):
        lab.put(Action.RESOLVE, number, 2)
    lab.wait(lambda: lab.settled() == 140)
    assert len(lab.receiver.digests) < 20


def test_a_lane_that_starts_again_knows_its_digests(lab: Lab) -> None:
    for number in range(100):
        lab.put(Action.OPEN, number)
    lab.wait(lambda: lab.settled() == 100)
    before = len(lab.receiver.digests)
    last = lab.receiver.digests[-1]
    lab.lane.restart(list(lab.saved.values()))
    member = next(int(r.incident_id[1:]) for r in lab.saved.values() if r.digest)
    lab.put(Action.REPEAT, member, 2)
    lab.wait(lambda: lab.settled() == 101)
    assert lab.receiver.digests[before:] == [last]
    assert lab.receiver.notices == [Action.REPEAT]


def test_what_waits_for_a_digest_is_handed_over_where_its_receiver_fails(lab: Lab) -> None:
    lab.receiver.allowed = 0
    lab.receiver.failure = None
    refuse = Undelivered("invalid_auth", misconfigured=True, wait_s=30)
    write = lab.receiver.write_digest

    def failing(digest: Digest, look_first: bool) -> Delivered:
        lab.receiver.failure = refuse
        return write(digest, look_first)

    lab.receiver.write_digest = failing  # type: ignore[method-assign]
    for number in range(50):
        lab.put(Action.OPEN, number)

    def handed() -> int:
        return sum(len(report.items) for report in lab.reports if isinstance(report, HandedOver))

    lab.wait(lambda: handed() == 50)
    assert lab.lane.waiting() == 0


def test_what_waits_for_a_digest_that_only_fails_is_handed_over(lab: Lab) -> None:
    lab.lane._standing.patience_s = 0.2
    lab.receiver.allowed = 0

    def failing(digest: Digest, look_first: bool) -> Delivered:
        raise Undelivered("invalid_blocks", wait_s=0.01, only_this=True)

    lab.receiver.write_digest = failing  # type: ignore[method-assign]
    for number in range(50):
        lab.put(Action.OPEN, number)
    lab.wait(lambda: sum(len(report.items) for report in lab.reports if isinstance(report, HandedOver)) == 50)
    assert not lab.lane.has_fallen


def test_a_fault_in_a_digest_ends_nothing(lab: Lab) -> None:
    lab.receiver.allowed = 0
    write = lab.receiver.write_digest

    def failing(digest: Digest, look_first: bool) -> Delivered:
        lab.receiver.write_digest = write  # type: ignore[method-assign]
        raise ZeroDivisionError

    lab.receiver.write_digest = failing  # type: ignore[method-assign]
    for number in range(50):
        lab.put(Action.OPEN, number)
    lab.wait(lambda: lab.settled() == 50)


def test_a_notifier_that_closes_settles_nothing_that_is_not_durable(lab: Lab) -> None:
    lab.receiver.allowed = 0
    lab.durable = False
    for number in range(50):
        lab.put(Action.OPEN, number)
    lab.lane.close(10)
    assert (lab.settled(), lab.receiver.digests) == (0, [])
