"""An audit in words: for a task's log and a terminal, and for a message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streaming.alerting.messages import Severity
from streaming.alerting.text import one_line
from streaming.alerting.times import about, at_time
from streaming.audit.findings import Audit, Finding, Latency, PipelineFacts, Problem, Verdict

SHOWN = 50
"""Findings in a log; the document has more."""
LINE_LIMIT = 500

_VERDICTS = {
    Verdict.GOOD: "all is as it should be",
    Verdict.FINDINGS: "something is wrong",
    Verdict.CANNOT_TELL: "nothing known to be wrong; part of it could not be told",
}


def lines(audit: Audit) -> list[str]:
    """The whole audit, a line a fact. Names of nodes and services are what their senders wrote: each line is one."""
    return [one_line(line, LINE_LIMIT) for line in _lines(audit)]


def _lines(audit: Audit) -> Iterator[str]:
    yield f"{audit.kind} audit of {at_time(audit.at_ms)}: {_VERDICTS[audit.verdict]}"
    if audit.facts:
        yield ", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in audit.facts.items() if count)
    if audit.pipeline:
        yield from _pipeline(audit.pipeline)
    for finding in audit.findings[:SHOWN]:
        yield sentence(finding)
    hidden = len(audit.findings) - len(audit.findings[:SHOWN]) + audit.more_findings
    if hidden:
        yield f"... and {hidden:,} more findings"
    for title in audit.raised:
        yield f"incident raised, since none told of it: {title}"
    for title in audit.ended:
        yield f"incident ended: {title}"
    for source, why in audit.away.items():
        yield f"could not be asked: {source}: {why}"


def sentence(finding: Finding) -> str:
    """One finding in a line."""
    service = f" ({finding.service})" if finding.service else ""
    told = f" [incident {finding.incident_id}]" if finding.incident_id else ""
    return f"{_SIGNS[finding.severity]} {finding.problem}: {finding.subject}{service}: {finding.reason}{told}"


def audit_failed(kind: str, reason: str) -> Finding:
    """The finding that an audit itself does not work."""
    return Finding(problem=Problem.OUTAGE, subject=f"{kind} audit", severity=Severity.CRITICAL, reason=reason)


_SIGNS = {
    Severity.CRITICAL: "CRITICAL",
    Severity.ERROR: "ERROR   ",
    Severity.WARNING: "WARNING ",
    Severity.INFO: "INFO    ",
}


def _pipeline(facts: PipelineFacts) -> Iterator[str]:
    spools = f", {facts.in_spools:,} chunks in spools" if facts.in_spools else ""
    yield (
        f"verify: {facts.verify_verdict.replace('_', ' ')}; {facts.records:,} records reconciled in "
        f"{len(facts.offsets)} partitions, {facts.lost_events:,} events lost, {facts.not_indexed:,} records not indexed"
        f"{spools}"
    )
    for place, (first, end) in facts.offsets.items():
        if end > first:
            yield f"  {place}: offsets {first:,} to {end - 1:,}"
    yield f"log to document: {_series(facts.log_to_document)}"
    yield f"log to alert: {_series(facts.log_to_alert)}"


def _series(latency: Latency | None) -> str:
    if latency is None:
        return "not measured"
    each = ", ".join(f"{value:,}" for value in latency.values_ms)
    return f"p50 {latency.p50_ms:,} ms, p99 {latency.p99_ms:,} ms ({each})"


def message(findings: Sequence[Finding], since_ms: int, now_ms: int) -> str:
    """What people are told directly of findings that nobody else tells of."""
    head = (
        f"Vigil cannot tell this by its alerts ({about(now_ms - since_ms)} so far):"
        if now_ms > since_ms
        else ("Vigil cannot tell this by its alerts:")
    )
    shown = [one_line(sentence(finding), LINE_LIMIT) for finding in findings[:10]]
    more = [f"... and {len(findings) - 10} more"] if len(findings) > 10 else []
    return "\n".join([head, *shown, *more])
