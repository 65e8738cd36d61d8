"""Which incidents wait for their context, and that each gets it once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streaming.alerting.context import response
from streaming.alerting.context.model import Context
from streaming.alerting.context.response import attach, waiting, waits, wakes
from streaming.alerting.explaining.history import History
from streaming.alerting.messages import (
    DONE,
    HAS_NOTE,
    Action,
    AuditEntry,
    Happening,
    Incident,
    IncidentEvent,
    IncidentState,
    Note,
    Notification,
    Order,
    Severity,
)
from streaming.alerting.orders import NothingDone
from streaming.settings import Settings
from tests.support.incidents import plain_incident

SETTINGS = Settings.model_construct()


def urgent(**changes: object) -> Incident:
    return plain_incident(**{"severity": Severity.CRITICAL, **changes})


def test_what_waits() -> None:
    assert waits(urgent())
    assert waits(urgent(state=IncidentState.ACKNOWLEDGED, notes=("other",)))
    for changes in (
        {"severity": Severity.ERROR},
        {"state": IncidentState.PENDING},
        {"state": IncidentState.SILENCED, "muted_by": "silence X"},
        {"state": IncidentState.ACKNOWLEDGED, "muted_by": "silence X"},
        {"state": IncidentState.RESOLVED},
        {"route": "canary"},
        {"notes": ("context",)},
        {"notes": tuple(map(str, range(20)))},
    ):
        assert not waits(urgent(**changes)), changes
    assert waits(plain_incident(), {Severity.ERROR})


def test_the_longest_waiting_come_first() -> None:
    many = [urgent(incident_id=str(n), firing_since_ms=100 - n) for n in range(5)]
    assert [one.incident_id for one in waiting(many, 3)] == ["4", "3", "2"]


def test_what_opens_or_comes_back_wakes() -> None:
    woken = {action for action in Action if wakes(Notification(action=action, incident=urgent(), created_ms=0))}
    assert woken == {Action.OPEN, Action.REOPEN}
    assert not wakes(Notification(action=Action.OPEN, incident=plain_incident(), created_ms=0))


class Manager:
    """Takes a note of one id once."""

    def __init__(self) -> None:
        self.events: list[IncidentEvent] = []

    def annotate(self, incident_id: str, text: str, *, author: str, reason: str = "", note_id: str = "") -> AuditEntry:
        outcome = HAS_NOTE if any(e.note and e.note.note_id == note_id for e in self.events) else DONE
        entry = AuditEntry(
            at_ms=0, author=author, order=Order.ANNOTATE, target=incident_id, reason=reason, outcome=outcome
        )
        if outcome != DONE:
            raise NothingDone(entry)
        note = Note(note_id=note_id, author=author, text=text)
        self.events.append(
            IncidentEvent(
                happening=Happening.ANNOTATED, at_ms=0, actor=author, reason=reason, incident=urgent(), note=note
            )
        )
        return entry


def test_each_gets_it_once_whoever_works_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager()

    def events(_: History, wanted: Callable[[IncidentEvent], bool], since_ms: int = 0) -> list[IncidentEvent]:
        return [event for event in manager.events if wanted(event)]

    monkeypatch.setattr(History, "events", events)
    context = Context(urgent(), 0)
    assert attach(SETTINGS, manager, context, author="a", work="run 1")
    assert not attach(SETTINGS, manager, context, author="a", work="run 2"), "another run's"
    assert attach(SETTINGS, manager, context, author="a", work="run 1"), "an attempt after the first"
    (event,) = manager.events
    assert event.note is not None
    assert event.note.note_id == response.CONTEXT_NOTE
