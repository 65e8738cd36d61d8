"""What mutes an incident, as the whole desk sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.alerting.incidents.decision import joined
from streaming.alerting.messages import Action, AuditEntry, Command, IncidentState, Matcher, Order, Severity
from streaming.alerting.muting import mutes, silences
from streaming.alerting.muting.silences import KEPT_MS, LONGEST_MS
from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.ruleset import RuleSet
from streaming.kafka import topics
from tests.support.alert_office import Office

S = 1000
SILENCES_LIMIT = 20
AT_ONCE = 50
RULES = """
rules:
  - {id: log, kind: match, severity: error, title: t, where: {levels: [ERROR]}}
  - {id: other, kind: match, severity: error, title: t, where: {levels: [ERROR]}}
  - {id: down, kind: node-health, severity: critical, title: t}
inhibitions:
  - name: down-mutes-log
    source: {where: {rule: {equals: down}}}
    target: {where: {kind: {equals: match}}}
    equal: [service.node.name]
"""


def rule_set(text: str = RULES) -> RuleSet:
    return load_texts([(Path("x"), text)])


@pytest.fixture
def office() -> Office:
    return Office(rule_set(), now=1000 * S)


def state_of(office: Office, rule: str = "log", service: str = "s") -> tuple[IncidentState, str]:
    incident = office.incident(rule, service)
    return incident.state, incident.muted_by


def test_a_silence_mutes_from_its_start_to_its_end_and_then_it_is_told_once(office: Office) -> None:
    assert office.silence("A", ["service.name=s"], office.now + 10 * S, office.now + 20 * S) == "done"
    assert office.candidate("log") == [Action.OPEN]
    assert office.tick(1009_999) == []
    assert office.tick(1010 * S) == [Action.UPDATE], "its message says that it is silenced"
    assert state_of(office) == (IncidentState.SILENCED, "silence A")
    assert office.candidate("other") == [], "one that opens meanwhile is not told"
    assert office.tick(1019_999) == []
    assert sorted(office.tick(1020 * S)) == [Action.OPEN, Action.REPEAT]
    assert {told.incident.rule_id: told.action for told in office.told} == {
        "log": Action.REPEAT,
        "other": Action.OPEN,
    }
    assert state_of(office) == (IncidentState.FIRING, "")


def test_what_resolves_while_it_is_silenced_is_told_only_to_those_who_knew(office: Office) -> None:
    office.candidate("log", quiet_s=60)
    office.silence("A", ["service.name=s"], office.now, office.now + 1000 * S)
    office.candidate("other", quiet_s=60)
    assert office.tick(office.now + 60 * S) == [Action.RESOLVE]
    assert office.told[0].incident.rule_id == "log"


def test_an_end_by_order_tells_at_once(office: Office) -> None:
    office.silence("A", ["service.name=s"], office.now, office.now + 1000 * S)
    assert office.candidate("log") == []
    office.now += 5 * S
    assert office.unsilence("A") == "done"
    assert [told.action for told in office.told] == [Action.OPEN]
    assert office.unsilence("A") == "that silence is over"
    assert office.unsilence("B") == "there is no such silence"
    silence = office.audit[-1].silence
    assert silence is None, "nothing was done"
    silence = office.audit[0].silence
    assert silence is not None
    assert (silence.silence_id, silence.author, silence.created_ms) == ("A", "ann", 1000 * S)


def test_a_silence_that_has_not_begun_can_be_ended(office: Office) -> None:
    office.silence("A", ["service.name=s"], office.now + 10 * S, office.now + 20 * S)
    assert office.unsilence("A") == "done"
    office.candidate("log")
    assert office.tick(office.now + 15 * S) == []
    assert state_of(office)[0] is IncidentState.FIRING


def test_a_silence_can_be_changed(office: Office) -> None:
    office.candidate("log", "s")
    office.candidate("log", "t")
    office.silence("A", ["service.name=s"], office.now, office.now + 10 * S)
    assert office.silence("A", ["service.name=t"], office.now, office.now + 20 * S) == "done"
    assert {told.incident.group["service.name"]: told.action for told in office.told} == {
        "s": Action.REPEAT,
        "t": Action.UPDATE,
    }
    assert office.tick(office.now + 10 * S) == []
    assert office.tick(office.now + 10 * S) == [Action.REPEAT]
    assert office.silence("A", ["service.name=t"], office.now, office.now + S) == "that silence is over; make a new one"


def test_the_eldest_silence_is_named_and_its_end_leaves_the_incident_to_the_next(office: Office) -> None:
    office.silence("B", ["service.name=s"], office.now, office.now + 10 * S)
    office.now += 1
    office.silence("A", ["severity=~."], office.now, office.now + 20 * S)
    office.candidate("log")
    assert state_of(office)[1] == "silence B"
    assert office.tick(1010 * S) == []
    assert state_of(office) == (IncidentState.SILENCED, "silence A")


@pytest.mark.parametrize(
    ("silence_id", "conditions", "starts", "ends", "reason", "outcome"),
    [
        ("A", ["service.name="], 0, 10, "", "it asks for nothing that an incident must have"),
        ("A", [], 0, 10, "", "a silence has 1 to 20 conditions, not 0"),
        ("A", [Matcher(name="rule", op="=~", value="(")], 0, 10, "", "'(' is no regular expression of RE2: missing )"),
        ("A", [Matcher(name="nme", op="=", value="(")], 0, 10, "", "'nme' is no attribute of incidents"),
        ("A", ["rule=log"], 10, 10, "", "it ends before it begins"),
        ("A", ["rule=log"], -20, 0, "", "its end is in the past"),
        ("A", ["rule=log"], 0, LONGEST_MS // S + 1, "", "it ends more than a year from now"),
        ("a b", ["rule=log"], 0, 10, "", "the id of a silence is 1 to 64 letters"),
        ("A", ["rule=log"], 0, 10, "x" * 1001, "an author has at most 200 characters, and a reason 1000"),
    ],
)
def test_a_silence_that_cannot_be_made_is_refused_with_the_reason(
    office: Office,
    silence_id: str,
    conditions: list[str | Matcher],
    starts: int,
    ends: int,
    reason: str,
    outcome: str,
) -> None:
    assert office.silence(silence_id, conditions, office.now + starts * S, office.now + ends * S, reason).startswith(
        outcome
    )
    office.candidate("log")
    assert state_of(office)[0] is IncidentState.FIRING
    assert not office.kept[topics.SILENCES]


def test_silences_are_bounded_and_given_up_a_day_after_their_end(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silences, "SILENCES_LIMIT", SILENCES_LIMIT)
    for number in range(SILENCES_LIMIT):
        assert office.silence(f"S{number}", ["rule=none"], office.now, office.now + (number + 1) * S) == "done"
    assert office.silence("more", ["rule=none"], office.now, office.now + S).startswith("there are 20 silences")
    assert office.silence("S0", ["rule=other"], office.now, office.now + S) == "done", "a change is none more"
    office.tick(office.now + S)
    assert office.silence("more", ["rule=none"], office.now, office.now + S) == "done"
    assert len(office.kept[topics.SILENCES]) == SILENCES_LIMIT + 1
    office.tick(office.now + KEPT_MS - 1)
    assert len(office.kept[topics.SILENCES]) == SILENCES_LIMIT, "of more that are over the eldest is gone sooner"
    office.tick(office.now + S)
    assert len(office.kept[topics.SILENCES]) == SILENCES_LIMIT
    office.tick(office.now + 1)
    assert len(office.kept[topics.SILENCES]) == SILENCES_LIMIT - 2
    office.tick(office.now + KEPT_MS)
    assert office.kept[topics.SILENCES] == {}
    assert office.desk.next_due_ms() is None


def test_a_kept_silence_that_cannot_be_used_stops_nothing(office: Office) -> None:
    office.silence("A", ["rule=log"], office.now, office.now + 100 * S)
    office.kept[topics.SILENCES] |= {
        b"B": b'{"silence_id":"B","matchers":[],"starts_ms":0,"ends_ms":9,"author":"","reason":"","created_ms":0}',
        b"C": b"{",
    }
    office.restart()
    office.candidate("log")
    assert state_of(office)[1] == "silence A"


def test_a_restart_neither_unmutes_nor_tells_twice(office: Office) -> None:
    office.silence("A", ["rule=log"], office.now, office.now + 100 * S)
    office.candidate("log")
    office.candidate("other", node="n2")
    assert office.restart() == []
    office.now += 50 * S
    assert office.restart() == []
    office.now += 60 * S
    assert office.restart() == [Action.OPEN], "it ended while no manager was there"
    assert office.restart() == []


def test_a_clock_that_is_set_back_lets_a_silence_begin_again(office: Office) -> None:
    office.candidate("log")
    office.silence("A", ["rule=log"], office.now + 10 * S, office.now + 20 * S)
    office.tick(1010 * S)
    assert state_of(office)[0] is IncidentState.SILENCED
    office.now = 1000 * S
    office._written([office.desk.tick(office.now)])
    assert state_of(office)[0] is IncidentState.FIRING
    office.tick(1010 * S)
    assert state_of(office)[0] is IncidentState.SILENCED


def test_maintenance_mutes_in_its_window() -> None:
    window = """
