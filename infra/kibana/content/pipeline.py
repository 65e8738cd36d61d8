"""The pipeline dashboard: what did not become searchable, and what the audits of the pipeline measured."""

from __future__ import annotations

from infra.kibana.content.queries import PIPELINE_AUDITS
from infra.kibana.content.searches import Searches
from infra.kibana.content.views import Naming, Views
from infra.kibana.making.charts import About, number, over_time, ranking
from infra.kibana.making.dashboards import Dashboard, Row, dashboard
from infra.kibana.making.measures import Top, count, largest, total
from infra.kibana.stored.objects import SavedObject

BY_REASON = Top("dead_letter.reason", "Reason")


def pipeline_dashboard(naming: Naming, views: Views, searches: Searches) -> list[SavedObject]:
    """Its charts, and the dashboard last."""
    rows = (
        Row(6, _numbers(naming, views)),
        Row(12, _dead_letters(naming, views)),
        Row(12, _audits(naming, views)),
        Row(18, (searches.dead_letters,)),
    )
    wanted = Dashboard(
        naming.id("dashboard-pipeline"),
        naming.title("Pipeline"),
        "Dead letters by reason, and what audits of the pipeline measured: lost events, time from log to alert.",
        rows,
        since="now-24h",
    )
    charts = [shown for row in rows for shown in row.shown if shown is not searches.dead_letters]
    return [*charts, dashboard(wanted)]


def _letters(naming: Naming, views: Views, name: str, title: str, query: str = "") -> About:
    return About(naming.id(f"chart-pipeline-{name}"), naming.title(title), views.dead_letters, query=query)


def _audited(naming: Naming, views: Views, name: str, title: str) -> About:
    return About(naming.id(f"chart-pipeline-{name}"), naming.title(title), views.audits, query=PIPELINE_AUDITS)


def _numbers(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        number(_letters(naming, views, "number", "How many dead letters"), count("Dead letters")),
        number(
            _letters(naming, views, "open", "How many were not replayed", "not vigil.replayed_at : *"),
            count("Not replayed"),
        ),
        number(_letters(naming, views, "size", "How large they are"), total("Size", "dead_letter.size")),
        number(
            _audited(naming, views, "lost", "How many events were lost"),
            total("Lost events", "pipeline.lost_events"),
        ),
    )


def _dead_letters(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        over_time(_letters(naming, views, "reasons", "Dead letters by reason"), count("Dead letters"), BY_REASON),
        ranking(
            _letters(naming, views, "workers", "Dead letters by worker and reason"),
            Top("dead_letter.worker", "Worker"),
            count("Dead letters"),
            BY_REASON,
        ),
    )


def _audits(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        over_time(
            _audited(naming, views, "verdicts", "Reconciliation by verdict"),
            count("Audits"),
            Top("pipeline.verify_verdict", "Verdict", 3),
        ),
        over_time(
            _audited(naming, views, "to-alert", "From log to alert, 99th percentile"),
            largest("Log to alert", "pipeline.log_to_alert.p99_ms"),
            series="line",
        ),
        over_time(
            _audited(naming, views, "to-document", "From log to document, 99th percentile"),
            largest("Log to document", "pipeline.log_to_document.p99_ms"),
            series="line",
        ),
    )
