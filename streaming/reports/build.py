"""Builds the report of a period: counts, compares, and keeps what was told before.

Whatever was told once stays: a report that was built before keeps its numbers when it is built again, and shows what
has come since as a correction. One that was never built, or is of another version, is counted from the documents, up to
the period's cut-off, and so has the numbers that it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import msgspec

from streaming.elastic.connection import Connection
from streaming.errors import VigilError
from streaming.pipeline.reading import latest_status
from streaming.reports import changes
from streaming.reports.counting import WITHIN_S, Counted, LogCounts
from streaming.reports.incidents import incidents_of
from streaming.reports.model import Correction, Line, Report, Tally
from streaming.reports.nodes import nodes_of
from streaming.reports.period import Kind, Period, back, local_text
from streaming.reports.pipeline import pipeline_of
from streaming.reports.templates import TemplateCounts
from streaming.reports.volume import index_sizes, volume_lines
from streaming.settings import Settings
from streaming.templates.reading import read_map

SERVICES_SHOWN = 100


class NotOver(VigilError):
    """The period's cut-off is still to come: a report of it would not be the last word."""

    exit_code = 64  # EX_USAGE of sysexits.h


class _Beside(NamedTuple):
    """A period that the report's is compared with, and what was counted of it; None where that was nothing."""

    period: Period | None = None
    counted: Counted | None = None


def build(settings: Settings, period: Period, now_ms: int, stored: Report | None = None) -> Report:
    """The report of a period; `stored` is the one that was built before, whose numbers stand.

    Raises:
        NotOver: it is too early.
        Unavailable: Elasticsearch or Kafka does not answer.
        Refused: Elasticsearch will not answer.
    """
    if now_ms < period.cutoff_ms:
        raise NotOver(
            f"{period.title} is counted up to {local_text(period.cutoff_ms, period.zone)}, which is still to come. "
            "Build it then, or a period before it"
        )
    with closing(Connection(settings.elastic, timeout_s=WITHIN_S)) as connection:
        if stored is None:
            return _count(settings, connection, period, now_ms)
        counts = LogCounts(connection, settings.index_prefix)
        correction = corrected(stored, counts.count(stored.period), counts.count(stored.period, late=True), now_ms)
    return msgspec.structs.replace(stored, shown_ms=now_ms, correction=correction)


def corrected(stored: Report, now: Counted, late: Counted, now_ms: int) -> Correction:
    """What has come since a report was built, or is gone. Pure.

    Args:
        now: what its cut-off leaves now.
        late: what it leaves out.
    """
    told = {line.name: line.now for line in stored.services}
    here = {name: tally for name, tally in now.services.items() if name in told or not stored.other_services.documents}
    came = changes.joined(late.services, changes.minus(here, told))
    return Correction(
        at_ms=now_ms,
        late=late.total,
        indexed_late=_more(now.total, stored.total.now),
        gone=_more(stored.total.now, now.total),
        services=changes.lines(came, None, None)[:SERVICES_SHOWN],
    )


def _more(one: Tally, other: Tally) -> Tally:
    return changes.minus({"": one}, {"": other}).get("", Tally())


def _count(settings: Settings, connection: Connection, period: Period, now_ms: int) -> Report:
    counts = LogCounts(connection, settings.index_prefix)
    now = counts.count(period)
    before = _beside(counts, back(period, 1))
    week_ago = _beside(counts, back(period, 7)) if period.kind is Kind.DAILY else _Beside()
    services = changes.lines(now.services, _services(before), _services(week_ago))
    shown, others = services[:SERVICES_SHOWN], services[SERVICES_SHOWN:]
    incidents, left_out = incidents_of(settings, period)
    templates = TemplateCounts(connection, settings.index_prefix, read_map(settings))
    sizes = index_sizes(connection, settings.index_prefix)
    notes = [*_behind(settings, period, now_ms)]
    if left_out:
        notes.append(f"{left_out} incidents beyond the first {incidents.opened} are not looked at.")
    return Report(
        period=period,
        built_ms=now_ms,
        shown_ms=now_ms,
        total=changes.total_line(now, before.counted, week_ago.counted),
        levels=changes.level_lines(now, before.counted, week_ago.counted),
        slots=changes.slot_lines(period, now, before.period, before.counted),
        services=shown,
        other_services=changes.sum_of([now.other_services, *(line.now for line in others)]),
        nodes_with_errors=_nodes(counts, period, now, before, week_ago),
        templates=templates.of(period, before.period, week_ago.period),
        volume=volume_lines(now.services, now.in_index, sizes, settings.report_price_per_gb),
        price_per_gb=settings.report_price_per_gb,
        currency=settings.report_currency,
        incidents=incidents,
        nodes=nodes_of(settings, period),
        pipeline=pipeline_of(connection, settings, period),
        elsewhere=counts.elsewhere(period),
        notes=notes,
    )


def _beside(counts: LogCounts, period: Period) -> _Beside:
    counted = counts.count(period)
    return _Beside(period, counted) if counted.total.documents else _Beside()


def _behind(settings: Settings, period: Period, now_ms: int) -> Iterator[str]:
    """Whether logs that belong into the report may not have been indexed yet."""
    status = latest_status(settings)
    indexer = status.workers.get("indexer") if status else None
    if status and indexer and indexer.behind_ms and status.at_ms - indexer.behind_ms < period.cutoff_ms <= now_ms:
        minutes = -(-indexer.behind_ms // 60_000)
        yield (
            f"When this was counted the indexer was {minutes} min behind, so that some logs were missing. Built again, "
            "the report shows them as a correction."
        )


def _services(beside: _Beside) -> dict[str, Tally] | None:
    return None if beside.counted is None else beside.counted.services


def _nodes(counts: LogCounts, period: Period, now: Counted, before: _Beside, week_ago: _Beside) -> list[Line]:
    """Those with the most errors."""
    tallies, then, earlier = (
        None if p is None else counts.count_nodes(p, now.nodes) for p in (period, before.period, week_ago.period)
    )
    found = changes.lines(tallies or {}, then, earlier)
    return [msgspec.structs.replace(line, service=now.nodes.get(line.name, "")) for line in found]
