"""Flapping rules: what is counted, when it flaps, when it is calm, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streaming.alerting.desk import Desk
from streaming.alerting.incidents.decision import Kept, Outcome
from streaming.alerting.messages import (
    Action,
    Candidate,
    Incident,
    IncidentState,
    Recovery,
    Severity,
    incident_key,
)
from streaming.alerting.relations import flapping
from streaming.alerting.relations.flapping import Flapping
from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.ruleset import RuleSet
from streaming.errors import ConfigError
from tests.support.incidents import plain_incident, plain_sample

MATCH = "kind: match, severity: error, title: t, where: {levels: [ERROR]}"


def rule_set(*rules: str) -> RuleSet:
    given = (f"id: a, {MATCH}", f"id: b, {MATCH}", *rules)
    return load_texts([(Path("x.yaml"), "rules:" + "".join(f"\n  - {{{one}}}" for one in given))])


def flap(more: str = "", *, id_: str = "flap", changes: int = 3, window: str = "60s") -> str:
    title = "'{{ rule }} of {{ service.name }} {{ changes }}x: {{ message }}'"
    more = f", {more}" if more else ""
    return f"id: {id_}, kind: flapping, severity: warning, title: {title}, changes: {changes}, window: {window}{more}"


def incident(rule_id: str = "a", service: str = "x", state: IncidentState = IncidentState.FIRING) -> Incident:
    group = {"service.name": service}
    return plain_incident(
        incident_id=f"{rule_id}{service}",
        incident_key=incident_key(rule_id, group),
        rule_id=rule_id,
        group=group,
        title="the title",
        state=state,
        sample=plain_sample(service=service, message="the line"),
    )


class Follower:
    """Flapping rules with the records that they kept, and what they found."""

    def __init__(self, rules: RuleSet) -> None:
        self.records: dict[bytes, bytes] = {}
        self.flapping = Flapping(rules)

    def take(self, outcome: Outcome) -> list[Candidate | Recovery]:
        for kept in outcome.kept:
            self._keep(kept)
        return list(outcome.findings)

    def _keep(self, kept: Kept) -> None:
        if kept.value is None:
            self.records.pop(kept.key)
        else:
            self.records[kept.key] = msgspec.json.encode(kept.value)

    def opens(self, at_ms: int, rule_id: str = "a", service: str = "x") -> list[Candidate | Recovery]:
        resolved = incident(rule_id, service, IncidentState.RESOLVED)
        return self.take(self.flapping.changed(resolved, incident(rule_id, service), at_ms))

    def tick(self, at_ms: int) -> list[Candidate | Recovery]:
        return self.take(self.flapping.tick(at_ms))

    def restart(self, rules: RuleSet) -> None:
        self.flapping = Flapping(rules)
        self.flapping.restore(self.records)


def test_it_fires_at_so_many_openings_within_the_window_and_names_what_flaps() -> None:
    followed = Follower(rule_set(flap("labels: {team: t}")))
    assert followed.opens(0) == []
    assert followed.opens(50_000) == []
    assert followed.opens(60_000) == [], "the first has left the window"
    (found,) = followed.opens(70_000)
    assert isinstance(found, Candidate)
    assert found.group == {"rule": "a", "service.name": "x"}
    assert found.labels == {"team": "t", "flapping": "a|service.name=x"}
    assert found.title == "a of x 3x: the title"
    assert (found.count, found.first_ms, found.last_ms) == (3, 50_000, 70_000)
    (more,) = followed.opens(71_000)
    assert isinstance(more, Candidate)
    assert more.count == 1, "each opening is counted once"


def test_what_does_not_open_does_not_count() -> None:
    followed = Follower(rule_set(flap(changes=2)))
    firing, silenced = incident(), incident(state=IncidentState.SILENCED)
    pending, resolved = incident(state=IncidentState.PENDING), incident(state=IncidentState.RESOLVED)
    for before, after in ((firing, silenced), (firing, resolved), (resolved, None), (None, pending), (pending, None)):
        assert followed.take(followed.flapping.changed(before, after, 1)) == []
    assert followed.records == {}
    assert followed.take(followed.flapping.changed(pending, silenced, 2)) == []
    assert len(followed.take(followed.flapping.changed(None, silenced, 3))) == 1, "one that is muted counts on"


def test_it_is_calm_when_fewer_than_half_are_left() -> None:
    followed = Follower(rule_set(flap(changes=4)))
    for at in (0, 10_000, 20_000, 30_000):
        found = followed.opens(at)
    assert len(found) == 1
    assert followed.tick(79_999) == []
    (calm,) = followed.tick(80_000)
    assert isinstance(calm, Recovery)
    assert calm.incident_key == incident_key("flap", {"rule": "a", "service.name": "x"})
    assert calm.reason == "1 opening in the last 60 s, fewer than half of 4"
    assert len(followed.records) == 1, "what is left in the window still counts"
    assert followed.tick(89_999) == []
    assert len(followed.records) == 1
    assert followed.tick(90_000) == []
    assert followed.records == {}
    assert followed.flapping.next_due_ms() is None


def test_incidents_are_counted_apart() -> None:
    followed = Follower(rule_set(flap(changes=2)))
    assert [len(followed.opens(1, rule, service)) for rule in "ab" for service in "xy"] == [0, 0, 0, 0]
    assert [len(followed.opens(2, rule, service)) for rule in "ab" for service in "xy"] == [1, 1, 1, 1]


def test_it_watches_the_rules_it_names_and_never_its_own_kind() -> None:
    followed = Follower(rule_set(flap("rules: [b]", changes=2), flap(id_="all", changes=2)))
    followed.opens(1, "a")
    assert [found.rule_id for found in followed.opens(2, "a")] == ["all"]
    followed.opens(3, "b")
    assert [found.rule_id for found in followed.opens(4, "b")] == ["flap", "all"]
    for at in (5, 6):
        assert followed.opens(at, "flap") == followed.opens(at, "all") == []
    assert followed.opens(7, "vigil-rules") == []
    assert len(followed.opens(8, "vigil-rules")) == 1, "also one that is in no file"


def test_a_flapping_rule_that_names_one_of_its_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml:5: rules\[3\]\.rules\[1\]: 'flap' is of kind flapping, too"):
        rule_set(flap(), flap("rules: [a, flap]", id_="other"))


def test_outside_its_times_it_counts_and_fires_within_them_at_the_next_opening() -> None:
    followed = Follower(rule_set(flap("active: [{from: '00:01', to: '02:00'}]", changes=2)))
    assert followed.opens(1_000) == followed.opens(2_000) == []
    (found,) = followed.opens(60_000)
    assert isinstance(found, Candidate)
    assert found.count == 2


def test_a_restart_goes_on_where_it_was() -> None:
    rules = rule_set(flap(changes=2))
    followed = Follower(rules)
    followed.opens(1_000)
    followed.restart(rules)
    assert len(followed.opens(2_000)) == 1
    followed.restart(rules)
    assert followed.flapping.next_due_ms() == 62_000
    assert [type(found) for found in followed.tick(62_000)] == [Recovery]
    assert followed.records == {}


def test_what_belongs_to_others_or_cannot_be_read_is_left_alone() -> None:
    rules = rule_set(flap(changes=2))
    followed = Follower(rules)
    followed.records = {b"a|x": b'{"kind":"window"}', b"gone|x": b"[1]", b"flap|x": b"\xff", b"\xff": b"{}"}
    followed.restart(rules)
    assert followed.flapping.next_due_ms() is None
    assert len(followed.records) == 4


def test_what_a_rule_counted_that_is_gone_is_given_up() -> None:
    both, one = rule_set(flap(changes=2), flap("rules: [b]", id_="other")), rule_set(flap(changes=2))
    followed = Follower(both)
    for rule_id in "ab":
        followed.opens(1, rule_id)
        followed.opens(2, rule_id)
    assert len(followed.records) == 3
    kept = dict(followed.records)
    assert followed.take(followed.flapping.take_rules(one, 3)) == [], "the other had not fired"
    assert len(followed.records) == 2
    over = followed.take(followed.flapping.take_rules(rule_set(flap("rules: [a]", changes=2)), 4))
    assert [found.group["rule"] for found in over] == ["b"]
    over = followed.take(followed.flapping.take_rules(rule_set(), 5))
    assert [found.group["rule"] for found in over] == ["a"]
    assert followed.records == {}
    followed.records = kept
    followed.restart(rule_set())
    assert followed.flapping.next_due_ms() == 0
    assert sorted(found.group["rule"] for found in followed.tick(6)) == ["a", "b"]
    assert followed.records == {}


def test_a_clock_that_is_set_makes_nothing_calm_and_nothing_flap() -> None:
    followed = Follower(rule_set(flap(changes=2)))
    followed.opens(1_000)
    followed.opens(2_000)
    hour = 3_600_000
    assert followed.take(followed.flapping.clock_was_set(hour)) == []
    assert followed.tick(hour + 10_000) == []
    assert followed.flapping.next_due_ms() == hour + 62_000
    followed.restart(rule_set(flap(changes=2)))
    assert followed.flapping.next_due_ms() == hour + 62_000, "what is kept was moved, too"


def test_the_number_followed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flapping, "MOST_FOLLOWED", 3)
    followed = Follower(rule_set(flap(changes=2)))
    followed.opens(1, service="old")
    assert len(followed.opens(2, service="old")) == 1
    for number in range(2):
        assert followed.opens(3 + number, service=str(number)) == []
    (over,) = followed.opens(5, service="new")
    assert isinstance(over, Recovery)
    assert (over.group["service.name"], over.reason) == ("old", "too many incidents to follow")
    assert len(followed.records) == 3
    for number in range(10):
        followed.opens(10 + number, service=f"s{number}")
    assert len(followed.records) == 3
    assert followed.tick(10**9) == []
    assert followed.records == {}


# --------------------------------------------------------------------------------- against the definition

CHANGES, WINDOW_MS = 4, 10_000


class FlappingMachine(RuleBasedStateMachine):
    """Openings, time and restarts, against what the definition says of all openings that ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.in_force = rule_set(flap(changes=CHANGES, window="10s"))
        self.followed, self.now_ms = Follower(self.in_force), 0
        self.openings: dict[str, list[int]] = {"x": [], "y": []}
        self.flaps = dict.fromkeys(self.openings, False)
        self.expected = dict.fromkeys(self.openings, False)

    def _found(self, findings: list[Candidate | Recovery]) -> None:
        for found in findings:
            self.flaps[found.group["service.name"]] = isinstance(found, Candidate)

    def _within(self, service: str) -> int:
        return sum(at > self.now_ms - WINDOW_MS for at in self.openings[service])

    @rule(service=st.sampled_from("xy"))
    def opens(self, service: str) -> None:
        self.openings[service].append(self.now_ms)
        self._found(self.followed.opens(self.now_ms, service=service))
        if self._within(service) >= CHANGES:
            self.expected[service] = True

    @rule(by_ms=st.integers(1, 6_000))
    def wait(self, by_ms: int) -> None:
        until = self.now_ms + by_ms
        while (due := self.followed.flapping.next_due_ms()) is not None and due <= until:
            self.now_ms = max(self.now_ms, due)
            self._found(self.followed.tick(self.now_ms))
            self._calm_down()
        self.now_ms = until
        self._calm_down()

    def _calm_down(self) -> None:
        for service in self.openings:
            if self._within(service) * 2 < CHANGES:
                self.expected[service] = False

    @rule()
    def restart(self) -> None:
        self.followed.restart(self.in_force)

    @invariant()
    def agrees(self) -> None:
        assert self.flaps == self.expected


FlappingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestFlappingMachine = FlappingMachine.TestCase


# ----------------------------------------------------------------------------------------- with all parts


def test_one_message_takes_the_place_of_many_until_it_is_calm() -> None:
    desk = Desk(rule_set(flap(changes=3)))
    fires = Candidate(
        rule_id="a",
        group={"service.name": "x"},
        severity=Severity.ERROR,
        title="the title",
        count=1,
        first_ms=0,
        last_ms=0,
        received_ms=0,
        sample=incident().sample,
    )
    over = Recovery(rule_id="a", group=fires.group, received_ms=0, reason="over")
    told: list[tuple[str, Action]] = []
    for at in range(0, 50_000, 5_000):
        for given in (fires, over) if at < 45_000 else (fires,):
            told += [(n.incident.rule_id, n.action) for n in desk.take(given, at).notifications]
    flapped = told.index(("flap", Action.OPEN))
    assert [rule_id for rule_id, _ in told[:flapped]] == ["a"] * flapped
    assert Action.REOPEN not in [action for rule_id, action in told[flapped:] if rule_id == "a"]
    watched = desk.book.by_key[fires.incident_key]
    assert watched.state is IncidentState.SILENCED
    calm_at = 45_000 + 60_000
    while (due := desk.next_due_ms()) is not None and due <= calm_at:
        told += [(n.incident.rule_id, n.action) for n in desk.tick(due).notifications]
    assert ("flap", Action.RESOLVE) in told
    assert desk.book.by_key[fires.incident_key].state is IncidentState.FIRING, "it goes on, and is told again"
