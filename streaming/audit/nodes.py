"""What is wrong with the nodes, and with who watches them, by the evidence of an audit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from streaming.alerting.messages import Severity
from streaming.alerting.rules.node_health import MAX_SKEW_S, NodeHealthRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.times import about as length
from streaming.audit.evidence import LOGS_OF_MS, Evidence
from streaming.audit.findings import Finding, Problem
from streaming.heartbeat.expectations import expected, skew_bounds_ms
from streaming.heartbeat.messages import NodeRecord
from streaming.heartbeat.states import About, Kind, State

SILENT_AFTER_MS = 90_000
"""The registry may be half a minute behind the beats, and the heartbeat monitor has its deadline (10 s) and the time
of a takeover: who is silent for longer was overlooked."""
SILENT_INTERVALS = 6
"""Of a node's own mean interval, where that is longer."""

MONITOR = "heartbeat-monitor"
MONITOR_DEAD_AFTER_MS = 60_000
"""It measures the pipeline every 5 s (`pipeline_interval_s`): a dozen of these."""
MONITOR_LATE_AFTER_MS = 60_000

INDEXER = "indexer"
INDEXER_LATE_MS = 5 * 60_000
"""While the indexer is so far behind, what is not in Elasticsearch says nothing about who logs."""

LOUD = 500
"""Logs in a day: a node that wrote as many and is quiet for `LOGS_OF_MS` (a quarter of an hour, in which it wrote five
on average) is worth an incident; one that logs seldom is only listed."""

AT_REST = (State.MAINTENANCE, State.RETIRED)


def examine(evidence: Evidence) -> list[Finding]:
    """All findings but zombies, of which it is first to be asked whether they used to log."""
    found = [*_monitor(evidence)]
    if evidence.registry is None or evidence.rules is None:
        return found
    found += _silent(evidence, evidence.registry, evidence.rules)
    found += _odd(evidence.registry, evidence.rules)
    found += _never_seen(evidence, evidence.registry, evidence.rules)
    return [*found, *_unregistered(evidence, evidence.registry)]


def zombie_suspects(evidence: Evidence) -> list[str]:
    """Nodes that beat and have not logged lately, by name; none where nothing can be said of it."""
    if evidence.registry is None or evidence.beats is None or evidence.logged is None or not evidence.logged:
        return []
    indexer = evidence.pipeline.workers.get(INDEXER) if evidence.pipeline else None
    if indexer is None or indexer.behind_ms > INDEXER_LATE_MS:
        return []
    return sorted(
        record.node_id
        for record in evidence.registry.values()
        if record.kind is Kind.NODE
        and record.state is State.UP
        and record.first_seen_ms <= evidence.now_ms - LOGS_OF_MS
        and evidence.beats.last_ms.get(record.node_id, 0) > evidence.now_ms - SILENT_AFTER_MS
        and record.node_id not in evidence.logged
    )


def zombies(evidence: Evidence, suspects: Sequence[str], used_to_log: Mapping[str, int]) -> list[Finding]:
    """`used_to_log`: logs of each suspect in the day before."""
    found = []
    for node in suspects:
        before = used_to_log.get(node, 0)
        quiet = f"beats, and has logged nothing for {LOGS_OF_MS // 60_000} minutes"
        found.append(
            Finding(
                problem=Problem.ZOMBIE,
                subject=node,
                service=evidence.registry[node].service if evidence.registry else "",
                severity=Severity.WARNING if before >= LOUD else Severity.INFO,
                reason=f"{quiet}; {before:,} logs in the last 24 hours",
                needs_incident=before >= LOUD,
            )
        )
    return found


def counts(evidence: Evidence) -> dict[str, int]:
    """Facts for the document: nodes by state, what was read."""
    facts = {f"nodes_{state.lower()}": 0 for state in State}
    for record in (evidence.registry or {}).values():
        if record.kind is Kind.NODE:
            facts[f"nodes_{record.state.lower()}"] += 1
    facts["nodes_expected"] = len(expected(evidence.rules)) if evidence.rules else 0
    facts["nodes_beating"] = len(evidence.beats.last_ms) if evidence.beats else 0
    facts["nodes_logging"] = len(evidence.logged or ())
    facts["beats_read"] = evidence.beats.read if evidence.beats else 0
    return facts


def _monitor(evidence: Evidence) -> Iterator[Finding]:
    if "kafka" in evidence.away:
        return
    status = evidence.pipeline
    age_ms = None if status is None else evidence.now_ms - status.at_ms
    if age_ms is None or age_ms > MONITOR_DEAD_AFTER_MS:
        since = "has never measured anything" if age_ms is None else f"was last heard of {length(age_ms)} ago"
        yield Finding(
            problem=Problem.MONITOR_DEAD,
            subject=MONITOR,
            severity=Severity.CRITICAL,
            reason=f"{since}: nobody notices nodes that fall silent; `vigil status` shows why",
            needs_incident=True,
        )
        return
    progress = status.workers.get(MONITOR) if status else None
    if progress is not None and progress.behind_ms > MONITOR_LATE_AFTER_MS:
        yield Finding(
            problem=Problem.MONITOR_LATE,
            subject=MONITOR,
            severity=Severity.ERROR,
            reason=f"is {length(progress.behind_ms)} late ({progress.lag:,} records): a node that falls silent is "
            "noticed by so much later",
            needs_incident=True,
        )


