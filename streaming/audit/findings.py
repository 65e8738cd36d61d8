"""What an audit finds, and the document that it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from streaming.alerting.messages import Severity


class Problem(StrEnum):
    """What is wrong with a subject: a node, a worker, the pipeline."""

    SILENT = "silent"
    """A node that should beat does not."""
    ZOMBIE = "zombie"
    """A node beats, and logs nothing."""
    DUPLICATE = "duplicate"
    """Two processes beat under one name."""
    NEVER_SEEN = "never-seen"
    """The inventory expects it, and it never came."""
    SKEWED = "skewed"
    """Its clock is off."""
    UNREGISTERED = "unregistered"
    """It beats, and the registry does not know it: the heartbeat monitor does not see it."""
    MONITOR_DEAD = "monitor-dead"
    """The heartbeat monitor does not work."""
    MONITOR_LATE = "monitor-late"
    """It works, and is behind."""
    LOST = "lost"
    """Events were accepted and are nowhere."""
    CANARY_LOST = "canary-lost"
    """A log or an alert that was sent on purpose did not arrive."""
    OUTAGE = "outage"
    """What is meant to be up does not answer."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of one subject, for people and programs."""

    problem: Problem
    subject: str
    severity: Severity
    reason: str
    service: str = ""
    needs_incident: bool = False
    """Somebody must be told: where no open incident says so, one is raised."""
    incident_id: str = ""
    """The open incident that says so."""

    @property
    def key(self) -> str:
        """The same for the same problem of the same subject."""
        return f"{self.problem} {self.subject}"


class Verdict(StrEnum):
    """An audit in a word. What is only listed (severity info) makes none of it worse."""

    GOOD = "good"
    FINDINGS = "findings"
    CANNOT_TELL = "cannot-tell"
    """Part of the evidence is away, and what is there says nothing bad."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """A series of times in milliseconds, each of one canary, in the order in which they were sent."""

    values_ms: tuple[int, ...]
    p50_ms: int
    p99_ms: int

    @classmethod
    def of(cls, values_ms: Sequence[int]) -> Latency | None:
        """None of no values. Percentiles by nearest rank."""
        if not values_ms:
            return None
        ordered = sorted(values_ms)

        def at(share: float) -> int:
            return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]

        return cls(values_ms=tuple(values_ms), p50_ms=at(0.5), p99_ms=at(0.99))


class PipelineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit of the pipeline measured."""

    verify_verdict: str
    """`proven`, `lost` or `cannot_tell` (`streaming.verify`)."""
    records: int
    """Records of Kafka that were reconciled."""
    lost_events: int
    in_spools: int
    """Chunks that accumulators have not delivered yet."""
    not_indexed: int
    """Records that are not indexed yet."""
    offsets: dict[str, tuple[int, int]]
    """By `topic-partition`: which offsets were reconciled, from the first up to (not including) the second."""
    log_to_document: Latency | None
    """From an accumulator's socket until a search finds the log."""
    log_to_alert: Latency | None
    """From an accumulator's socket until the receipt of the alert is in Kafka."""


class Audit(msgspec.Struct, kw_only=True):
    """The document of one audit: a local file first, then one of index `vigil-audits-*`."""

    kind: str
    """`heartbeat` or `pipeline`."""
    at: str
    """When it began, ISO 8601, UTC."""
    at_ms: int
    verdict: Verdict
    findings: list[Finding]
    more_findings: int = 0
    """Beyond `FINDINGS_KEPT`."""
    away: dict[str, str]
    """Evidence that could not be had: its name, and why."""
    facts: dict[str, int]
    """Counts, by name: nodes by state, beats that were read."""
    raised: list[str]
    """Titles of the incidents that were raised, or told again."""
    ended: list[str]
    """Titles of those of its own incidents that are over."""
    pipeline: PipelineFacts | None = None


FINDINGS_KEPT = 1_000
"""Of one audit: some 300 KB."""


def audit_of(
    kind: str,
    at_ms: int,
    findings: Sequence[Finding],
    away: dict[str, str],
    facts: dict[str, int],
    pipeline: PipelineFacts | None = None,
) -> Audit:
    """The document, with the worst findings first."""
    worst_first = sorted(findings, key=lambda f: (-_RANK[f.severity], f.problem, f.subject))
    wrong = any(finding.severity is not Severity.INFO for finding in findings)
    verdict = Verdict.FINDINGS if wrong else Verdict.CANNOT_TELL if away else Verdict.GOOD
    return Audit(
        kind=kind,
        at=datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        at_ms=at_ms,
        verdict=verdict,
        findings=worst_first[:FINDINGS_KEPT],
        more_findings=max(0, len(worst_first) - FINDINGS_KEPT),
        away=away,
        facts=facts,
        raised=[],
        ended=[],
        pipeline=pipeline,
    )


_RANK = {severity: rank for rank, severity in enumerate(Severity)}
