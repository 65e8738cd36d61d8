"""What a rule's `for`, mutes, repeats, escalation, recovery and late events do to the life of an incident."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streaming.alerting.incidents.book import Book
from streaming.alerting.incidents.decision import Decision
from streaming.alerting.incidents.lifecycle import Policy, due_ms, is_open, was_told
from streaming.alerting.messages import (
    Action,
    Candidate,
    Command,
    Happening,
    Incident,
    IncidentState,
    Order,
    Sample,
    Severity,
)
from streaming.events.model import Level

KEY = "r|service.name=a"
STEPS_MS = (60_000, 300_000)


def candidate(at: int = 0, **more: object) -> Candidate:
    made = Candidate(
        rule_id="r",
        group={"service.name": "a"},
        severity=Severity.ERROR,
        title="a broke",
        count=1,
        first_ms=at,
        last_ms=at,
        received_ms=at,
        sample=Sample(timestamp_ms=at, level=Level.ERROR, message="m", service="a", node_id="n", source=f"s{at}"),
        resolve_after_s=600.0,
    )
    return msgspec.structs.replace(made, **more)


class Muted:
    """A mute that tests switch on and off."""

    def __init__(self) -> None:
        self.why = ""

    def __call__(self, _: Incident, __: int) -> str:
        return self.why


def book_with(mute: Muted | None = None, steps: tuple[int, ...] = ()) -> Book:
    return Book(Policy(mute_of=mute or Muted(), steps_of=lambda _: steps))


def actions(decision: Decision) -> list[Action]:
    return [n.action for n in decision.notifications]


def only(book: Book) -> Incident:
    (incident,) = book.by_key.values()
    return incident


def order(what: Order, at: int = 0) -> Command:
    return Command(order=what, author="ann", at_ms=at, incident_key=KEY, note="look at the disk")


# ------------------------------------------------------------------------------------------------ for


def test_what_must_go_on_for_a_while_is_told_only_then_with_all_its_events() -> None:
    book = book_with()
    assert actions(book.candidate(candidate(for_s=60.0), 0)) == []
    assert only(book).state is IncidentState.PENDING
    assert actions(book.candidate(candidate(for_s=60.0), 59_000)) == []
    assert book.next_due_ms() == 60_000
    opened = book.tick(60_000)
    assert actions(opened) == [Action.OPEN]
    assert (only(book).state, only(book).count, only(book).firing_since_ms) == (IncidentState.FIRING, 2, 60_000)
    assert [e.happening for e in opened.events] == [Happening.OPENED]


def test_what_is_over_before_that_was_never_there() -> None:
    book = book_with()
    book.candidate(candidate(for_s=60.0, resolve_after_s=30.0), 0)
    ended = book.tick(30_000)
    assert (ended.notifications, ended.events, len(ended.forgotten)) == ((), (), 1)
    book.candidate(candidate(for_s=60.0), 40_000)
    recovered = book.recovery(KEY, "fewer than 5", "r", 50_000)
    assert (recovered.notifications, recovered.events, len(recovered.forgotten)) == ((), (), 1)
    assert not book.by_key


def test_nobody_can_acknowledge_what_is_pending() -> None:
    book = book_with()
    book.candidate(candidate(for_s=60.0), 0)
    assert book.command(order(Order.ACKNOWLEDGE), 1) == Decision()


# ---------------------------------------------------------------------------------------------- mutes


def test_what_opens_muted_is_told_when_the_mute_ends_and_not_before() -> None:
    mute = Muted()
    mute.why = "silence S1"
    book = book_with(mute)
    opened = book.candidate(candidate(), 0)
    assert (actions(opened), only(book).state, only(book).muted_by) == ([], IncidentState.SILENCED, "silence S1")
    assert [(e.happening, e.reason) for e in opened.events] == [(Happening.OPENED, "silence S1")]
    assert actions(book.candidate(candidate(5), 40_000)) == []
    assert actions(book.tick(100_000)) == []
    mute.why = ""
    told = book.look_again(KEY, 110_000)
    assert actions(told) == [Action.OPEN]
    assert (only(book).state, only(book).count, only(book).firing_since_ms) == (IncidentState.FIRING, 2, 110_000)
    assert only(book).reason == "no longer muted (silence S1)"


def test_what_is_muted_while_it_fires_is_shown_as_such_and_alerts_again_afterwards() -> None:
    mute = Muted()
    book = book_with(mute)
    book.candidate(candidate(), 0)
    mute.why = "maintenance upgrade"
    assert actions(book.look_again(KEY, 1_000)) == [Action.UPDATE]
    assert actions(book.candidate(candidate(9), 50_000)) == [], "its message is left alone"
    assert actions(book.tick(100_000)) == []
    mute.why = ""
    assert actions(book.look_again(KEY, 120_000)) == [Action.REPEAT]


def test_who_was_told_that_it_fired_is_told_that_it_is_over_though_it_is_muted_and_nobody_else() -> None:
    mute = Muted()
    book = book_with(mute)
    book.candidate(candidate(), 0)
    mute.why = "silence S1"
    book.look_again(KEY, 1)
    assert actions(book.recovery(KEY, "over", "r", 2)) == [Action.RESOLVE]
    again = book_with(mute)
    again.candidate(candidate(), 0)
    over = again.recovery(KEY, "over", "r", 2)
    assert (actions(over), [e.happening for e in over.events]) == ([], [Happening.RESOLVED])


def test_a_problem_that_returns_muted_reopens_silently() -> None:
    mute = Muted()
    book = book_with(mute)
    book.candidate(candidate(), 0)
    book.recovery(KEY, "over", "r", 1)
    mute.why = "silence S1"
    back = book.candidate(candidate(2), 2)
    assert (actions(back), only(book).state, only(book).reopened) == ([], IncidentState.SILENCED, 1)
    assert [e.happening for e in back.events] == [Happening.REOPENED]


def test_what_is_acknowledged_stays_so_when_it_is_muted() -> None:
    mute = Muted()
    book = book_with(mute)
    book.candidate(candidate(), 0)
    book.command(order(Order.ACKNOWLEDGE), 1)
    mute.why = "silence S1"
    assert actions(book.look_again(KEY, 2)) == []
    assert (only(book).state, only(book).muted_by) == (IncidentState.ACKNOWLEDGED, "silence S1")
    assert actions(book.candidate(candidate(3, severity=Severity.CRITICAL), 3)) == []
    assert only(book).state is IncidentState.SILENCED, "whoever acknowledged it did not know of this"


def test_what_was_acknowledged_muted_is_news_when_it_is_given_back() -> None:
    mute = Muted()
    mute.why = "silence S1"
    book = book_with(mute)
    book.candidate(candidate(), 0)
    book.command(order(Order.ACKNOWLEDGE), 1)
    mute.why = ""
    assert actions(book.look_again(KEY, 2)) == [], "somebody has taken it"
    assert actions(book.command(order(Order.UNACKNOWLEDGE), 3)) == [Action.OPEN]


def test_what_was_acknowledged_muted_is_news_when_it_becomes_worse() -> None:
    mute = Muted()
    mute.why = "silence S1"
    book = book_with(mute)
    book.candidate(candidate(), 0)
    book.command(order(Order.ACKNOWLEDGE), 1)
    mute.why = ""
    book.look_again(KEY, 2)
    assert actions(book.candidate(candidate(3, severity=Severity.CRITICAL), 3)) == [Action.OPEN]


# -------------------------------------------------------------------------------- repeats and escalation


def test_it_is_told_again_and_again_until_somebody_acknowledges() -> None:
    book = book_with()
    book.candidate(candidate(repeat_every_s=100.0, resolve_after_s=None), 0)
    assert [actions(book.tick(at)) for at in (99_999, 100_000, 150_000, 200_000)] == [
        [],
        [Action.REPEAT],
        [],
        [Action.REPEAT],
    ]
    book.command(order(Order.ACKNOWLEDGE), 210_000)
    assert actions(book.tick(1_000_000)) == []


def test_escalation_takes_each_step_once_and_stops_at_an_acknowledgement() -> None:
    book = book_with(steps=STEPS_MS)
    book.candidate(candidate(resolve_after_s=None), 0)
    assert actions(book.tick(59_999)) == []
    first = book.tick(60_000)
    assert actions(first) == [Action.ESCALATE]
    assert first.notifications[0].incident.escalated == 1
    book.command(order(Order.ACKNOWLEDGE), 70_000)
    assert actions(book.tick(400_000)) == []
    back = book.command(order(Order.UNACKNOWLEDGE), 500_000)
    assert (actions(back), only(book).escalated) == ([Action.UPDATE], 0)
    assert actions(book.tick(560_000)) == [Action.ESCALATE], "it begins anew"
    assert actions(book.tick(800_000)) == [Action.ESCALATE]
    assert actions(book.tick(10**9)) == []


def test_escalation_counts_from_when_it_began_to_fire() -> None:
    book = book_with(steps=STEPS_MS)
    book.candidate(candidate(for_s=50.0, resolve_after_s=None), 0)
    assert actions(book.tick(50_000)) == [Action.OPEN]
    assert actions(book.tick(109_999)) == []
    assert actions(book.tick(110_000)) == [Action.ESCALATE]


# ---------------------------------------------------------------------------------------- late events


def test_late_events_amend_what_is_over_and_open_nothing_again() -> None:
    book = book_with()
    book.candidate(candidate(100), 100)
    book.recovery(KEY, "over", "r", 200)
    amended = book.candidate(candidate(50, late=True, count=7), 300)
    assert (actions(amended), only(book).state) == ([], IncidentState.RESOLVED)
    assert (only(book).count, only(book).first_ms, only(book).last_ms) == (8, 50, 100)
    assert actions(book.tick(40_000)) == [Action.UPDATE], "the message tells the count that is true now"


def test_late_events_do_not_keep_an_incident_open() -> None:
    book = book_with()
    book.candidate(candidate(0, resolve_after_s=60.0), 0)
    book.candidate(candidate(0, late=True, resolve_after_s=60.0), 59_000)
    assert Action.RESOLVE in actions(book.tick(60_000))


def test_late_events_of_what_nobody_knows_are_an_incident() -> None:
    book = book_with()
    assert actions(book.candidate(candidate(late=True), 0)) == [Action.OPEN]


@pytest.mark.parametrize("what", [Order.SILENCE, Order.UNSILENCE, Order.APPLY_RULES])
def test_orders_that_are_not_about_an_incident_change_none(what: Order) -> None:
    book = book_with()
    book.candidate(candidate(), 0)
    assert book.command(order(what), 1) == Decision()


# ---------------------------------------------------------------------------------------- all together


class Life(RuleBasedStateMachine):
    """Anything in any order, with mutes that come and go, and restarts between."""

    def __init__(self) -> None:
        super().__init__()
        self.mute, self.now = Muted(), 0
        self.book = book_with(self.mute, STEPS_MS)
        self.topic: dict[str, bytes] = {}
        self.counted = 0
        self.incident_id = ""

    def take(self, decision: Decision) -> None:
        for told in decision.notifications:
            incident = told.incident
            assert incident.state is not IncidentState.PENDING
            if told.action is Action.ANNOTATE:
                assert was_told(incident)
                continue
            if incident.state is IncidentState.SILENCED:
                assert told.action is Action.UPDATE, "that it is muted from now on is the last that is told"
            if told.action in (Action.REPEAT, Action.ESCALATE, Action.OPEN, Action.REOPEN):
                assert incident.state is IncidentState.FIRING
                assert not incident.muted_by
            assert incident.notified_version == incident.version
        for incident in decision.forgotten:
            del self.topic[incident.incident_id]
        for incident in decision.changed:
            self.topic[incident.incident_id] = msgspec.json.encode(incident)

    @rule(
        held=st.sampled_from([0.0, 120.0]),
        severity=st.sampled_from(Severity),
        late=st.booleans(),
        quiet=st.sampled_from([None, 600.0]),
        count=st.integers(1, 9),
    )
    def a_candidate(self, held: float, severity: Severity, late: bool, quiet: float | None, count: int) -> None:
        new = candidate(
            self.now,
            for_s=held,
            severity=severity,
            late=late,
            count=count,
            resolve_after_s=quiet,
            repeat_every_s=400.0,
        )
        before = self.book.by_key.get(KEY)
        self.take(self.book.candidate(new, self.now))
        after = self.book.by_key[KEY]
        self.counted = (self.counted if before is not None and before.incident_id == after.incident_id else 0) + count
        assert after.count == self.counted

    @rule(what=st.sampled_from([Order.ACKNOWLEDGE, Order.UNACKNOWLEDGE, Order.RESOLVE, Order.ANNOTATE]))
    def an_order(self, what: Order) -> None:
        self.take(self.book.command(order(what), self.now))

    @rule()
    def it_is_over(self) -> None:
        self.take(self.book.recovery(KEY, "over", "r", self.now))
        assert all(not is_open(incident) for incident in self.book.by_key.values())

    @rule(why=st.sampled_from(["", "silence A", "inhibited by B"]))
    def a_mute_begins_or_ends(self, why: str) -> None:
        self.mute.why = why
        self.take(self.book.look_again(KEY, self.now))

    @rule(by=st.integers(0, 700_000))
    def time_passes(self, by: int) -> None:
        self.now += by
        self.take(self.book.tick(self.now))
        for incident in self.book.by_key.values():
            due = due_ms(incident, self.book.policy)
            assert due is None or due > self.now, "nothing that is due is left"

    @rule(by=st.sampled_from([-3_600_000, 3_600_000]))
    def the_clock_is_set(self, by: int) -> None:
        policy = self.book.policy
        before = {key: due_ms(incident, policy) for key, incident in self.book.by_key.items()}
        self.now += by
        self.take(self.book.clock_was_set(by))
        after = {key: due_ms(incident, policy) for key, incident in self.book.by_key.items()}
        assert after == {key: None if at is None else at + by for key, at in before.items()}

    @rule()
    def the_manager_restarts(self) -> None:
        kept = dict(self.book.by_key)
        self.book = book_with(self.mute, STEPS_MS)
        for value in self.topic.values():
            self.book.put(msgspec.json.decode(value, type=Incident))
        assert self.book.by_key == kept

    @invariant()
    def a_mute_is_obeyed(self) -> None:
        for incident in self.book.by_key.values():
            if incident.state is IncidentState.SILENCED:
                assert incident.muted_by == self.mute.why != ""
            if incident.state is IncidentState.FIRING:
                assert self.mute.why == ""
                assert was_told(incident)


Life.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestLife = Life.TestCase
