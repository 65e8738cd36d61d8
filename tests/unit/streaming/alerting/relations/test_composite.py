"""Composite rules: against evaluating their expressions from scratch, and what people are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.desk import Desk
from streaming.alerting.incidents.decision import Decision
from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.messages import (
    Action,
    Candidate,
    Command,
    Incident,
    IncidentState,
    Order,
    Recovery,
    Sample,
    Severity,
    incident_key,
)
from streaming.alerting.relations import composite
from streaming.alerting.relations.relations import Relations
from streaming.alerting.relations.standing import is_standing
from streaming.alerting.rules.composite import CompositeRule
from streaming.alerting.rules.incident_conditions import attribute
from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.model import Level

PARTS = """
  - {id: a, kind: match, severity: error, title: t, where: {levels: [ERROR]}}
  - {id: b, kind: match, severity: error, title: t, where: {levels: [ERROR]}}
  - {id: c, kind: match, severity: error, title: t, where: {levels: [ERROR]}}
"""


def rule_set(*composites: str) -> RuleSet:
    lines = "".join(f"\n  - {{kind: composite, severity: critical, {one}}}" for one in composites)
    return load_texts([(Path("x.yaml"), f"rules:{PARTS}{lines}\n")])


def fires(rule: str, service: str = "", *, node: str = "", for_s: float = 0.0, at: int = 0) -> Candidate:
    """A match of a rule grouped by the fields that are given; the sample is of service `sampled`, node `n`."""
    named = {"service.name": service, "service.node.name": node}
    return Candidate(
        rule_id=rule,
        group={name: value for name, value in named.items() if value},
        severity=Severity.ERROR,
        title=f"{rule} of {service or 'all'}",
        count=1,
        first_ms=at,
        last_ms=at,
        received_ms=at,
        sample=Sample(timestamp_ms=at, level=Level.ERROR, message="the line", service="sampled", node_id="n"),
        for_s=for_s,
    )


def over(candidate: Candidate) -> Recovery:
    return Recovery(rule_id=candidate.rule_id, group=candidate.group, received_ms=0, reason="it is over")


def told(decision: Decision, rule: str) -> list[Action]:
    return [n.action for n in decision.notifications if n.incident.rule_id == rule]


def restored(rules: RuleSet, incidents: Iterable[Incident]) -> Desk:
    """A desk as a manager makes it that takes over."""
    desk = Desk(rules)
    desk.restore(msgspec.json.decode(msgspec.json.encode(list(incidents)), type=list[Incident]), {}, {})
    return desk


# --------------------------------------------------------------------------------- against the definition

RULE_SETS = (
    rule_set(
        "id: all, title: t, all_of: [a, b], same: [service.name]",
        "id: any, title: t, any_of: [a, b], none_of: [c], same: [service.name, service.node.name]",
        "id: late, title: t, for: 5s, all_of: [a], any_of: [b, c]",
        "id: outer, title: t, any_of: [all, late], none_of: [any], same: [service.name]",
    ),
    rule_set(
        "id: all, title: t, all_of: [a, b, c], same: [service.name]",
        "id: any, title: t, any_of: [a, c], same: [service.name]",
        "id: outer, title: t, all_of: [all, any]",
    ),
    rule_set("id: late, title: t, for: 2s, all_of: [c], none_of: [b]"),
)

CANDIDATES = st.builds(
    fires,
    st.sampled_from("abc"),
    st.sampled_from(["", "x", "y"]),
    node=st.sampled_from(["", "n1"]),
    for_s=st.sampled_from([0.0, 0.0, 3.0]),
)

STEPS = st.one_of(
    CANDIDATES,
    CANDIDATES.map(over),
    st.tuples(st.just("wait"), st.integers(0, 6_000)),
    st.tuples(st.just("wait"), st.just(700_000)),
    st.tuples(st.just("rules"), st.integers(0, len(RULE_SETS) - 1)),
    st.tuples(st.just("restart"), st.integers(0, len(RULE_SETS) - 1)),
)


def expected(desk: Desk) -> set[str]:
    """Keys of the composite incidents that must be open, by evaluating every rule over every incident."""
    standing = [incident for incident in desk.book.by_key.values() if is_standing(incident)]
    found = set[str]()
    for rule in desk.rules.rules:
        if not isinstance(rule, CompositeRule):
            continue
        for values in {tuple(attribute(one, name) for name in rule.same) for one in standing}:
            agreeing = [one for one in standing if tuple(attribute(one, name) for name in rule.same) == values]
            there = {one.rule_id for one in agreeing}
            if (
                there.issuperset(rule.all_of)
                and (not rule.any_of or there & {*rule.any_of})
                and not (there & {*rule.none_of})
            ):
                group = {name: value for name, value in zip(rule.same, values, strict=True) if value}
                found.add(incident_key(rule.id, group))
    return found


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=150, deadline=None)
def test_what_is_open_is_what_the_expressions_say(steps: list[Candidate | Recovery | tuple[str, int]]) -> None:
    desk, now_ms = Desk(RULE_SETS[0]), 1_000
    for step in steps:
        now_ms += 1
        match step:
            case ("wait", by_ms):
                now_ms += by_ms
                while (due := desk.next_due_ms()) is not None and due <= now_ms:
                    desk.tick(now_ms)
            case ("rules", which):
                desk.take_rules(RULE_SETS[which], now_ms)
            case ("restart", which):
                desk = restored(RULE_SETS[which], desk.book.by_key.values())
                desk.tick(now_ms)
            case Candidate() | Recovery():
                desk.take(step, now_ms)
        composites = [one for one in desk.book.by_key.values() if one.rule_kind == "composite"]
        assert {one.incident_key for one in composites if is_open(one)} == expected(desk)


# ---------------------------------------------------------------------------------------- single moments


def test_it_fires_for_what_agrees_and_resolves_when_one_is_over() -> None:
    desk = Desk(rule_set("id: both, title: '{{ service.name }}: {{ message }}', all_of: [a, b], same: [service.name]"))
    assert told(desk.take(fires("a", "x"), 1), "both") == []
    assert told(desk.take(fires("b", "y"), 2), "both") == []
    opened = desk.take(fires("b", "x"), 3)
    assert told(opened, "both") == [Action.OPEN]
    incident = desk.book.by_key[incident_key("both", {"service.name": "x"})]
    assert incident.title == "x: a: a of x; b: b of x"
    assert incident.text == "a: a of x\nb: b of x", "without a text of its own it lists what it is made of"
    assert incident.sample.message == "the line"
    assert told(desk.take(over(fires("a", "x")), 4), "both") == [Action.RESOLVE]
    assert "no incident of a is open any more" in desk.book.by_key[incident.incident_key].reason
    assert told(desk.take(fires("a", "x"), 5), "both") == [Action.REOPEN]


def test_a_field_outside_the_group_is_read_from_the_sample_as_it_was_at_the_beginning() -> None:
    desk = Desk(rule_set("id: both, title: t, all_of: [a, b], same: [service.name]"))
    desk.take(fires("a"), 1)
    desk.take(fires("b", "sampled"), 2)
    assert desk.book.by_key[incident_key("both", {"service.name": "sampled"})].state is IncidentState.FIRING
    other = fires("a")
    other.sample.service = "other"
    desk.take(other, 3)
    assert told(desk.take(over(fires("a")), 4), "both") == [Action.RESOLVE]


def test_what_is_pending_does_not_count_and_what_is_acknowledged_does() -> None:
    desk = Desk(rule_set("id: any, title: t, any_of: [a]"))
    assert told(desk.take(fires("a", "x", for_s=10), 0), "any") == []
    assert told(desk.tick(10_000), "any") == [Action.OPEN]
    order = Command(order=Order.ACKNOWLEDGE, author="ann", at_ms=0, incident_key=fires("a", "x").incident_key)
    assert told(desk.take(order, 11_000), "any") == []
    assert desk.book.by_key["any"].state is IncidentState.FIRING


def test_a_moments_race_of_none_of_is_covered_by_for() -> None:
    """The cause is found a moment after its effect: with `for`, nobody is told of the effect alone."""
    desk = Desk(rule_set("id: alone, title: t, for: 10s, all_of: [a], none_of: [c]"))
    desk.take(fires("a", "x"), 0)
    assert desk.book.by_key["alone"].state is IncidentState.PENDING
    desk.take(fires("c", "x"), 500)
    assert "alone" not in desk.book.by_key
    assert told(desk.tick(10_000), "alone") == []
    desk.take(over(fires("c", "x")), 20_000)
    assert told(desk.tick(30_000), "alone") == [Action.OPEN]


def test_what_was_resolved_by_hand_stays_so_until_it_begins_anew() -> None:
    rules = rule_set("id: any, title: t, any_of: [a]")
    desk = Desk(rules)
    desk.take(fires("a", "x"), 0)
    desk.take(Command(order=Order.RESOLVE, author="ann", at_ms=0, incident_key="any"), 1)
    assert told(desk.take(fires("a", "y"), 2), "any") == []
    desk = restored(rules, desk.book.by_key.values())
    assert told(desk.tick(3), "any") == [], "a restart is no beginning"
    desk.take(over(fires("a", "x")), 4)
    desk.take(over(fires("a", "y")), 5)
    assert told(desk.take(fires("a", "y"), 6), "any") == [Action.REOPEN]


def test_outside_its_times_it_does_not_begin() -> None:
    desk = Desk(rule_set("id: any, title: t, any_of: [a], active: [{from: '01:00', to: '02:00'}]"))
    hour = 3_600_000
    assert told(desk.take(fires("a", "x"), 5), "any") == []
    desk.tick(10)
    assert desk.next_due_ms() == 60_000
    assert told(desk.tick(hour - 1), "any") == []
    assert told(desk.tick(hour), "any") == [Action.OPEN]
    assert told(desk.tick(2 * hour), "any") == [], "one that is open stays open"
    assert told(desk.take(over(fires("a", "x")), 2 * hour + 1), "any") == [Action.RESOLVE]


def test_rules_that_change_or_go_end_what_they_hold_no_longer() -> None:
    desk = Desk(rule_set("id: any, title: t, any_of: [a]", "id: each, title: t, any_of: [a], same: [service.name]"))
    desk.take(fires("a", "x"), 0)
    same = desk.take_rules(rule_set("id: any, title: other, any_of: [a]"), 1)
    assert told(same, "any") == [], "another title is no news"
    assert told(same, "each") == [Action.RESOLVE]
    assert desk.book.by_key[incident_key("each", {"service.name": "x"})].reason == (
        "no longer holds: its rule is no longer in force"
    )
    assert told(desk.take_rules(rule_set("id: any, title: t, all_of: [a, b]"), 2), "any") == [Action.RESOLVE]
    assert told(desk.take_rules(rule_set("id: any, title: t, any_of: [a]"), 3), "any") == [Action.REOPEN]
    assert told(desk.take_rules(rule_set("id: any, title: t, any_of: [a], enabled: false"), 4), "any") == [
        Action.RESOLVE
    ]


class _Alone(dict[str, Incident]):
    """The book's incidents, for one who may look up some but not go through them all."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("goes through all incidents")

    items = values = keys = __iter__  # type: ignore[assignment]


def test_a_flood_of_incidents_is_not_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each incident is looked at once for each composite that names its rule, however many there are."""
    looks = list[str]()
    holds = composite._Composite.holds

    def counted(one: composite._Composite, values: composite.Values) -> bool:
        looks.append(one.rule.id)
        return holds(one, values)

    monkeypatch.setattr(composite._Composite, "holds", counted)
    desk = Desk(rule_set("id: any, title: t, any_of: [a], none_of: [c]", "id: both, title: t, all_of: [a, b]"))
    incidents = _Alone()
    relations = Relations(desk.rules, desk.book.by_key)
    relations._composites._incidents = incidents
    number = 2_000
    for one in range(number):
        candidate = fires("a", str(one))
        (incident,) = desk.book.candidate(candidate, 1).changed
        incidents[incident.incident_key] = incident
        outcome = relations.changed(None, incident, 1)
        assert len(outcome.findings) == (one == 0)
    assert looks == ["any", "both"] * number
    (incident,) = desk.book.candidate(fires("c"), 2).changed
    assert [type(found) for found in relations.changed(None, incident, 2).findings] == [Recovery]
