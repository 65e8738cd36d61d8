"""An audit of the nodes from its evidence to its document; and the end that all audits have in common."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streaming.alerting.messages import Incident, Severity
from streaming.alerting.rules.ruleset import RuleSet
from streaming.audit import nodes, store
from streaming.audit.evidence import Gathering
from streaming.audit.findings import Audit, Finding, Problem, audit_of
from streaming.audit.incidents import TOLD_FOR_S, match, own_key
from streaming.audit.raising import OBEYED_WITHIN_S, not_taken, tell_manager
from streaming.errors import VigilError
from streaming.settings import Settings

HEARTBEAT = "heartbeat"
"""Kind of these audits."""


@dataclass(frozen=True)
class Result:
    """What came of an audit."""

    audit: Audit
    untold: list[Finding]
    """Findings that need an incident of which nobody is told by Vigil itself: Kafka or the alert manager is away."""
    file: str
    """Where its document lies."""
    not_indexed: str
    """Why Elasticsearch does not have the document yet; empty: it has."""


def audit_nodes(settings: Settings, outage: Mapping[str, str] | None = None) -> Result:
    """Compares inventory, registry, beats, logs and incidents; raises the incidents that are missing.

    Args:
        outage: services that do not answer though they are meant to be up, each with why; they are not asked.

    Raises:
        ConfigError: the local file of the document cannot be written.
    """
    now_ms = time.time_ns() // 1_000_000
    gathering = Gathering(settings, now_ms, outage or {})
    evidence = gathering.evidence()
    findings = nodes.examine(evidence)
    suspects = nodes.zombie_suspects(evidence)
    used_to_log = gathering.used_to_log(suspects)
    if used_to_log is not None:
        findings += nodes.zombies(evidence, suspects, used_to_log)
    audit = audit_of(
        HEARTBEAT, now_ms, outage_findings(outage or {}) + findings, dict(gathering.away), nodes.counts(evidence)
    )
    return conclude(settings, audit, evidence.incidents, evidence.rules, told_for_s=TOLD_FOR_S)


def outage_findings(outage: Mapping[str, str]) -> list[Finding]:
    """The finding that the platform is down; none where it is not."""
    if not outage:
        return []
    return [
        Finding(
            problem=Problem.OUTAGE,
            subject="platform",
            severity=Severity.CRITICAL,
            reason="; ".join(f"{service}: {why}" for service, why in outage.items()),
            needs_incident=True,
        )
    ]


def conclude(
    settings: Settings,
    audit: Audit,
    incidents: Sequence[Incident] | None,
    rules: RuleSet | None,
    *,
    told_for_s: float,
) -> Result:
    """Raises what is missing, then keeps the document. Changes `audit`: its findings name their incidents.

    Args:
        incidents: as they are; None: they could not be had.

    Raises:
        ConfigError: the local file cannot be written.
    """
    untold = _raise_missing(settings, audit, incidents, rules, told_for_s)
    file = store.keep(settings, audit)
    try:
        store.index_pending(settings)
        not_indexed = ""
    except VigilError as error:
        not_indexed = str(error)
    return Result(audit, untold, str(file), not_indexed)


def _raise_missing(
    settings: Settings, audit: Audit, incidents: Sequence[Incident] | None, rules: RuleSet | None, told_for_s: float
) -> list[Finding]:
    wanted = [finding for finding in audit.findings if finding.needs_incident]
    if incidents is None:
        return wanted
    matched = match(audit.kind, audit.findings, incidents, rules, audit.at_ms, told_for_s=told_for_s)
    audit.findings, audit.ended = matched.findings, matched.ended
    audit.raised = [candidate.title for candidate in matched.candidates]
    keys = {candidate.incident_key: candidate for candidate in matched.candidates}
    try:
        tell_manager(settings, [*matched.candidates, *matched.recoveries])
        missing = not_taken(settings, keys, OBEYED_WITHIN_S)
    except VigilError as error:
        audit.away["alert manager"] = str(error)
        missing = set(keys)
    if missing and "alert manager" not in audit.away:
        audit.away["alert manager"] = f"it has not taken {len(missing)} of {len(keys)} incidents; `vigil status`"
    return [finding for finding in wanted if own_key(audit.kind, finding) in missing]