maintenance:
  - name: nightly
    reason: backups
    where: {service.name: {equals: s}}
    weekly: [{from: "00:30", to: "01:00"}]
"""
    office = Office(rule_set(RULES + window), now=0)
    assert office.candidate("log") == [Action.OPEN]
    assert office.tick(30 * 60 * S - 1) == []
    assert office.tick(30 * 60 * S) == [Action.UPDATE]
    assert state_of(office) == (IncidentState.SILENCED, "maintenance nightly")
    assert office.candidate("log", "t") == [Action.OPEN]
    assert office.tick(60 * 60 * S - 1) == []
    assert office.tick(60 * 60 * S) == [Action.REPEAT]
    office.tick(24 * 60 * 60 * S + 30 * 60 * S)
    assert state_of(office)[1] == "maintenance nightly"
    assert office.take_rules(rule_set()) == [Action.REPEAT], "the window is gone from the rules"


def test_a_node_that_is_down_mutes_the_logs_of_that_node(office: Office) -> None:
    assert office.candidate("log", node="n1") == [Action.OPEN]
    assert office.candidate("other", node="n2") == [Action.OPEN]
    assert office.candidate("down", group={"service.node.name": "n1"}) == [Action.OPEN, Action.UPDATE]
    down = office.incident("down", None)
    assert state_of(office, "log") == (IncidentState.SILENCED, f"inhibited by {down.incident_id}")
    assert state_of(office, "other")[0] is IncidentState.FIRING
    office.order(Order.ACKNOWLEDGE, down)
    assert state_of(office, "log")[0] is IncidentState.SILENCED, "it is still down"
    assert office.order(Order.RESOLVE, down) == [Action.RESOLVE, Action.REPEAT]
    assert state_of(office, "log")[0] is IncidentState.FIRING


def test_a_pending_source_mutes_nobody(office: Office) -> None:
    office.candidate("log")
    assert office.candidate("down", group={"service.node.name": "n1"}, for_s=60) == []
    assert state_of(office)[0] is IncidentState.FIRING
    office.tick(office.now + 60 * S)
    assert state_of(office)[0] is IncidentState.SILENCED


def test_a_log_of_another_node_is_told_though_the_first_node_is_down(office: Office) -> None:
    office.candidate("down", group={"service.node.name": "n1"})
    assert office.candidate("log", node="n1") == []
    assert office.candidate("log", node="n2") == [Action.OPEN], "that node is not down"
    for node in ("n1", "n2", "n1"):
        assert office.candidate("log", node=node) == [], "taking turns neither mutes nor tells again"
    assert state_of(office)[0] is IncidentState.FIRING
    office.candidate("down", group={"service.node.name": "n2"})
    assert state_of(office)[0] is IncidentState.FIRING, "its last log is of n1, which was down before"
    office.candidate("log", node="n2")
    office.restart()
    assert state_of(office)[0] is IncidentState.SILENCED


def test_a_rising_severity_can_leave_a_silence_or_come_into_one(office: Office) -> None:
    office.silence("A", ["severity=~warning|critical"], office.now, office.now + 100 * S)
    assert office.candidate("log", severity=Severity.WARNING) == []
    assert office.candidate("log", severity=Severity.ERROR) == [Action.OPEN]
    assert office.candidate("log", severity=Severity.CRITICAL) == [Action.UPDATE, Action.UPDATE]
    assert state_of(office) == (IncidentState.SILENCED, "silence A")


def test_an_acknowledged_one_stays_so_and_is_silent_when_it_is_given_back(office: Office) -> None:
    office.candidate("log")
    office.order(Order.ACKNOWLEDGE, office.incident("log"))
    office.silence("A", ["rule=log"], office.now, office.now + 100 * S)
    assert state_of(office) == (IncidentState.ACKNOWLEDGED, "silence A")
    assert office.order(Order.UNACKNOWLEDGE, office.incident("log")) == [Action.UPDATE]
    assert state_of(office) == (IncidentState.SILENCED, "silence A")
    office.order(Order.ACKNOWLEDGE, office.incident("log"))
    assert Action.REPEAT not in office.tick(1100 * S)
    assert state_of(office) == (IncidentState.ACKNOWLEDGED, "")


def test_an_incident_can_be_silenced_by_its_key_and_stays_so_when_it_comes_back(office: Office) -> None:
    office.candidate("log", quiet_s=10)
    key = office.incident("log").incident_key
    office.silence("A", [Matcher(name="incident", op="=", value=key)], office.now, office.now + 10_000 * S)
    office.candidate("log", "t")
    assert state_of(office, "log", "t")[0] is IncidentState.FIRING
    office.tick(office.now + 10 * S)
    office.tick(office.now + 700 * S)
    assert key not in office.desk.book.by_key
    assert office.candidate("log") == []
    assert state_of(office) == (IncidentState.SILENCED, "silence A")


def test_what_mutes_first_is_named_in_a_fixed_order(office: Office) -> None:
    more = """
