"""What goes to others where a receiver does not take it."""

from __future__ import annotations

import pytest

from streaming.alerting.messages import Action, IncidentState, Notification, Receipt
from streaming.alerting.notifier.handing_over import HandingOver
from streaming.alerting.notifier.outbox import Item, Outbox
from streaming.alerting.notifier.standing import Standing
from streaming.alerting.receivers.base import Undelivered
from streaming.kafka.offsets import Span
from tests.support.incidents import plain_incident, plain_receipt

PATIENCE_S = 60.0


def item(incident_id: str, action: Action = Action.OPEN) -> Item:
    incident = plain_incident(incident_id=incident_id, incident_key=incident_id)
    return Item(Notification(action=action, incident=incident, created_ms=0), [Span(0, 1, 1)])


def told(incident_id: str, state: IncidentState = IncidentState.FIRING) -> dict[str, Receipt]:
    return {incident_id: plain_receipt(incident_id=incident_id, state=state, alerted=1)}


class Lane:
    """An outbox, a standing, and a clock that the test sets."""

    def __init__(self) -> None:
        self.outbox, self.standing = Outbox(), Standing(PATIENCE_S)
        self.handing_over = HandingOver(self.standing)
        self.receipts: dict[str, Receipt] = {}

    def put(self, *items: Item) -> None:
        for one in items:
            self.outbox.put(one)

    def given(self, now: float, *, leaving: bool = False) -> tuple[list[str], list[str], list[str]]:
        if not self.handing_over.is_due(now, leaving=leaving):
            return [], [], []
        given = self.handing_over.take(self.outbox, self.receipts, now, leaving=leaving)
        self.handing_over.look_again(self.outbox)
        moving, staying, dropped = ([one.notification.incident.incident_id for one in part] for part in given)
        return moving, staying, dropped


def test_what_fails_for_long_goes_and_others_stay() -> None:
    lane = Lane()
    failing = item("a")
    lane.put(failing, item("b"))
    lane.handing_over.has_failed(failing, 100.0)
    assert lane.given(159.9) == ([], [], [])
    assert lane.given(160.0) == (["a"], [], [])
    assert [one.notification.incident.incident_id for one in lane.outbox] == ["b"]
    assert lane.given(1_000.0) == ([], [], [])


def test_where_the_receiver_has_fallen_all_that_alerts_goes_and_edits_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.alerting.notifier.handing_over.EDITS_LIMIT", 1)
    lane = Lane()
    lane.put(item("a"), item("b", Action.UPDATE), item("c", Action.UPDATE))
    lane.standing.failed(Undelivered("no_such_channel", misconfigured=True), 10.0)
    assert lane.given(10.5) == (["a"], [], ["b"])
    assert lane.given(10.5) == ([], [], [])
    assert [one.notification.incident.incident_id for one in lane.outbox] == ["c"]


def test_who_was_told_that_it_fires_is_told_there_that_it_is_over() -> None:
    lane = Lane()
    lane.put(item("a", Action.RESOLVE), item("b", Action.RESOLVE))
    lane.receipts = told("a") | told("b", IncidentState.RESOLVED)
    lane.standing.failed(Undelivered("gone", misconfigured=True), 10.0)
    assert lane.given(10.5) == (["b"], ["a"], [])
    (kept,) = lane.outbox
    assert kept.handed_on
    assert kept.told_elsewhere
    assert lane.given(10.6) == ([], [], []), "others are told once"


def test_a_lane_that_leaves_gives_away_what_failed_and_drops_what_has_nothing_to_say() -> None:
    lane = Lane()
    failing, elsewhere = item("a"), item("b", Action.RESOLVE)
    elsewhere.handed_on = elsewhere.told_elsewhere = True
    lane.put(failing, elsewhere, item("c", Action.UPDATE), item("d"))
    lane.receipts = told("b")
    lane.handing_over.has_failed(failing, 100.0)
    assert lane.given(100.1) == ([], [], [])
    assert lane.given(100.1, leaving=True) == (["a"], [], ["b", "c"])
    assert [one.notification.incident.incident_id for one in lane.outbox] == ["d"], "it is tried here first"
