"""Notes at the desk: what they change, what they tell, and how many there may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.messages import (
    DONE,
    HAS_NOTE,
    NO_SUCH_INCIDENT,
    NOTE_LIMIT,
    NOTES_LIMIT,
    Action,
    Command,
    Incident,
    Order,
)
from streaming.alerting.rules.loading import load_texts
from tests.support.alert_office import Office

RULES = load_texts([(Path("x"), "rules: [{id: r, kind: match, where: {levels: [ERROR]}, severity: error, title: t}]")])


@pytest.fixture
def office() -> Office:
    made = Office(RULES)
    made.candidate("r", quiet_s=60)
    return made


def annotate(office: Office, incident: Incident, note: str = "look", note_id: str = "") -> str:
    """What came of it."""
    office.take(
        Command(
            order=Order.ANNOTATE,
            author="ann",
            at_ms=office.now,
            incident_id=incident.incident_id,
            note=note,
            note_id=note_id,
        )
    )
    return office.audit[-1].outcome


def test_a_note_is_told_and_changes_nothing_else(office: Office) -> None:
    before = office.incident("r")
    office.now = 10
    assert annotate(office, before, "\nthe disk is full \n\n", "n1") == DONE
    (told,) = office.told
    assert (told.action, told.mentions) == (Action.ANNOTATE, ())
    assert told.note is not None
    assert (told.note.note_id, told.note.author, told.note.text) == ("n1", "ann", "the disk is full")
    after = office.incident("r")
    assert (after.state, after.version, after.notes) == (before.state, before.version + 1, ("n1",))
    assert office.tick(59_999) == [], "no edit is owed for it"
    assert office.tick(60_000) == [Action.RESOLVE], "nor does it keep it open"


def test_what_its_message_does_not_say_yet_is_still_told_at_its_time(office: Office) -> None:
    office.now = 10
    office.candidate("r", quiet_s=60)
    annotate(office, office.incident("r"))
    assert office.tick(30_000) == [Action.UPDATE]


def test_one_that_is_resolved_takes_notes_until_it_is_forgotten(office: Office) -> None:
    incident = office.incident("r")
    office.tick(60_000)
    assert not is_open(office.incident("r"))
    assert annotate(office, incident) == DONE
    assert [told.action for told in office.told] == [Action.ANNOTATE]
    office.tick(60_001 + 10 * 60_000)
    assert annotate(office, incident) == NO_SUCH_INCIDENT


def test_a_note_of_what_nobody_was_told_of_is_in_the_history_alone() -> None:
    office = Office(RULES)
    office.candidate("r", for_s=60)
    decision = office.desk.take(
        Command(order=Order.ANNOTATE, author="a", at_ms=0, incident_key=office.incident("r").incident_key, note="x"), 0
    )
    assert decision.notifications == ()
    (event,) = decision.events
    assert event.note is not None
    assert event.note.text == "x"


def test_a_note_of_one_id_is_taken_once(office: Office) -> None:
    incident = office.incident("r")
    assert annotate(office, incident, note_id="context") == DONE
    assert annotate(office, incident, note_id="context") == HAS_NOTE
    office.restart()
    assert annotate(office, incident, note_id="context") == HAS_NOTE
    assert len(office.incident("r").notes) == 1


def test_what_is_no_note_and_one_too_many_are_refused(office: Office) -> None:
    incident = office.incident("r")
    assert annotate(office, incident, " \n") == "the note is empty"
    assert "at most 3,000" in annotate(office, incident, "x" * (NOTE_LIMIT + 1))
    assert "at most 40" in annotate(office, incident, note_id="i" * 41)
    for _ in range(NOTES_LIMIT):
        assert annotate(office, incident) == DONE
    assert annotate(office, incident) == "it has 20 notes already"


def test_the_audit_keeps_its_beginning(office: Office) -> None:
    annotate(office, office.incident("r"), "x" * 1000)
    assert len(office.audit[-1].note) == 300