maintenance:
  - {name: m, reason: r, where: {rule: {equals: log}}, weekly: [{}]}
dependencies:
  - {service: s, needs: [db]}
"""
    office.take_rules(rule_set(RULES + more))
    office.candidate("other", "db", node="n9")
    office.candidate("down", group={"service.node.name": "n1"})
    office.silence("A", ["rule=log"], office.now, office.now + 10 * S)
    office.candidate("log")
    down, database = office.incident("down", None).incident_id, office.incident("other", "db").incident_id
    said = [state_of(office)[1]]
    office.tick(office.now + 10 * S)
    said.append(state_of(office)[1])
    office.take_rules(rule_set(RULES + more.replace("equals: log", "equals: none")))
    said.append(state_of(office)[1])
    office.order(Order.RESOLVE, office.incident("down", None))
    said.append(state_of(office)[1])
    assert said == ["silence A", "maintenance m", f"inhibited by {down}", f"db is broken: {database}"]


def test_a_flood_that_a_silence_held_back_is_told_in_portions(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutes, "AT_ONCE", AT_ONCE)
    office.silence("A", ["rule=log"], office.now, office.now + 10 * S)
    number = 2 * AT_ONCE + 5
    for service in range(number):
        office.candidate("log", str(service))
    portions = []
    office.now += 10 * S
    while (due := office.desk.next_due_ms()) is not None and due <= office.now:
        portions.append(office.desk.tick(office.now))
    assert [len(one.notifications) for one in portions] == [AT_ONCE, AT_ONCE, 5]
    assert all(one.state is IncidentState.FIRING for one in office.desk.book.by_key.values())


def test_several_orders_of_one_round_are_all_audited(office: Office) -> None:
    office.candidate("log")
    incident_id = office.incident("log").incident_id
    orders = (Order.ACKNOWLEDGE, Order.UNACKNOWLEDGE, Order.RESOLVE)
    whole = joined(
        [
            office.desk.take(
                Command(order=order, author="ann", at_ms=0, incident_id=incident_id, order_id=order.value), office.now
            )
            for order in orders
        ]
    )
    entries = [kept.value for kept in whole.kept if isinstance(kept.value, AuditEntry)]
    assert [(entry.order, entry.order_id, entry.outcome) for entry in entries] == [(o, o.value, "done") for o in orders]


def test_an_order_without_a_silence_is_refused(office: Office) -> None:
    office.take(Command(order=Order.SILENCE, author="ann", at_ms=0))
    assert office.audit[-1].outcome == "the order names no silence"
