"""An audit of the pipeline: was anything lost, do a log and an alert that are sent on purpose arrive, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streaming import canary
from streaming.alerting.messages import Severity
from streaming.alerting.state import read_incidents
from streaming.audit.findings import Finding, Latency, PipelineFacts, Problem, audit_of
from streaming.audit.incidents import TOLD_FOR_HOURLY_S
from streaming.audit.run import Result, conclude, outage_findings
from streaming.errors import VigilError
from streaming.events.model import Level
from streaming.settings import Settings
from streaming.verify import Verdict, verify
from streaming.verify.report import Report

PIPELINE = "pipeline"
"""Kind of these audits."""

CANARIES = 5
"""Logs and as many alerts: enough to see an outlier, and 10 s together."""

NAMED = 5
"""Lost events that an incident names; `vigil verify` names all."""

VERIFY, LOG, ALERT = "verify", "canary log", "canary alert"
"""Evidence of this audit, by name."""

Say = Callable[[str], None]


@dataclass
class _Series:
    documents_ms: list[int] = field(default_factory=list)
    alerts_ms: list[int] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    """Of the canaries: `LOG` or `ALERT`, and where they were seen last."""
    away: dict[str, str] = field(default_factory=dict)


def audit_pipeline(
    settings: Settings,
    outage: Mapping[str, str] | None = None,
    *,
    canaries: int = CANARIES,
    say: Say = lambda _text: None,
) -> Result:
    """Reconciles what no earlier run has proven, sends canaries, and raises incidents of what is lost.

    A canary alert that does not arrive is always among `Result.untold`: incidents would not arrive either.

    Args:
        outage: services that do not answer though they are meant to be up, each with why: nothing is asked then.
        say: told what is being done.

    Raises:
        ConfigError: the local file of the document cannot be written.
    """
    now_ms = time.time_ns() // 1_000_000
    away: dict[str, str] = {}
    report, series = None, _Series()
    if outage:
        away = dict.fromkeys((VERIFY, LOG, ALERT), "not asked: the platform does not answer")
    else:
        series = send_canaries(settings, canaries, say)
        report = _verified(settings, away, say)
    away |= series.away
    findings = [
        *outage_findings(outage or {}),
        *_lost_canaries(series),
        *([] if report is None else lost_events(report)),
    ]
    incidents = None
    if not outage:
        try:
            incidents = read_incidents(settings)
        except VigilError as error:
            away["kafka"] = str(error)
    audit = audit_of(PIPELINE, now_ms, findings, away, {}, _facts(report, series))
    found = conclude(settings, audit, incidents, None, told_for_s=TOLD_FOR_HOURLY_S)
    unheard = [f for f in findings if f.problem is Problem.CANARY_LOST and f.subject == ALERT and f not in found.untold]
    return Result(found.audit, [*found.untold, *unheard], found.file, found.not_indexed)


def send_canaries(settings: Settings, number: int, say: Say) -> _Series:
    """Sends so many logs and alerts, one after another, each once the one before has arrived; none more of a kind of
    which one is lost."""
    series = _Series()
    for kind, level, times in (
        (LOG, Level.INFO, series.documents_ms),
        (ALERT, Level.ERROR, series.alerts_ms),
    ):
        say(f"sending {number} times a {kind}")
        try:
            for _ in range(number):
                sent = canary.send_canary(settings, level)
                if kind == LOG:
                    times.append(canary.await_document(settings, sent))
                else:
                    times.append(canary.await_receipt(settings, sent)[canary.Hop.RECEIPTS])
        except canary.CanaryLost as lost:
            series.lost[kind] = str(lost)
        except VigilError as error:
            series.away[kind] = str(error)
    return series


def lost_events(report: Report) -> list[Finding]:
    """The finding that events are lost; none where none are known to be."""
    if report.verdict is not Verdict.LOST:
        return []
    names = [str(one) for one in (*report.missing, *(g for g in report.gaps if g.lost), *report.lost)]
    deleted = sum(p.deleted_unread for p in report.partitions)
    unread = f"; {deleted:,} records were deleted by Kafka's retention before they were indexed" if deleted else ""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    named = f": {', '.join(names[:NAMED])}{more}" if names else ""
    return [
        Finding(
            problem=Problem.LOST,
            subject=PIPELINE,
            severity=Severity.CRITICAL,
            reason=f"{report.lost_events:,} events were accepted and are nowhere{named}{unread}; see `vigil verify`",
            needs_incident=True,
        )
    ]


def _lost_canaries(series: _Series) -> list[Finding]:
    return [
        Finding(
            problem=Problem.CANARY_LOST,
            subject=kind,
            severity=Severity.CRITICAL,
            reason=reason,
            needs_incident=True,
        )
        for kind, reason in series.lost.items()
    ]


def _verified(settings: Settings, away: dict[str, str], say: Say) -> Report | None:
    say("reconciling accumulators, Kafka and Elasticsearch")
    try:
        report = verify(settings, resume=True)
    except VigilError as error:
        away[VERIFY] = str(error)
        return None
    if report.verdict is Verdict.CANNOT_TELL:
        away[VERIFY] = "; ".join(report.unsure[:NAMED])
    return report


def _facts(report: Report | None, series: _Series) -> PipelineFacts | None:
    if report is None and not series.documents_ms and not series.alerts_ms:
        return None
    partitions = report.partitions if report else []
    return PipelineFacts(
        verify_verdict=report.verdict.name.lower() if report else "cannot_tell",
        records=sum(p.records for p in partitions),
        lost_events=report.lost_events if report else 0,
        in_spools=sum(a.backlog_chunks for a in report.accounts) if report else 0,
        not_indexed=sum(p.lag for p in partitions),
        offsets={f"{p.topic}-{p.partition}": (p.verified_from, p.verified_to) for p in partitions},
        log_to_document=Latency.of(series.documents_ms),
        log_to_alert=Latency.of(series.alerts_ms),
    )
