"""What the platform found out about itself in a period: audits of the pipeline, and dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.audit.findings import Audit, Verdict
from streaming.audit.pipeline import PIPELINE
from streaming.audit.store import stored_between
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.query import Object
from streaming.reports.model import LatencyPoint, Pipeline
from streaming.reports.period import Period
from streaming.settings import Settings

FINDINGS = 10
"""Complaints that a report shows, each once."""


class _Bucket(msgspec.Struct):
    key: str
    doc_count: int


class _Buckets(msgspec.Struct):
    buckets: list[_Bucket] = []


class _Aggregations(msgspec.Struct):
    reasons: _Buckets = msgspec.field(default_factory=_Buckets)


class _Answer(msgspec.Struct):
    aggregations: _Aggregations | None = None


def pipeline_of(connection: Connection, settings: Settings, period: Period) -> Pipeline:
    """What is known of a period.

    Raises:
        Unavailable, Refused: Elasticsearch does not answer, or not this.
    """
    audits = stored_between(settings, PIPELINE, period.start_ms, period.end_ms)
    return audited(audits, dead_letters(connection, settings.index_prefix, period))


def audited(audits: Sequence[Audit], letters: dict[str, int]) -> Pipeline:
    """What audits of the pipeline say together. Pure.

    A loss is found again by each audit that follows, as long as it is not proven; so what is lost is the most that any
    of them found, and not their sum.
    """
    facts = [audit.pipeline for audit in audits if audit.pipeline is not None]
    complaints = [finding.reason for audit in audits for finding in audit.findings]
    away = [f"{name}: {why}" for audit in audits for name, why in audit.away.items()]
    return Pipeline(
        audits=len(audits),
        failed=sum(audit.verdict is not Verdict.GOOD for audit in audits),
        lost=max((one.lost_events for one in facts), default=0),
        reconciled=sum(one.records for one in facts),
        latency=[
            LatencyPoint(at_ms=audit.at_ms, p50_ms=series.p50_ms, p99_ms=series.p99_ms)
            for audit in audits
            if audit.pipeline is not None and (series := audit.pipeline.log_to_alert) is not None
        ],
        findings=[*dict.fromkeys([*complaints, *away])][:FINDINGS],
        dead_letters=letters,
    )


def dead_letters(connection: Connection, index_prefix: str, period: Period) -> dict[str, int]:
    """By reason, those that were received in a period, the most frequent first: what cannot be read has no time of its
    own that could be trusted.

    Raises:
        Unavailable, Refused: Elasticsearch does not answer, or not this.
    """
    received: Object = {"gte": period.start_ms, "lt": period.end_ms, "format": "epoch_millis"}
    body: Object = {
        "size": 0,
        "track_total_hits": False,
        "query": {"range": {"event.created": received}},
        "aggs": {"reasons": {"terms": {"field": "dead_letter.reason", "size": 50}}},
    }
    pattern = quote(mapping.dead_letters_pattern(index_prefix), safe="*")
    path = f"/{pattern}/_search?ignore_unavailable=true"
    answer = checked(connection.json("POST", path, body), "counting dead letters")
    found = decoding.decode(answer.body, _Answer).aggregations or _Aggregations()
    return {bucket.key: bucket.doc_count for bucket in found.reasons.buckets}
