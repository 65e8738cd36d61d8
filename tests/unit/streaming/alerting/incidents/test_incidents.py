"""The life of an incident, with a simulated clock."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streaming.alerting.incidents.book import STALE_KEPT, Book
from streaming.alerting.incidents.decision import Decision, joined
from streaming.alerting.incidents.lifecycle import Policy, due_ms, is_open
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
)
from streaming.events.model import Level

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
        elif action is Action.ANNOTATE:
            assert before is not None, "a note of what nobody knows"
            return
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

    @rule(group=GROUPS, note_id=st.sampled_from(["", "context"]))
    def a_note(self, group: str, note_id: str) -> None:
        key = candidate(group).incident_key
        before = self.book.by_key.get(key)
        command = Command(
            order=Order.ANNOTATE, author="x", at_ms=self.now, incident_key=key, note="look", note_id=note_id
        )
        decision = self.book.command(command, self.now)
        self.take(decision)
        if before is None or (note_id and note_id in before.notes):
            assert decision == Decision()
            return
        after = self.book.by_key[key]
        assert after.notes[:-1] == before.notes
        assert [event.happening for event in decision.events] == [Happening.ANNOTATED]
        unchanged = {"version": 0, "updated_ms": 0, "notified_version": 0, "notes": ()}
        assert msgspec.structs.replace(after, **unchanged) == msgspec.structs.replace(before, **unchanged)
        assert due_ms(after, self.book.policy) == due_ms(before, self.book.policy), "nothing is told sooner or later"

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


def capped(group: str, at: int) -> Candidate:
    return msgspec.structs.replace(candidate(group, at=at), max_groups=2)


def test_groups_beyond_the_most_that_a_rule_may_have_share_one_incident() -> None:
    book = Book()
    for at, group in enumerate("abcdca"):
        book.candidate(capped(group, at), at)
    found = {i.incident_key: i.count for i in book.by_key.values()}
    assert found == {"r|service.name=a": 2, "r|service.name=b": 1, "r|other=groups": 3}
    other = book.by_key["r|other=groups"]
    assert other.title == "More than 2 groups; one of them: c broke"
    assert other.sample.service == "c"


def test_a_hundred_thousand_groups_of_a_rule_are_one_message_more_than_it_may_have() -> None:
    book = Book()
    told = [n for at in range(100_000) for n in book.candidate(capped(str(at), at), at).notifications]
    assert [n.action for n in told].count(Action.OPEN) == 3
    assert len(book.by_key) == 3
    assert book.by_key["r|other=groups"].count == 99_998


def test_a_group_has_its_own_incident_again_when_others_are_forgotten() -> None:
    book = Book()
    for group in "abc":
        book.candidate(capped(group, 0), 0)
    resolved_ms = round(QUIET_S * 1000)
    book.tick(resolved_ms)
    book.tick(resolved_ms + POLICY.reopen_within_ms + 1)
    assert not book.by_key
    opened = book.candidate(capped("c", 1), resolved_ms + POLICY.reopen_within_ms + 2)
    assert [i.incident_key for i in opened.changed] == ["r|service.name=c"]


def test_a_restored_book_knows_how_many_groups_there_are() -> None:
    book, again = Book(), Book()
    for group in "ab":
        book.candidate(capped(group, 0), 0)
    for incident in book.by_key.values():
        again.put(incident)
    (shared,) = again.candidate(capped("c", 1), 1).changed
    assert shared.incident_key == "r|other=groups"


def test_a_standby_that_follows_for_long_keeps_nothing_of_what_is_forgotten() -> None:
    """It never looks at what is due."""
    book = Book()
    for number in range(5_000):
        book.candidate(candidate(f"g{number}"), number)
        (incident,) = book.by_key.values()
        book.drop(incident.incident_id)
    assert len(book.due) <= STALE_KEPT + 1
    assert (book.scheduled, dict(book.groups)) == ({}, {})
    book.candidate(candidate("last"), 9_000)
    assert book.next_due_ms() is not None
    assert Action.RESOLVE in actions(book.tick(10**9))
