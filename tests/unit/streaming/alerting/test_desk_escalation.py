"""Escalation and repeats through the desk: when, to whom, and what stops or changes them."""

from __future__ import annotations

from itertools import chain

import msgspec
import pytest

from streaming.alerting.desk import Desk
from streaming.alerting.incidents.decision import Decision
from streaming.alerting.messages import Action, Candidate, Command, Incident, Order, Sample, Severity
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.model import Level

S, MIN = 1000, 60_000
T0 = 1_772_438_400_000

OPEN, UPDATE, ESCALATE, REPEAT = Action.OPEN, Action.UPDATE, Action.ESCALATE, Action.REPEAT


def rules(*steps: tuple[str, str]) -> RuleSet:
    return RuleSet.model_validate(
        {
            "rules": [{"id": "r", "kind": "match", "where": {"levels": ["ERROR"]}, "severity": "error", "title": "t"}],
            "receivers": [{"name": n, "kind": "webhook", "url": "http://x.example/"} for n in ("team", "lead", "boss")],
            "routes": [
                {
                    "name": "default",
                    "receivers": ["team"],
                    "escalate": [{"after": after, "to": [to]} for after, to in steps],
                }
            ],
        }
    )


TWO_STEPS = rules(("5m", "lead"), ("15m", "boss"))


FIRES = Candidate(
    rule_id="r",
    group={},
    severity=Severity.ERROR,
    title="t",
    count=1,
    first_ms=T0,
    last_ms=T0,
    received_ms=T0,
    sample=Sample(timestamp_ms=T0, level=Level.ERROR, message="m", service="s", node_id="n"),
)


class Run:
    """A desk with a simulated clock, whose time is in ms since the first candidate."""

    def __init__(self, rule_set: RuleSet = TWO_STEPS) -> None:
        self.desk, self.told = Desk(rule_set), list[tuple[int, Action, tuple[str, ...]]]()
        self.at = 0

    def _take(self, decision: Decision) -> None:
        for notification in decision.notifications:
            self.told.append((self.at, notification.action, notification.receivers))

    def fire(self, **given: object) -> None:
        self._take(self.desk.take(msgspec.structs.replace(FIRES, **given), T0 + self.at))

    def order(self, order: Order) -> None:
        key = self.incident.incident_key
        command = Command(order=order, author="ann", at_ms=T0 + self.at, incident_key=key)
        self._take(self.desk.take(command, T0 + self.at))

    def rules(self, rule_set: RuleSet) -> None:
        self._take(self.desk.take_rules(rule_set, T0 + self.at))

    def until(self, at: int) -> None:
        """Lets time pass as the manager does: a tick whenever one may be due."""
        while (due := self.desk.next_due_ms()) is not None and due <= T0 + at:
            self.at = max(self.at, due - T0)
            self._take(self.desk.tick(T0 + self.at))
        self.at = at

    def restart(self, rule_set: RuleSet = TWO_STEPS) -> None:
        """As a successor does: from what was kept."""
        incidents = list(self.desk.book.by_key.values())
        self.desk = Desk(rule_set)
        self.desk.restore(incidents, {}, {})

    @property
    def incident(self) -> Incident:
        (found,) = self.desk.book.by_key.values()
        return found


def test_unacknowledged_it_climbs_step_by_step_and_no_further() -> None:
    run = Run()
    run.fire()
    run.until(60 * MIN)
    assert run.told == [(0, OPEN, ("team",)), (5 * MIN, ESCALATE, ("lead",)), (15 * MIN, ESCALATE, ("boss",))]
    run.order(Order.RESOLVE)
    assert run.told[-1] == (60 * MIN, Action.RESOLVE, ("team",)), "and whoever has a receipt, says the notifier"


def test_matches_that_go_on_neither_hasten_nor_delay_it() -> None:
    run = Run()
    for at in range(0, 14 * MIN, 20 * S):
        run.until(at)
        run.fire()
    run.until(16 * MIN)
    escalations = [(at, to) for at, action, to in run.told if action is ESCALATE]
    assert escalations == [(5 * MIN, ("lead",)), (15 * MIN, ("boss",))]
    later = {to for at, action, to in run.told if action is UPDATE and at > 5 * MIN}
    assert later == {("team", "lead")}


