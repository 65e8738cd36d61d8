"""The life of an incident, with a simulated clock."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streaming.alerting.engine import Engine
from streaming.alerting.incidents import Book, Decision, Policy, is_open, joined
from streaming.alerting.messages import (
    Action,
    Candidate,
    Command,
    Happening,
    Incident,
    IncidentState,
    Notification,
    Order,
    Sample,
    Severity,
    incident_key,
)
from streaming.alerting.rules.loading import load_texts
from streaming.events.model import Level, NodeState
from streaming.heartbeat.messages import NodeStatus

QUIET_S = 300.0
POLICY = Policy()


def candidate(
    group: str = "a", *, at: int = 0, count: int = 1, severity: Severity = Severity.ERROR, quiet: float | None = QUIET_S
) -> Candidate:
    return Candidate(
        rule_id="r",
        group={"service.name": group},
        severity=severity,
        title=f"{group} broke",
        count=count,
        first_ms=at,
        last_ms=at,
        received_ms=at,
        sample=Sample(timestamp_ms=at, level=Level.ERROR, message="m", service=group, node_id="n", source=f"s{at}"),
        resolve_after_s=quiet,
    )


def actions(decision: Decision) -> list[Action]:
    return [n.action for n in decision.notifications]


def only(book: Book) -> Incident:
    (incident,) = book.by_key.values()
    return incident


def test_it_opens_counts_and_resolves_when_quiet() -> None:
    book = Book()
    assert actions(book.candidate(candidate(), 1000)) == [Action.OPEN]
    assert actions(book.candidate(candidate(count=4), 2000)) == []
    assert only(book).count == 5
    assert actions(book.tick(31_000)) == [Action.UPDATE]
    assert actions(book.tick(301_999)) == []
    resolved = book.tick(302_000)
    assert actions(resolved) == [Action.RESOLVE]
    assert resolved.notifications[0].incident.reason == "quiet for 300 s"
    assert [e.happening for e in resolved.events] == [Happening.RESOLVED]
    assert not is_open(only(book))


def test_it_never_resolves_while_candidates_come() -> None:
    book, now = Book(), 0
    for _ in range(100):
        book.candidate(candidate(at=now), now)
        now += 299_000
        assert Action.RESOLVE not in actions(book.tick(now))


def test_500_candidates_are_one_open_and_one_update() -> None:
    book = Book()
    told = joined([book.candidate(candidate(at=n), 1000 + n) for n in range(500)])
    assert actions(told) == [Action.OPEN]
    assert [i.count for i in told.changed] == [500]
    assert actions(book.tick(31_001)) == [Action.UPDATE]
    assert actions(book.tick(62_000)) == []


def test_a_higher_severity_is_told_at_once_and_a_lower_one_never_lowers_it() -> None:
    book = Book()
    book.candidate(candidate(), 0)
    book.command(ack(), 1)
    rising = book.candidate(candidate(severity=Severity.CRITICAL), 10)
    assert actions(rising) == [Action.UPDATE]
    assert only(book).state is IncidentState.FIRING, "who acknowledged did not know of this"
    book.candidate(candidate(severity=Severity.INFO), 20)
    assert only(book).severity is Severity.CRITICAL


def test_a_candidate_soon_after_reopens_and_a_late_one_opens_anew() -> None:
    book = Book()
    book.candidate(candidate(), 0)
    first = only(book).incident_id
    book.tick(300_000)
    again = book.candidate(candidate(at=5), 900_000)
    assert actions(again) == [Action.REOPEN]
    assert (only(book).incident_id, only(book).reopened, only(book).count) == (first, 1, 2)
    book.tick(1_200_000)
    late = book.candidate(candidate(at=9), 1_200_000 + POLICY.reopen_within_ms + 1)
    assert actions(late) == [Action.OPEN]
    assert [i.incident_id for i in late.forgotten] == [first]
    assert only(book).incident_id != first


def test_a_resolved_one_is_forgotten_after_the_window() -> None:
    book = Book()
    book.candidate(candidate(), 0)
    book.tick(300_000)
    assert book.tick(900_000).forgotten == ()
    assert len(book.tick(900_001).forgotten) == 1
    assert (book.by_key, book.keys) == ({}, {})
    assert book.next_due_ms() is None


def test_without_a_quiet_time_only_an_order_resolves() -> None:
    book = Book()
    book.candidate(candidate(quiet=None), 0)
    assert actions(book.tick(10**12)) == []
    key = only(book).incident_key
    order = Command(order=Order.RESOLVE, author="me", at_ms=0, incident_key=key, reason="mended")
    resolved = book.command(order, 5)
    assert actions(resolved) == [Action.RESOLVE]
    assert resolved.events[0].actor == "me"
    assert actions(book.command(order, 6)) == []


def ack(incident_id: str | None = None) -> Command:
    key = None if incident_id else candidate().incident_key
    return Command(order=Order.ACKNOWLEDGE, author="ann", at_ms=0, incident_id=incident_id, incident_key=key)


def test_an_acknowledgement_is_shown_once() -> None:
    book = Book()
    book.candidate(candidate(), 0)
    shown = book.command(ack(only(book).incident_id), 1)
    assert actions(shown) == [Action.UPDATE]
    assert only(book).acknowledged_by == "ann"
    assert actions(book.command(ack(), 2)) == []
    assert actions(book.command(ack("NOSUCH"), 2)) == []


RULES = load_texts([(Path("x"), "rules: [{id: down, kind: node-health, severity: critical, title: '{{ message }}'}]")])


def status(state: NodeState, at: int = 0) -> NodeStatus:
    return NodeStatus(
        node_id="n1", service="s", state=state, at_ms=at, last_beat_ms=0, silent_for_ms=9, reason="silent for 9 s"
    )


def test_a_node_down_is_one_incident_and_up_resolves_it() -> None:
    book, engine = Book(), Engine(RULES)
    assert actions(book.node_status(status(NodeState.UP), engine, 0)) == []
    assert actions(book.node_status(status(NodeState.DOWN), engine, 1)) == [Action.OPEN]
    assert actions(book.node_status(status(NodeState.DOWN), engine, 2)) == []
    assert book.by_key.keys() == {incident_key("down", {"service.node.name": "n1"})}
    assert actions(book.tick(10**12)) == [Action.UPDATE], "it does not resolve by itself"
    assert actions(book.node_status(status(NodeState.UP), engine, 3)) == [Action.RESOLVE]
    assert actions(book.node_status(status(NodeState.DOWN, 4), engine, 4)) == [Action.REOPEN]


def test_a_node_that_comes_back_as_another_service_resolves_too() -> None:
    rule_text = "{id: d, kind: node-health, severity: error, title: t, where: {service: {equals: order}}}"
    engine = Engine(load_texts([(Path("x"), f"rules: [{rule_text}]")]))
    book = Book(POLICY)
    gone = msgspec.structs.replace(status(NodeState.DOWN), service="order")
    assert actions(book.node_status(gone, engine, 0)) == [Action.OPEN]
    back = msgspec.structs.replace(status(NodeState.UP), service="payment")
    assert actions(book.node_status(back, engine, 1)) == [Action.RESOLVE]


@pytest.mark.parametrize("step", [3_600_000, -3_600_000])
def test_a_clock_that_is_set_neither_resolves_nor_holds_up_anything(step: int) -> None:
    start = 10_000_000
    book = Book(POLICY)
    book.candidate(candidate(), start)
    book.candidate(candidate(), start + 1)  # still to be told
    book.candidate(candidate("b"), start)
    book.command(Command(order=Order.RESOLVE, author="a", at_ms=0, incident_key="r|service.name=b"), start)
    assert len(book.clock_was_set(step).changed) == 2
    now = start + step
    assert book.tick(now + POLICY.update_every_ms - 1) == Decision()
    assert actions(book.tick(now + POLICY.update_every_ms)) == [Action.UPDATE]
    assert book.tick(now + int(QUIET_S * 1000)) == Decision()
    assert actions(book.tick(now + int(QUIET_S * 1000) + 1)) == [Action.RESOLVE]
    assert len(book.tick(now + POLICY.reopen_within_ms + 1).forgotten) == 1


def test_a_busy_incident_does_not_fill_the_schedule() -> None:
    book = Book()
    for now in range(0, 2_000_000, 500):
        book.candidate(candidate(at=now), now)
        book.tick(now)
    assert len(book.due) <= QUIET_S * 1000 / POLICY.update_every_ms + 3


def test_the_same_candidate_gets_the_same_id() -> None:
    one, other = Book(), Book()
    one.candidate(candidate(at=7), 1)
    other.candidate(candidate(at=7), 2)
    assert only(one).incident_id == only(other).incident_id
    assert len(only(one).incident_id) == 10


GROUPS = st.sampled_from(["a", "b", "c"])


class Life(RuleBasedStateMachine):
    """Anything in any order, with restarts: what people are told always adds up."""

    def __init__(self) -> None:
        super().__init__()
        self.book, self.now = Book(), 0
        self.topic: dict[str, bytes] = {}
        self.versions: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.told: dict[str, Action] = {}
        self.last_candidate: dict[str, int] = {}

    def take(self, decision: Decision) -> None:
        for notification in decision.notifications:
            self.check_notification(notification)
        for incident in decision.forgotten:
            del self.topic[incident.incident_id]
            assert self.told.pop(incident.incident_id) is Action.RESOLVE, "forgotten without a resolution"
            self.counts.pop(incident.incident_id, None)
            self.versions.pop(incident.incident_id, None)
        for incident in decision.changed:
            assert incident.version > self.versions.get(incident.incident_id, 0)
            assert incident.count >= self.counts[incident.incident_id]
            self.versions[incident.incident_id] = incident.version
            self.counts[incident.incident_id] = incident.count
            self.topic[incident.incident_id] = msgspec.json.encode(incident)

    def check_notification(self, notification: Notification) -> None:
        incident, action = notification.incident, notification.action
        before = self.told.get(incident.incident_id)
        if action is Action.OPEN:
            assert before is None, "opened twice"
        elif action is Action.REOPEN:
            assert before is Action.RESOLVE
        else:
            assert before not in (None, Action.RESOLVE), f"{action} of what is not open to people"
        if action is Action.RESOLVE and incident.reason.startswith("quiet"):
            assert self.now - self.last_candidate[incident.incident_key] >= QUIET_S * 1000
        self.told[incident.incident_id] = action

    @rule(group=GROUPS, count=st.integers(1, 5), severity=st.sampled_from(Severity))
    def a_candidate(self, group: str, count: int, severity: Severity) -> None:
        new = candidate(group, at=self.now, count=count, severity=severity)
        self.last_candidate[new.incident_key] = self.now
        self.sent[new.incident_key] += count
        before = self.book.by_key.get(new.incident_key)
        decision = self.book.candidate(new, self.now)
        (after,) = decision.changed
        if before is not None and before.incident_id == after.incident_id:
            assert (after.count, after.version) == (before.count + count, before.version + 1)
        else:
            assert (after.count, after.version) == (count, 1)
        self.take(decision)

    @rule(by=st.integers(0, 400_000))
    def time_passes(self, by: int) -> None:
        self.now += by
        self.take(self.book.tick(self.now))

    @rule(group=GROUPS, order=st.sampled_from(Order))
    def an_order(self, group: str, order: Order) -> None:
        command = Command(order=order, author="x", at_ms=self.now, incident_key=candidate(group).incident_key)
        self.take(self.book.command(command, self.now))

    @rule()
    def the_manager_restarts(self) -> None:
        self.book = Book()
        for value in self.topic.values():
            self.book.put(msgspec.json.decode(value, type=Incident))

    @invariant()
    def one_for_each_key(self) -> None:
        keys = Counter(msgspec.json.decode(value, type=Incident).incident_key for value in self.topic.values())
        assert all(n == 1 for n in keys.values())
        assert len(self.topic) == len(self.book.by_key)

    @invariant()
    def people_know_what_is_open(self) -> None:
        for incident in self.book.by_key.values():
            assert (self.told[incident.incident_id] is Action.RESOLVE) == (not is_open(incident))

    def teardown(self) -> None:
        """Left alone, everything resolves and is forgotten."""
        for _ in range(4):
            self.now += 1_000_000
            self.take(self.book.tick(self.now))
        assert self.topic == {}


Life.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
