"""What waits for a receiver, and how it merges."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.messages import Action, IncidentState, Note, Notification
from streaming.alerting.notifier.outbox import LONGEST_BACKOFF_S, Item, Outbox, backoff_s
from streaming.kafka.offsets import Span
from tests.support.incidents import plain_incident


def told(action: Action, version: int, incident_id: str = "A") -> Notification:
    state = IncidentState.RESOLVED if action is Action.RESOLVE else IncidentState.FIRING
    incident = plain_incident(
        incident_id=incident_id, incident_key=incident_id, state=state, version=version, count=version
    )
    note = Note(note_id=f"n{version}", author="ann", text="look") if action is Action.ANNOTATE else None
    return Notification(action=action, incident=incident, created_ms=version, note=note)


class Feed:
    """Gives notifications to an outbox and keeps account of their spans."""

    def __init__(self) -> None:
        self.outbox, self.spans, self.version = Outbox(), list[Span](), 0

    def add(self, *actions: Action, incident_id: str = "A", look_first: bool = False) -> None:
        for action in actions:
            self.version += 1
            span = Span(0, self.version, self.version)
            self.spans.append(span)
            self.outbox.add(told(action, self.version, incident_id), span, look_first=look_first)

    def drain(self) -> list[Item]:
        items = []
        while (item := self.outbox.take(0.0)) is not None:
            items.append(item)
        return items


def waiting(*actions: Action) -> list[tuple[Action, int]]:
    feed = Feed()
    feed.add(*actions)
    items = feed.drain()
    assert sorted(id(s) for i in items for s in i.spans) == sorted(map(id, feed.spans)), "every record is settled once"
    return [(i.notification.action, i.notification.incident.version) for i in items]


OPEN, UPDATE, RESOLVE, REOPEN = Action.OPEN, Action.UPDATE, Action.RESOLVE, Action.REOPEN
REPEAT, ESCALATE, ANNOTATE = Action.REPEAT, Action.ESCALATE, Action.ANNOTATE


def test_what_waits_merges_into_what_is_worth_saying() -> None:
    assert waiting(OPEN) == [(OPEN, 1)]
    assert waiting(OPEN, UPDATE, UPDATE) == [(OPEN, 3)]
    assert waiting(UPDATE, UPDATE) == [(UPDATE, 2)]
    assert waiting(OPEN, UPDATE, RESOLVE) == [(OPEN, 2), (RESOLVE, 3)]
    assert waiting(UPDATE, RESOLVE) == [(RESOLVE, 2)]
    assert waiting(OPEN, RESOLVE, REOPEN) == [(OPEN, 3)]
    assert waiting(RESOLVE, REOPEN) == [(UPDATE, 2)]
    assert waiting(RESOLVE, REOPEN, RESOLVE) == [(RESOLVE, 3)]
    assert waiting(REOPEN, UPDATE, RESOLVE, REOPEN, UPDATE) == [(REOPEN, 5)]


def test_what_must_alert_stays_something_that_alerts() -> None:
    assert waiting(REPEAT) == [(REPEAT, 1)]
    assert waiting(UPDATE, REPEAT, UPDATE, REPEAT) == [(REPEAT, 4)]
    assert waiting(OPEN, REPEAT) == [(OPEN, 2)]
    assert waiting(REPEAT, RESOLVE) == [(RESOLVE, 2)]
    assert waiting(ESCALATE) == [(ESCALATE, 1)]
    assert waiting(OPEN, ESCALATE, UPDATE, REPEAT) == [(ESCALATE, 4)]
    assert waiting(REOPEN, ESCALATE) == [(REOPEN, 2)]
    assert waiting(UPDATE, ESCALATE, ESCALATE, RESOLVE) == [(ESCALATE, 3), (RESOLVE, 4)]
    assert waiting(ESCALATE, RESOLVE, REOPEN, REPEAT) == [(ESCALATE, 4)]


def test_a_note_merges_with_nothing() -> None:
    assert waiting(OPEN, ANNOTATE, ANNOTATE) == [(OPEN, 1), (ANNOTATE, 2), (ANNOTATE, 3)]
    assert waiting(UPDATE, ANNOTATE, UPDATE, UPDATE) == [(UPDATE, 1), (ANNOTATE, 2), (UPDATE, 4)]
    assert waiting(ANNOTATE, RESOLVE, REOPEN) == [(ANNOTATE, 1), (UPDATE, 3)]
    assert waiting(OPEN, RESOLVE, ANNOTATE, REOPEN) == [(OPEN, 1), (RESOLVE, 2), (ANNOTATE, 3), (REOPEN, 4)]


def test_a_note_that_is_read_twice_is_one() -> None:
    outbox = Outbox()
    for offset in (1, 2):
        outbox.add(told(ANNOTATE, 5), Span(0, offset, offset), look_first=offset == 2)
    (item,) = outbox
    assert ([span.first for span in item.spans], item.look_first) == ([1, 2], True)


def test_what_must_alert_and_comes_late_comes_before_the_note() -> None:
    outbox = Outbox()
    outbox.add(told(ANNOTATE, 5), Span(0, 5, 5), look_first=False)
    outbox.put(Item(told(REPEAT, 5), [Span(0, 4, 4)], tried=frozenset({"x"})))
    assert [i.notification.action for i in outbox] == [REPEAT, ANNOTATE]


def test_what_may_have_been_sent_is_not_taken_back() -> None:
    for actions in ((RESOLVE, REOPEN), (OPEN, ESCALATE), (ESCALATE, ESCALATE)):
        feed = Feed()
        feed.add(actions[0], look_first=True)
        feed.add(actions[1])
        assert tuple(i.notification.action for i in feed.drain()) == actions


def test_whom_others_were_told_that_it_is_over_hears_that_it_came_back() -> None:
    feed = Feed()
    feed.add(RESOLVE)
    (resolved,) = feed.outbox
    resolved.handed_on = True
    feed.add(REOPEN)
    assert [i.notification.action for i in feed.drain()] == [RESOLVE, REOPEN]


def test_a_merged_message_calls_whoever_either_called_and_goes_where_the_later_one_goes() -> None:
    outbox = Outbox()
    for version, (action, receivers, mentions) in enumerate(
        ((OPEN, ("a",), ("ann",)), (ESCALATE, ("a", "b"), ("ben", "ann"))), 1
    ):
        one = msgspec.structs.replace(
            told(action, version), receivers=receivers, fallback=(f"f{version}",), mentions=mentions
        )
        outbox.add(one, Span(0, version, version), look_first=False)
    (item,) = outbox
    found = item.notification
    assert (found.receivers, found.fallback, found.mentions) == (("a", "b"), ("f2",), ("ann", "ben"))
    outbox.add(told(RESOLVE, 3), Span(0, 3, 3), look_first=False)
    assert [i.notification.mentions for i in outbox] == [("ann", "ben"), ()]


def test_what_comes_by_way_of_another_receiver_too_is_sent_once() -> None:
    feed = Feed()
    feed.add(OPEN, RESOLVE)
    first, _ = feed.outbox
    feed.outbox.put(Item(first.notification, [Span(0, 9, 9)], look_first=True, tried=frozenset({"x"})))
    opened, resolved = feed.drain()
    assert (opened.notification.action, resolved.notification.action) == (OPEN, RESOLVE)
    assert resolved.tried == {"x"}
    assert sorted(span.first for span in (*opened.spans, *resolved.spans)) == [1, 2, 9]


def test_what_was_to_come_before_makes_what_waits_alert() -> None:
    def late(action: Action, waiting: Action, alerted: int = 0) -> list[Action]:
        outbox = Outbox()
        outbox.add(told(waiting, 5), Span(0, 5, 5), look_first=False)
        (item,) = outbox
        item.alerts = alerted or item.alerts
        outbox.put(Item(told(action, 4), [Span(0, 4, 4)], tried=frozenset({"x"})))
        assert [i.notification.incident.version for i in outbox] == [5]
        assert [len(i.spans) for i in outbox] == [2]
        return [i.notification.action for i in outbox]

    assert late(ESCALATE, UPDATE) == [ESCALATE]
    assert late(REPEAT, UPDATE) == [REPEAT]
    assert late(OPEN, UPDATE) == [OPEN]
    assert late(ESCALATE, UPDATE, alerted=4) == [UPDATE], "people were alerted after it"
    assert late(OPEN, REPEAT) == [REPEAT]
    assert late(ESCALATE, RESOLVE) == [RESOLVE]


def test_what_others_have_is_taken_out() -> None:
    feed = Feed()
    feed.add(OPEN, RESOLVE, incident_id="A")
    feed.add(OPEN, incident_id="B")
    opened, resolved, other = feed.outbox
    feed.outbox.remove([opened, other])
    assert list(feed.outbox) == [resolved]
    feed.outbox.return_(opened)
    assert list(feed.outbox) == [opened, resolved]


def test_incidents_take_turns_and_keep_their_order() -> None:
    feed = Feed()
    feed.add(OPEN, RESOLVE, incident_id="A")
    feed.add(OPEN, incident_id="B")
    first = feed.outbox.take(0.0)
    assert first is not None
    feed.outbox.put_back(first, 0.0, unknown=True)
    order = [(i.notification.incident.incident_id, i.notification.action) for i in feed.drain()]
    assert order == [("B", OPEN), ("A", OPEN), ("A", RESOLVE)]


def test_what_came_during_an_attempt_merges_when_it_failed() -> None:
    feed = Feed()
    feed.add(OPEN)
    item = feed.outbox.take(0.0)
    assert item is not None
    feed.add(UPDATE)
    feed.outbox.put_back(item, 5.0, unknown=True)
    assert feed.outbox.take(4.9) is None
    assert feed.outbox.next_at() == 5.0
    again = feed.outbox.take(5.0)
    assert again is not None
    assert (again.notification.action, again.notification.incident.version, again.look_first) == (OPEN, 2, True)
    assert len(again.spans) == 2


def test_waits_double_up_to_the_longest() -> None:
    assert [backoff_s(n) for n in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert backoff_s(10_000) == LONGEST_BACKOFF_S


LIVES = st.lists(
    st.tuples(
        st.sampled_from("AB"),
        st.sampled_from(["next", "update", "note", "repeat", "escalate", "attempt", "lose", "succeed"]),
    ),
    max_size=60,
)
FOLLOWING = {"update": UPDATE, "repeat": REPEAT, "escalate": ESCALATE, "next": RESOLVE}


class Life:
    """Incidents of which one receiver is told, and what it shows."""

    def __init__(self) -> None:
        self.feed, self.state, self.shown = Feed(), dict[str, str](), dict[str, Notification]()
        self.latest: dict[str, int] = {}
        self.alerts_due: dict[str, int] = {}
        """Incidents with an alert that was ordered and not yet sent, by its version."""
        self.notes: list[int] = []
        self.attached: list[int] = []

    def happen(self, incident: str, step: str) -> None:
        was = self.state.get(incident)
        if step == "note":
            if was is not None:
                self.feed.add(ANNOTATE, incident_id=incident)
                self.notes.append(self.feed.version)
            return
        action = OPEN if was is None else REOPEN if was == "resolved" else FOLLOWING[step]
        self.state[incident] = "resolved" if action is RESOLVE else "open"
        self.feed.add(action, incident_id=incident)
        self.latest[incident] = self.feed.version
        if action is RESOLVE:
            self.alerts_due.pop(incident, None)
        elif action in (REPEAT, ESCALATE):
            self.alerts_due[incident] = self.feed.version

    def attempt(self, success: bool, *, lost: bool = False) -> None:
        item = self.feed.outbox.take(0.0)
        if item is None:
            return
        if not success:
            self.feed.outbox.put_back(item, 0.0, unknown=lost)
            return
        told = item.notification
        incident, before = told.incident.incident_id, self.shown.get(told.incident.incident_id)
        if item.is_note:
            assert before is not None, "a message comes first"
            self.attached.append(told.incident.version)
            return
        if before is None:
            assert told.action in (OPEN, ESCALATE), "a new message comes first"
        elif told.action is OPEN:
            raise AssertionError("it is open already")
        assert before is None or before.incident.version < told.incident.version
        if told.action is not UPDATE and told.incident.version >= self.alerts_due.get(incident, 0):
            self.alerts_due.pop(incident, None)
        self.shown[incident] = told


@settings(deadline=None)
@given(LIVES)
def test_a_receiver_ends_where_the_incident_is_and_every_alert_alerts(steps: list[tuple[str, str]]) -> None:
    """Whatever merges, the message that a receiver shows at the end is the incident's last state, a receiver sees only
    sequences that make sense, and what was to alert did, unless it was over before it could."""
    life = Life()
    for incident, step in steps:
        if step in ("attempt", "lose", "succeed"):
            life.attempt(step == "succeed", lost=step == "lose")
        else:
            life.happen(incident, step)
    while len(life.feed.outbox):
        life.attempt(True)
    for incident, version in life.latest.items():
        assert life.shown[incident].incident.version == version
        is_over = life.shown[incident].incident.state is IncidentState.RESOLVED
        assert is_over == (life.state[incident] == "resolved")
    assert not life.alerts_due
    assert sorted(life.attached) == life.notes, "each note once"