def test_an_acknowledgement_stops_it_and_giving_it_back_starts_it_anew() -> None:
    run = Run()
    run.fire()
    run.until(6 * MIN)
    run.order(Order.ACKNOWLEDGE)
    run.until(60 * MIN)
    assert [action for _, action, _ in run.told] == [OPEN, ESCALATE, UPDATE]
    run.order(Order.UNACKNOWLEDGE)
    run.until(120 * MIN)
    assert run.told[3:] == [
        (60 * MIN, UPDATE, ("team",)),
        (65 * MIN, ESCALATE, ("lead",)),
        (75 * MIN, ESCALATE, ("boss",)),
    ]


def test_a_worse_severity_takes_the_acknowledgement_back_and_starts_it_anew() -> None:
    run = Run()
    run.fire()
    run.order(Order.ACKNOWLEDGE)
    run.until(30 * MIN)
    run.fire(severity=Severity.CRITICAL)
    run.until(36 * MIN)
    assert run.told[-1] == (35 * MIN, ESCALATE, ("lead",))


@pytest.mark.parametrize("at", [1 * MIN, 5 * MIN, 10 * MIN])
def test_a_restart_keeps_it(at: int) -> None:
    run = Run()
    run.fire()
    run.until(at)
    run.restart()
    run.until(60 * MIN)
    assert [(at, action) for at, action, _ in run.told] == [(0, OPEN), (5 * MIN, ESCALATE), (15 * MIN, ESCALATE)]


def test_what_came_due_while_no_manager_was_there_is_done_once_each_at_once() -> None:
    run = Run()
    run.fire()
    run.at = 40 * MIN
    run.restart()
    run.until(60 * MIN)
    assert run.told[1:] == [(40 * MIN, ESCALATE, ("lead",)), (40 * MIN, ESCALATE, ("boss",))]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_change_of_the_rules_reschedules_it(restarted: bool) -> None:
    run = Run()
    run.fire()
    run.until(1 * MIN)
    sooner = rules(("2m", "boss"))
    run.rules(sooner)
    if restarted:
        run.restart(sooner)
    run.until(3 * MIN)
    assert run.told[1:] == [(2 * MIN, ESCALATE, ("boss",))]
    # A second step that was added counts from when it began to fire, too.
    run.rules(rules(("2m", "boss"), ("10m", "lead")))
    run.until(60 * MIN)
    assert run.told[2:] == [(10 * MIN, ESCALATE, ("lead",))]


def test_a_change_that_puts_it_off_is_kept_to() -> None:
    run = Run()
    run.fire()
    run.rules(rules(("30m", "lead")))
    run.until(60 * MIN)
    assert run.told[1:] == [(30 * MIN, ESCALATE, ("lead",))]


def test_repeats_come_between_and_start_anew_after_each_step() -> None:
    run = Run()
    run.fire(repeat_every_s=120.0)
    run.until(16 * MIN)
    assert [(at // MIN, action) for at, action, _ in run.told] == [
        (0, OPEN),
        (2, REPEAT),
        (4, REPEAT),
        (5, ESCALATE),
        (7, REPEAT),
        (9, REPEAT),
        (11, REPEAT),
        (13, REPEAT),
        (15, ESCALATE),
    ]
    assert {to for at, action, to in run.told if action is REPEAT and at > 5 * MIN} == {("team", "lead")}


def test_what_reopens_climbs_from_the_first_step() -> None:
    run = Run()
    run.fire()
    run.until(6 * MIN)
    run.order(Order.RESOLVE)
    run.fire()
    run.until(30 * MIN)
    assert run.told[-3:] == [
        (6 * MIN, Action.REOPEN, ("team",)),
        (11 * MIN, ESCALATE, ("lead",)),
        (21 * MIN, ESCALATE, ("boss",)),
    ]


def test_each_incident_climbs_by_itself() -> None:
    run = Run()
    for number in range(50):
        run.until(number * S)
        run.fire(group={"n": str(number)})
    run.until(20 * MIN)
    times = [at for at, action, to in run.told if (action, to) == (ESCALATE, ("lead",))]
    assert times == [5 * MIN + number * S for number in range(50)]
    assert len(list(chain(run.told))) == 150
