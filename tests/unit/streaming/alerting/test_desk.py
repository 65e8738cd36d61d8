"""What the manager decides as a whole."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streaming.alerting.candidates import from_broken_rules, from_good_rules
from streaming.alerting.desk import ORPHANS_AFTER_MS, Desk
from streaming.alerting.incidents.decision import Decision
from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.messages import (
    Action,
    AuditEntry,
    Candidate,
    Command,
    Order,
    Sample,
    Severity,
    incident_key,
)
from streaming.alerting.rules.loading import load_texts
from streaming.errors import ConfigError
from streaming.events.model import Level
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import State


def actions(decision: Decision) -> list[Action]:
    return [n.action for n in decision.notifications]


RULES = load_texts([(Path("x"), "rules: [{id: down, kind: node-health, severity: critical, title: '{{ message }}'}]")])


def status(state: State, at: int = 0) -> NodeStatus:
    return NodeStatus(
        node_id="n1", service="s", state=state, at_ms=at, last_beat_ms=0, silent_for_ms=9, reason="silent for 9 s"
    )


def test_a_node_down_is_one_incident_and_up_resolves_it() -> None:
    desk = Desk(RULES)
    assert actions(desk.take(status(State.UP), 0)) == []
    assert actions(desk.take(status(State.DOWN), 1)) == [Action.OPEN]
    assert actions(desk.take(status(State.DOWN), 2)) == []
    assert desk.book.by_key.keys() == {incident_key("down", {"service.node.name": "n1"})}
    assert actions(desk.tick(10**12)) == [Action.UPDATE], "it does not resolve by itself"
    assert actions(desk.take(status(State.UP), 3)) == [Action.RESOLVE]
    assert actions(desk.take(status(State.DOWN, 4), 4)) == [Action.REOPEN]


def test_a_node_that_comes_back_as_another_service_resolves_too() -> None:
    rule_text = "{id: d, kind: node-health, severity: error, title: t, where: {service: {equals: order}}}"
    desk = Desk(load_texts([(Path("x"), f"rules: [{rule_text}]")]))
    gone = msgspec.structs.replace(status(State.DOWN), service="order")
    assert actions(desk.take(gone, 0)) == [Action.OPEN]
    back = msgspec.structs.replace(status(State.UP), service="payment")
    assert actions(desk.take(back, 1)) == [Action.RESOLVE]


def test_every_order_is_audited_with_what_came_of_it() -> None:
    desk = Desk(RULES)
    desk.take(status(State.DOWN), 1)
    (incident,) = desk.book.by_key.values()
    outcomes = []
    for order, target in (
        (Order.ACKNOWLEDGE, incident.incident_id),
        (Order.ACKNOWLEDGE, incident.incident_id),
        (Order.RESOLVE, "NONE"),
    ):
        decision = desk.take(Command(order=order, author="ann", at_ms=2, incident_id=target, reason="why"), 3)
        (kept,) = decision.kept
        assert isinstance(kept.value, AuditEntry)
        assert (kept.value.author, kept.value.order, kept.value.target, kept.value.at_ms) == ("ann", order, target, 3)
        outcomes.append(kept.value.outcome)
    assert outcomes == ["done", "it is acknowledged", "there is no such incident"]


def test_when_a_rule_is_gone_its_incidents_are_over_also_over_a_restart() -> None:
    desk = Desk(RULES)
    desk.take(status(State.DOWN), 1)
    none = load_texts([(Path("x"), "rules: []")])
    assert actions(desk.take_rules(none, 2)) == []
    assert actions(desk.tick(3)) == [], "matchers may not know yet"
    assert desk.next_due_ms() == 2 + ORPHANS_AFTER_MS
    (over,) = desk.tick(2 + ORPHANS_AFTER_MS).notifications
    assert (over.action, over.incident.reason) == (Action.RESOLVE, "its rule is no longer in force")
    again, other = Desk(RULES), Desk(none)
    again.take(status(State.DOWN), 1)
    other.restore(again.book.by_key.values(), {}, {})
    assert actions(other.tick(2)) == []
    assert other.next_due_ms() == 2 + ORPHANS_AFTER_MS
    assert actions(other.tick(2 + ORPHANS_AFTER_MS)) == [Action.RESOLVE]
    assert actions(other.tick(3 + ORPHANS_AFTER_MS)) == []


def late(number: int = 0) -> Candidate:
    return Candidate(
        rule_id="gone",
        group={"service.name": f"s{number}"},
        severity=Severity.ERROR,
        title="t",
        count=1,
        first_ms=0,
        last_ms=0,
        received_ms=0,
        sample=Sample(timestamp_ms=0, level=Level.ERROR, message="m", service="s", node_id="n"),
    )


def test_a_late_candidate_of_a_rule_that_is_gone_opens_no_incident_for_ever() -> None:
    desk = Desk(RULES)
    for begin in (1, 100_000):
        desk.take(late(), begin)
        desk.tick(begin + 1)
        assert [is_open(incident) for incident in desk.book.by_key.values()] == [True]
        assert desk.next_due_ms() is not None
        desk.tick(begin + ORPHANS_AFTER_MS)
        assert [is_open(incident) for incident in desk.book.by_key.values()] == [False]


def test_no_tick_ends_more_than_a_thousand_incidents_of_rules_that_are_gone() -> None:
    desk = Desk(RULES)
    for number in range(1_500):
        desk.take(late(number), 1)
    left = []
    for at in (1, 2, 3):
        desk.tick(at + ORPHANS_AFTER_MS)
        left.append(sum(map(is_open, desk.book.by_key.values())))
    assert left == [500, 0, 0]


def test_the_wait_for_matchers_goes_by_the_clock_as_it_was_set() -> None:
    desk = Desk(RULES)
    desk.take(late(), 100_000)
    desk.clock_was_set(-50_000)
    desk.tick(50_000 + ORPHANS_AFTER_MS)
    assert [is_open(incident) for incident in desk.book.by_key.values()] == [False]


def test_incidents_that_vigil_raises_of_itself_need_no_rule() -> None:
    desk = Desk(RULES)
    broken = from_broken_rules(ConfigError("no such key"), kept_version="v", now_ms=1)
    assert actions(desk.take(broken, 1)) == [Action.OPEN]
    assert actions(desk.tick(2)) == []
    assert actions(desk.take(from_good_rules("v", 3), 3)) == [Action.RESOLVE]
