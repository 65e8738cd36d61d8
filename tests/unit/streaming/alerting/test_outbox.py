"""What waits for a receiver, and how it merges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Sample, Severity
from streaming.alerting.notifier.outbox import LONGEST_BACKOFF_S, Item, Outbox, backoff_s
from streaming.events.model import Level
from streaming.kafka.offsets import Span

SAMPLE = Sample(timestamp_ms=0, level=Level.ERROR, message="m", service="s", node_id="n")


def told(action: Action, version: int, incident_id: str = "A") -> Notification:
    state = IncidentState.RESOLVED if action is Action.RESOLVE else IncidentState.FIRING
    incident = Incident(
        incident_id=incident_id,
        incident_key=incident_id,
        rule_id="r",
        group={},
        severity=Severity.ERROR,
        title="t",
        state=state,
        version=version,
        count=version,
        opened_ms=0,
        first_ms=0,
        last_ms=0,
        updated_ms=0,
        last_received_ms=0,
        sample=SAMPLE,
        resolve_after_s=None,
    )
    return Notification(action=action, incident=incident, created_ms=version)


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


def test_what_may_have_been_sent_is_not_taken_back() -> None:
    feed = Feed()
    feed.add(RESOLVE, look_first=True)
    feed.add(REOPEN)
    assert [i.notification.action for i in feed.drain()] == [RESOLVE, REOPEN]


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
    st.tuples(st.sampled_from("AB"), st.sampled_from(["next", "update", "attempt", "succeed"])), max_size=60
)


@given(LIVES)
def test_a_receiver_ends_where_the_incident_is(steps: list[tuple[str, str]]) -> None:
    """Whatever merges, the message that a receiver shows at the end is the incident's last state, and a receiver sees
    only sequences that make sense."""
    feed, state, shown, latest = Feed(), dict[str, str](), dict[str, Notification](), dict[str, int]()

    def attempt(success: bool) -> None:
        item = feed.outbox.take(0.0)
        if item is None:
            return
        if not success:
            feed.outbox.put_back(item, 0.0, unknown=False)
            return
        incident = item.notification.incident.incident_id
        before = shown.get(incident)
        if item.notification.action is OPEN:
            assert before is None
        elif item.notification.action is REOPEN:
            assert before is not None
        else:
            assert before is not None
        assert before is None or before.incident.version < item.notification.incident.version
        shown[incident] = item.notification

    for incident, step in steps:
        if step in ("next", "update"):
            was = state.get(incident)
            action = OPEN if was is None else REOPEN if was == "resolved" else UPDATE if step == "update" else RESOLVE
            state[incident] = "resolved" if action is RESOLVE else "open"
            feed.add(action, incident_id=incident)
            latest[incident] = feed.version
        else:
            attempt(step == "succeed")
        assert all(len(items) <= 2 for items in feed.outbox.waiting.values())
    while len(feed.outbox):
        attempt(True)
    for incident, version in latest.items():
        assert shown[incident].incident.version == version
        assert (shown[incident].incident.state is IncidentState.RESOLVED) == (state[incident] == "resolved")
