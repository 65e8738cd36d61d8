"""Anything in any order: an incident is silent exactly when something mutes it, by a definition that looks at all."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streaming.alerting.messages import Action, Incident, IncidentState, Order, Severity
from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.ruleset import RuleSet
from tests.support.alert_office import ALERTING, Office

SECOND = 1000
RULE_IDS = ("a", "b", "c")
SERVICES = ("web", "api", "db", "x", "y")

COMMON = """
rules:
  - {id: a, kind: match, severity: error, title: t, where: {levels: [ERROR]}}
  - {id: b, kind: match, severity: error, title: t, where: {levels: [ERROR]}}
  - {id: c, kind: node-health, severity: error, title: t}
"""
MUTING = """
maintenance:
  - name: nightly
    reason: r
    where: {service.name: {equals: api}, rule: {not_equals: a}}
    weekly: [{from: "00:02", to: "00:04"}]
inhibitions:
  - name: by-service
    source: {where: {rule: {equals: [a, c]}}}
    target: {where: {rule: {equals: [a, b]}}}
    equal: [service.name]
  - name: by-kind
    source: {where: {kind: {equals: node-health}, severity: {equals: critical}}}
    target: {where: {severity: {equals: warning}}}
dependencies:
  - {service: web, needs: [api]}
  - {service: api, needs: [db]}
  - {service: x, needs: [y]}
  - {service: y, needs: [x, db]}
