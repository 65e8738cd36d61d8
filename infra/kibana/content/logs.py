"""The log dashboard: what is logged, by whom, how gravely and how fast."""

from __future__ import annotations

from infra.kibana.content.queries import ERRORS, ONLY_ERRORS, REAL
from infra.kibana.content.searches import Searches
from infra.kibana.content.views import Naming, Views
from infra.kibana.making.charts import About, number, over_time, ranking, table
from infra.kibana.making.dashboards import Choice, Dashboard, Row, dashboard
from infra.kibana.making.measures import Top, count, different, latest, percentile
from infra.kibana.stored.objects import SavedObject

BY_SERVICE = Top("service.name", "Service")
BY_LEVEL = Top("log.level", "Level", 6)


def log_dashboard(naming: Naming, views: Views, searches: Searches) -> list[SavedObject]:
    """Its charts, and the dashboard last."""
    rows = (
        Row(6, _numbers(naming, views)),
        Row(12, _times(naming, views)),
        Row(12, _groups(naming, views)),
        Row(14, _requests(naming, views)),
        Row(16, (_services(naming, views),)),
        Row(18, (searches.errors,)),
    )
    logs = views.logs
    wanted = Dashboard(
        naming.id("dashboard-logs"),
        naming.title("Logs"),
        "What is logged, by which services and nodes, how gravely and how fast.",
        rows,
        (
            Choice("service.name", "Service", logs),
            Choice("service.node.name", "Node", logs),
            Choice("log.level", "Level", logs),
        ),
    )
    charts = [shown for row in rows for shown in row.shown if shown is not searches.errors]
    return [*charts, dashboard(wanted)]


def _about(naming: Naming, views: Views, name: str, title: str, query: str = REAL) -> About:
    return About(naming.id(f"chart-logs-{name}"), naming.title(title), views.logs, query=query)


def _numbers(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        number(_about(naming, views, "number", "How many logs"), count("Logs")),
        number(_about(naming, views, "errors", "How many errors", ERRORS), count("Errors")),
        number(_about(naming, views, "services", "How many services log"), different("Services", "service.name")),
        number(_about(naming, views, "traces", "How many traces"), different("Traces", "trace.id")),
    )


def _times(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        over_time(_about(naming, views, "levels", "Logs by level"), count("Logs"), BY_LEVEL),
        over_time(_about(naming, views, "errors-by-service", "Errors by service", ERRORS), count("Errors"), BY_SERVICE),
    )


def _groups(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        ranking(
            _about(naming, views, "share", "Share of levels by service"),
            BY_SERVICE,
            count("Logs"),
            BY_LEVEL,
            "bar_horizontal_percentage_stacked",
        ),
        ranking(
            _about(naming, views, "codes", "Error codes", ERRORS),
            Top("error.code", "Error code"),
            count("Errors"),
            BY_SERVICE,
        ),
    )


def _requests(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    slowest = percentile("95th percentile", "event.duration", 95)
    return (
        over_time(_about(naming, views, "duration", "Duration, 95th percentile"), slowest, BY_SERVICE, "line"),
        over_time(
            _about(naming, views, "status", "Requests by status", f"http.response.status_code : * and {REAL}"),
            count("Requests"),
            Top("http.response.status_code", "Status", of="number"),
        ),
    )


def _services(naming: Naming, views: Views) -> SavedObject:
    return table(
        _about(naming, views, "table", "Services"),
        (Top("service.name", "Service", 100),),
        (
            count("Logs"),
            count("Errors", ONLY_ERRORS),
            different("Nodes", "service.node.name"),
            percentile("Duration, 95th percentile", "event.duration", 95),
            latest("Last log", "@timestamp"),
        ),
    )
