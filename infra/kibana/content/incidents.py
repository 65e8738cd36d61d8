"""The incident dashboard: what is open now, what was opened and resolved, how long that took, which rules are noisy."""

from __future__ import annotations

from infra.kibana.content.queries import OPEN, REAL
from infra.kibana.content.searches import Searches
from infra.kibana.content.views import Naming, Views
from infra.kibana.making.charts import About, number, over_time, ranking, table
from infra.kibana.making.dashboards import Choice, Dashboard, Row, dashboard
from infra.kibana.making.measures import Top, count, different, latest, percentile
from infra.kibana.stored.objects import SavedObject

RAISED = "findings.incident_id : *"

BEGUN = 'event.action : ("opened" or "reopened")'
RESOLVED = 'event.action : "resolved"'
ACKNOWLEDGED = 'event.action : "acknowledged"'
"""The times are measured by these events alone: later ones of the same incident say them again."""

CRITICAL = 'vigil.incident.severity : "critical"'
SILENCED = 'vigil.incident.state : "silenced"'

TO_RESOLVE, TO_ACKNOWLEDGE = "event.duration", "vigil.incident.time_to_acknowledge"

BY_RULE = Top("rule.id", "Rule")
BY_SEVERITY = Top("vigil.incident.severity", "Severity", 4)


def incident_dashboard(naming: Naming, views: Views, searches: Searches) -> list[SavedObject]:
    """Its charts, and the dashboard last."""
    rows = (
        Row(6, _now(naming, views)),
        Row(12, (searches.open_incidents,)),
        Row(6, _numbers(naming, views)),
        Row(12, _times(naming, views)),
        Row(12, _durations(naming, views)),
        Row(12, _groups(naming, views)),
        Row(14, (_rules(naming, views),)),
        Row(18, (searches.incident_history,)),
    )
    wanted = Dashboard(
        naming.id("dashboard-incidents"),
        naming.title("Incidents"),
        "What is open now, whatever the time range; what was opened and resolved in it, how long that took, which "
        "rules are noisy. Without canaries. How one came about: vigil why.",
        rows,
        (
            Choice("rule.id", "Rule", views.incident_events),
            Choice("vigil.incident.severity", "Severity", views.incident_events),
            Choice("service.name", "Service", views.incident_events),
        ),
        since="now-24h",
    )
    charts = [shown for row in rows for shown in row.shown if shown not in searches.all()]
    return [*charts, dashboard(wanted)]


def _about_now(naming: Naming, views: Views, name: str, title: str, query: str = OPEN) -> About:
    return About(naming.id(f"chart-incidents-{name}"), naming.title(title), views.incidents, query=query)


def _about(naming: Naming, views: Views, name: str, title: str, query: str = "") -> About:
    query = f"{query} and {REAL}" if query else REAL
    return About(naming.id(f"chart-incidents-{name}"), naming.title(title), views.incident_events, query=query)


def _now(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    firing = f'vigil.incident.state : "firing" and {REAL}'
    return (
        number(_about_now(naming, views, "open", "How many incidents are open now"), count("Open now")),
        number(
            _about_now(naming, views, "firing", "How many nobody has acknowledged", firing), count("Not acknowledged")
        ),
        number(
            _about_now(naming, views, "critical", "How many open ones are critical", f"{CRITICAL} and {OPEN}"),
            count("Critical"),
        ),
        number(
            _about_now(naming, views, "silenced", "How many open ones are silenced", f"{SILENCED} and {REAL}"),
            count("Silenced"),
        ),
    )


def _numbers(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        number(_about(naming, views, "opened", "How many were opened or reopened", BEGUN), count("Opened, reopened")),
        number(_about(naming, views, "resolved", "How many were resolved", RESOLVED), count("Resolved")),
        number(
            _about(naming, views, "acknowledge", "Time to acknowledge, median", ACKNOWLEDGED),
            percentile("Time to acknowledge", TO_ACKNOWLEDGE, 50),
        ),
        number(
            _about(naming, views, "resolve", "Time to resolve, median", RESOLVED),
            percentile("Time to resolve", TO_RESOLVE, 50),
        ),
    )


def _times(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        over_time(
            _about(naming, views, "opened-by-rule", "Opened or reopened, by rule", BEGUN), count("Incidents"), BY_RULE
        ),
        over_time(
            _about(naming, views, "resolved-by-rule", "Resolved, by rule", RESOLVED), count("Incidents"), BY_RULE
        ),
    )


def _durations(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        over_time(
            _about(naming, views, "acknowledge-by-severity", "Time to acknowledge, 90th percentile", ACKNOWLEDGED),
            percentile("Time to acknowledge", TO_ACKNOWLEDGE, 90),
            BY_SEVERITY,
            "line",
        ),
        over_time(
            _about(naming, views, "resolve-by-severity", "Time to resolve, 90th percentile", RESOLVED),
            percentile("Time to resolve", TO_RESOLVE, 90),
            BY_SEVERITY,
            "line",
        ),
    )


def _groups(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        ranking(
            _about(naming, views, "noisiest", "Noisiest rules", BEGUN),
            Top("rule.id", "Rule", 15),
            count("Opened, reopened"),
            BY_SEVERITY,
        ),
        over_time(
            _about(naming, views, "happenings", "What happened to incidents"),
            count("Events"),
            Top("event.action", "Event", 10),
        ),
        # An audit's findings are one list: crossed with another field of theirs, they would be mixed up.
        ranking(
            About(
                naming.id("chart-incidents-problems"),
                naming.title("Audits by what they found"),
                views.audits,
                "The controls above do not narrow it.",
                RAISED,
                alone=True,
            ),
            Top("findings.problem", "Problem", 12),
            count("Audits"),
        ),
    )


def _rules(naming: Naming, views: Views) -> SavedObject:
    return table(
        _about(naming, views, "table", "Rules"),
        (Top("rule.id", "Rule", 100),),
        (
            count("Opened", 'event.action : "opened"'),
            count("Reopened", 'event.action : "reopened"'),
            count("Acknowledged", ACKNOWLEDGED),
            count("Escalated", 'event.action : "escalated"'),
            count("Resolved", RESOLVED),
            different("Incidents", "vigil.incident.id"),
            different("Services", "service.name"),
            latest("Last event", "@timestamp"),
        ),
    )
