"""Which incidents tell of what an audit found, which are missing, and which of its own are over. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from streaming.alerting.audit_rule import AUDIT_RULE
from streaming.alerting.candidates import said
from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.messages import Candidate, Incident, Recovery, incident_key
from streaming.alerting.rules.base import TITLE_LIMIT
from streaming.alerting.rules.node_health import NODE_FIELD, NodeCondition, NodeHealthRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.text import one_line
from streaming.audit.findings import Finding, Problem

AUDIT, PROBLEM = "audit", "problem"
"""Fields of the group of an incident that an audit raises, beside `service.node.name`, which names the subject."""

TOLD_FOR_S = 1_500.0
"""An audit tells of what it still finds, and ends what it no longer finds. Should audits themselves end (a DAG that was
paused), their incidents resolve after five of the shortest interval, 5 minutes."""

TOLD_FOR_HOURLY_S = 3 * 3_600.0
"""The same of an audit that runs every hour, which may be late once."""

TELLS_OF = {
    Problem.SILENT: NodeCondition.DOWN,
    Problem.NEVER_SEEN: NodeCondition.NEVER_SEEN,
    Problem.DUPLICATE: NodeCondition.DUPLICATE,
    Problem.SKEWED: NodeCondition.SKEWED,
}
"""What a rule about nodes asks for whose incident says what an audit finds."""


@dataclass(frozen=True)
class Matched:
    """What follows for incidents."""

    findings: list[Finding]
    """Those given, each with the incident that tells of it."""
    candidates: list[Candidate]
    recoveries: list[Recovery]
    ended: list[str]
    """Titles of the incidents that are over."""


def match(
    kind: str,
    findings: Sequence[Finding],
    incidents: Iterable[Incident],
    rules: RuleSet | None,
    now_ms: int,
    *,
    told_for_s: float,
) -> Matched:
    """A candidate for each finding that needs an incident and has none but perhaps the audit's own, and a recovery for
    each of the audit's own that is needed no more.

    Args:
        kind: of the audit; it ends no incident of another.
        rules: those in force, by which it is known what an incident is about; None: they could not be had.
        told_for_s: how long an incident stays that no audit tells of any more.
    """
    open_ones = [incident for incident in incidents if is_open(incident)]
    own = {i.incident_key: i for i in open_ones if i.rule_id == AUDIT_RULE and i.group.get(AUDIT) == kind}
    tellers = _tellers(open_ones, rules)
    matched, candidates = [], []
    over = dict.fromkeys(own, "the last audit does not find it any more")
    for finding in findings:
        candidate = _candidate(kind, finding, now_ms, told_for_s)
        teller, mine = tellers.get((finding.problem, finding.subject)), own.get(candidate.incident_key)
        if finding.needs_incident and teller is None:
            candidates.append(candidate)
            over.pop(candidate.incident_key, None)
        elif mine is not None:
            over[candidate.incident_key] = (
                f"{teller.incident_id} tells of it" if teller else "it is worth none any more"
            )
        known = teller or mine
        matched.append(msgspec.structs.replace(finding, incident_id=known.incident_id if known else ""))
    recoveries = [
        Recovery(rule_id=AUDIT_RULE, group=own[key].group, received_ms=now_ms, reason=reason)
        for key, reason in over.items()
    ]
    return Matched(matched, candidates, recoveries, [own[key].title for key in over])


def _tellers(incidents: Iterable[Incident], rules: RuleSet | None) -> Mapping[tuple[Problem, str], Incident]:
    """Incidents of rules about nodes, by what they say and of which node."""
    conditions = {rule.id: rule.condition for rule in rules.rules if isinstance(rule, NodeHealthRule)} if rules else {}
    found: dict[tuple[Problem, str], Incident] = {}
    for incident in incidents:
        for problem, condition in TELLS_OF.items():
            if conditions.get(incident.rule_id) is condition:
                found[problem, incident.group.get(NODE_FIELD, "")] = incident
    return found


def own_key(kind: str, finding: Finding) -> str:
    """Key of the incident that an audit itself raises for a finding."""
    return incident_key(AUDIT_RULE, _group(kind, finding))


def _group(kind: str, finding: Finding) -> dict[str, str]:
    return {AUDIT: kind, PROBLEM: finding.problem.value, NODE_FIELD: finding.subject}


def _candidate(kind: str, finding: Finding, now_ms: int, told_for_s: float) -> Candidate:
    text = f"{finding.subject} {finding.reason}"
    return Candidate(
        rule_id=AUDIT_RULE,
        group=_group(kind, finding),
        severity=finding.severity,
        title=one_line(f"Audit: {text}", TITLE_LIMIT),
        count=1,
        first_ms=now_ms,
        last_ms=now_ms,
        received_ms=now_ms,
        sample=said(text, now_ms, finding.service or "vigil-audit", finding.subject),
        resolve_after_s=told_for_s,
        route="",
    )