def _silent(evidence: Evidence, registry: Mapping[str, NodeRecord], rules: RuleSet) -> Iterator[Finding]:
    silent = {r.node_id: ms for r in registry.values() if (ms := _silent_for_ms(r, evidence)) is not None}
    for node, silent_ms in silent.items():
        record = registry[node]
        # What carries its beats is silent itself: that is the finding, as it is the heartbeat monitor's.
        if record.kind is Kind.NODE and record.accumulator in silent:
            continue
        known = "" if record.state is State.DOWN else f"; the registry says {record.state.value}"
        yield Finding(
            problem=Problem.SILENT,
            subject=node,
            service=record.service,
            severity=Severity.CRITICAL,
            reason=f"no beat for {length(silent_ms)}{known}",
            needs_incident=_is_asked(rules, record, About.STATE, state=State.DOWN),
        )


def _silent_for_ms(record: NodeRecord, evidence: Evidence) -> int | None:
    """How long it is silent, if that is too long; None: it is not, or it may be, or nobody can say."""
    if record.state in AT_REST or record.clean_shutdown or record.kind is Kind.PIPELINE:
        return None
    last_ms = max(record.last_beat_ms or 0, evidence.beats.last_ms.get(record.node_id, 0) if evidence.beats else 0)
    if not last_ms:
        return None
    silent_ms = evidence.now_ms - last_ms
    bound_ms = max(SILENT_AFTER_MS, int(SILENT_INTERVALS * (record.mean_interval_ms or 0)))
    if silent_ms <= bound_ms:
        return None
    if record.state is State.DOWN:
        return silent_ms
    # The registry alone may be old: the beats themselves must have been read for so long.
    if evidence.beats is None or evidence.beats.since_ms > evidence.now_ms - bound_ms:
        return None
    return silent_ms


def _odd(registry: Mapping[str, NodeRecord], rules: RuleSet) -> Iterator[Finding]:
    bound_ms = min(skew_bounds_ms(rules), default=1000 * MAX_SKEW_S)
    for record in registry.values():
        if record.state in AT_REST:
            continue
        if record.duplicate:
            yield Finding(
                problem=Problem.DUPLICATE,
                subject=record.node_id,
                service=record.service,
                severity=Severity.WARNING,
                reason="two processes beat under this name",
                needs_incident=_is_asked(rules, record, About.DUPLICATE),
            )
        if record.skew_ms is not None and abs(record.skew_ms) > bound_ms and record.kind is Kind.NODE:
            yield Finding(
                problem=Problem.SKEWED,
                subject=record.node_id,
                service=record.service,
                severity=Severity.WARNING,
                reason=f"its clock is off by {record.skew_ms / 1000:+.1f} s",
                needs_incident=_is_asked(rules, record, About.SKEW),
            )


def _never_seen(evidence: Evidence, registry: Mapping[str, NodeRecord], rules: RuleSet) -> Iterator[Finding]:
    for node, service in sorted(expected(rules).items()):
        record = registry.get(node)
        came = record is not None and (record.last_beat_ms is not None or record.state in AT_REST)
        if came or (evidence.beats and node in evidence.beats.last_ms):
            continue
        missed = record is not None and record.never_seen
        yield Finding(
            problem=Problem.NEVER_SEEN,
            subject=node,
            service=service,
            severity=Severity.ERROR,
            reason="is in the inventory and has never been seen",
            # Before the heartbeat monitor itself misses it, the platform may only just have been started.
            needs_incident=missed and record is not None and _is_asked(rules, record, About.STATE),
        )


def _unregistered(evidence: Evidence, registry: Mapping[str, NodeRecord]) -> Iterator[Finding]:
    for node, last_ms in sorted((evidence.beats.last_ms if evidence.beats else {}).items()):
        if node not in registry and last_ms <= evidence.now_ms - SILENT_AFTER_MS:
            yield Finding(
                problem=Problem.UNREGISTERED,
                subject=node,
                severity=Severity.WARNING,
                reason=f"its beat of {length(evidence.now_ms - last_ms)} ago is in Kafka, and the registry does not "
                "know it",
            )


def _is_asked(rules: RuleSet, record: NodeRecord, about: About, state: State | None = None) -> bool:
    """Whether a rule in force would make an incident of it."""
    status = replace(record, state=state or record.state).status(about, at_ms=0, reason="")
    return any(
        rule.where.fits(status) and rule.holds(status)
        for rule in rules.rules
        if rule.enabled and isinstance(rule, NodeHealthRule)
    )