"""
CONDITIONS = (
    (("service.name", "=", "web"),),
    (("rule", "=~", "a|c"), ("service.name", "!=", "db")),
    (("severity", "=~", "error"),),
    (("kind", "=", "node-health"), ("service.name", "!~", "^[xy]$")),
    (("incident", "=", "b|service.name=api"),),
)


def rule_set(text: str) -> RuleSet:
    return load_texts([(Path("x"), text)])


WITH, WITHOUT = rule_set(COMMON + MUTING), rule_set(COMMON)
OPEN = (IncidentState.FIRING, IncidentState.SILENCED, IncidentState.ACKNOWLEDGED)
NEEDS = {"web": {"api", "db"}, "api": {"db"}, "x": {"db"}, "y": {"db"}}


class Muting(RuleBasedStateMachine):
    """Incidents, silences, rules, time and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.office = Office(WITH)
        self.silences: dict[str, tuple[tuple[tuple[str, str, str], ...], int, int]] = {}
        self.fired: set[str] = set()
        """Ids of those that fired before the last step."""
        self.knew: set[str] = set()
        """Of those whose opening somebody was told."""

    @initialize()
    def begins(self) -> None:
        self.office.tick()

    @rule(
        which=st.sampled_from(RULE_IDS),
        service=st.sampled_from(SERVICES),
        severity=st.sampled_from([Severity.WARNING, Severity.ERROR, Severity.CRITICAL]),
        for_s=st.sampled_from([0, 0, 30]),
        quiet_s=st.sampled_from([None, 90]),
    )
    def a_rule_fires(self, which: str, service: str, severity: Severity, for_s: int, quiet_s: int | None) -> None:
        self.office.candidate(which, service, severity=severity, for_s=for_s, quiet_s=quiet_s)
        self.said()

    @rule(
        order=st.sampled_from([Order.ACKNOWLEDGE, Order.UNACKNOWLEDGE, Order.RESOLVE, Order.ANNOTATE]),
        which=st.sampled_from(RULE_IDS),
        service=st.sampled_from(SERVICES),
    )
    def a_person_orders(self, order: Order, which: str, service: str) -> None:
        key = f"{which}|service.name={service}"
        if key in self.office.desk.book.by_key:
            self.office.order(order, self.office.desk.book.by_key[key])
            self.said()

    @rule(
        number=st.integers(0, 3),
        conditions=st.sampled_from(CONDITIONS),
        starts=st.sampled_from([0, 20, 60]),
        length=st.sampled_from([10, 60, 300]),
    )
    def a_person_silences(
        self, number: int, conditions: tuple[tuple[str, str, str], ...], starts: int, length: int
    ) -> None:
        name, begins = f"S{number}", self.office.now + starts * SECOND
        ends = begins + length * SECOND
        outcome = self.office.silence(name, ["".join(one) for one in conditions], begins, ends)
        over = name in self.silences and self.silences[name][2] <= self.office.now
        assert (outcome == "done") is not over, outcome
        if not over:
            self.silences[name] = conditions, begins, ends
        self.said()

    @rule(number=st.integers(0, 3))
    def a_person_ends_a_silence(self, number: int) -> None:
        name = f"S{number}"
        outcome = self.office.unsilence(name)
        conditions, begins, ends = self.silences.get(name, ((), 0, 0))
        assert (outcome == "done") is (ends > self.office.now), outcome
        if outcome == "done":
            self.silences[name] = conditions, min(begins, self.office.now), self.office.now
        self.said()

    @rule(passes=st.sampled_from([1, 10_000, 20_000, 30_000, 60_000, 119_999]))
    def time_passes(self, passes: int) -> None:
        self.office.tick(self.office.now + passes)
        self.said(time_passed=True)

    @rule(mutes=st.booleans())
    def rules_change(self, mutes: bool) -> None:
        self.office.take_rules(WITH if mutes else WITHOUT)
        self.said()

    @rule(passes=st.sampled_from([0, 60_000]), mutes=st.booleans())
    def the_manager_is_killed(self, passes: int, mutes: bool) -> None:
        self.office.now += passes
        self.office.restart(WITH if mutes else WITHOUT)
        self.said(time_passed=True)

    def said(self, *, time_passed: bool = False) -> None:
        """What was told since the last step fits how things are."""
        alerts = Counter(told.incident.incident_id for told in self.office.told if told.action in ALERTING)
        resolved = [told.incident.incident_id for told in self.office.told if told.action is Action.RESOLVE]
        self.knew |= set(alerts)
        assert set(resolved) <= self.knew, "nobody knew of it"
        incidents = self.office.desk.book.by_key.values()
        firing = {one.incident_id for one in incidents if one.state is IncidentState.FIRING}
        for one in incidents:
            number = alerts[one.incident_id]
            if self.is_muted(one):
                # Where time passed, one mute may have ended before another began: it was told, and is silent again.
                last = [told.action for told in self.office.told if told.incident.incident_id == one.incident_id][-1:]
                assert number == 0 or (time_passed and last == [Action.UPDATE]), "told while it is muted"
            elif one.incident_id in firing - self.fired and one.acknowledged_by is None:
                assert number <= 1, "told more than once"
                assert number == 1 or one.incident_id in self.knew
        self.fired = firing

    @invariant()
    def silent_is_what_is_muted(self) -> None:
        for one in self.office.desk.book.by_key.values():
            if one.state not in OPEN:
                continue
            assert bool(one.muted_by) == self.is_muted(one), one
            if one.state is not IncidentState.ACKNOWLEDGED:
                assert (one.state is IncidentState.SILENCED) == self.is_muted(one), one

    def is_muted(self, one: Incident) -> bool:
        """By a look at all there is."""
        now = self.office.now
        if any(begins <= now < ends and _fits(one, conditions) for conditions, begins, ends in self.silences.values()):
            return True
        if self.office.rules is WITHOUT:
            return False
        minute = now // 60_000 % 1440
        if _service(one) == "api" and one.rule_id != "a" and 2 <= minute < 4:
            return True
        others = [other for other in self.office.desk.book.by_key.values() if other is not one and other.state in OPEN]
        return any(_inhibits(other, one) or _breaks(other, one) for other in others)


def _service(one: Incident) -> str:
    return one.group["service.name"]


def _inhibits(source: Incident, target: Incident) -> bool:
    by_service = (
        source.rule_id in ("a", "c")
        and target.rule_id in ("a", "b")
        and _service(source) == _service(target)
        and not (source.rule_id == "a" and target.rule_id == "a")
    )
    return by_service or (
        source.rule_id == "c" and source.severity is Severity.CRITICAL and target.severity is Severity.WARNING
    )


def _breaks(source: Incident, target: Incident) -> bool:
    broken = source.severity in (Severity.ERROR, Severity.CRITICAL)
    return broken and _service(source) in NEEDS.get(_service(target), ())


def _fits(one: Incident, conditions: tuple[tuple[str, str, str], ...]) -> bool:
    values = {
        "rule": one.rule_id,
        "service.name": _service(one),
        "severity": one.severity.value,
        "kind": "node-health" if one.rule_id == "c" else "match",
        "incident": one.incident_key,
    }
    return all(_holds(op, values[name], value) for name, op, value in conditions)


def _holds(op: str, found: str, value: str) -> bool:
    equal = re.search(value, found) is not None if "~" in op else found == value
    return equal is not op.startswith("!")


Muting.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestMuting = Muting.TestCase
