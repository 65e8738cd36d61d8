"""Which incidents an audit raises and ends, told by the alert manager's own desk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streaming.alerting.audit_rule import AUDIT_RULE
from streaming.alerting.desk import Desk
from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.messages import Incident, Severity
from streaming.alerting.rules.loading import load_texts
from streaming.audit.findings import Finding, Problem
from streaming.audit.incidents import TOLD_FOR_S, Matched, match, own_key
from tests.support.incidents import plain_incident

T0 = 1_790_000_000_000
RULES = load_texts(
    [(Path("x.yaml"), "rules: [{id: down, kind: node-health, severity: critical, title: t}]")],
)


def finding(subject: str = "a", problem: Problem = Problem.SILENT, *, needs: bool = True) -> Finding:
    return Finding(
        problem=problem, subject=subject, severity=Severity.CRITICAL, reason="no beat for 2 min", needs_incident=needs
    )


def matched(findings: Sequence[Finding], incidents: Sequence[Incident], kind: str = "heartbeat") -> Matched:
    return match(kind, findings, incidents, RULES, T0, told_for_s=TOLD_FOR_S)


class Manager:
    """The alert manager's desk, told of one audit after another."""

    def __init__(self) -> None:
        self.desk = Desk(RULES)
        self.now_ms = T0

    def audit(self, findings: Sequence[Finding], kind: str = "heartbeat") -> Matched:
        self.now_ms += 300_000
        found = match(kind, findings, self.incidents(), RULES, self.now_ms, told_for_s=TOLD_FOR_S)
        for candidate in found.candidates:
            self.desk.take(candidate, self.now_ms)
        for recovery in found.recoveries:
            self.desk.take(recovery, self.now_ms)
        self.desk.tick(self.now_ms)
        return found

    def incidents(self) -> list[Incident]:
        return list(self.desk.book.by_key.values())

    def open(self) -> dict[str, Incident]:
        return {i.incident_key: i for i in self.incidents() if is_open(i)}


def test_a_missing_incident_is_raised_told_again_and_ended() -> None:
    manager = Manager()
    for _ in range(3):
        assert len(manager.audit([finding()]).candidates) == 1
    (incident,) = manager.open().values()
    assert incident.rule_id == AUDIT_RULE
    assert incident.title == "Audit: a no beat for 2 min"
    assert incident.group == {"audit": "heartbeat", "problem": "silent", "service.node.name": "a"}
    again = manager.audit([finding()])
    assert [one.incident_id for one in again.findings] == [incident.incident_id]
    assert manager.audit([]).ended == [incident.title]
    assert manager.open() == {}


def test_one_that_a_rule_made_tells_of_it() -> None:
    told = plain_incident(incident_id="N", rule_id="down", incident_key="k", group={"service.node.name": "a"})
    found = matched([finding("a"), finding("b"), finding("a", Problem.DUPLICATE)], [told])
    assert [one.incident_id for one in found.findings] == ["N", "", ""], "another node; and another problem of it"
    assert [c.group["service.node.name"] for c in found.candidates] == ["b", "a"]


def test_the_audits_own_gives_way_to_one_that_a_rule_made() -> None:
    manager = Manager()
    manager.audit([finding()])
    told = plain_incident(incident_id="N", rule_id="down", incident_key="k", group={"service.node.name": "a"})
    found = matched([finding()], [*manager.incidents(), told])
    assert found.candidates == []
    assert [recovery.reason for recovery in found.recoveries] == ["N tells of it"]


def test_what_is_only_listed_raises_nothing_and_ends_what_was_worth_an_incident_before() -> None:
    manager = Manager()
    manager.audit([finding()])
    assert len(manager.audit([finding(needs=False)]).recoveries) == 1
    assert manager.open() == {}
    assert manager.audit([finding(needs=False)]).candidates == []


def test_an_audit_ends_no_incident_of_another_kind() -> None:
    manager = Manager()
    manager.audit([finding()])
    assert manager.audit([], "pipeline").recoveries == []
    assert set(manager.open()) == {own_key("heartbeat", finding())}


def test_it_resolves_where_audits_end() -> None:
    manager = Manager()
    manager.audit([finding()])
    manager.desk.tick(manager.now_ms + int(TOLD_FOR_S * 1000) - 1)
    assert manager.open()
    manager.desk.tick(manager.now_ms + int(TOLD_FOR_S * 1000) + 1)
    assert manager.open() == {}
