"""The node dashboard: how each node is and how often that changed, what it logs, and what the heartbeat audits say."""

from __future__ import annotations

from infra.kibana.content.queries import ERRORS, HEARTBEAT_AUDITS, ONLY_ERRORS, REAL, REAL_NODES, UNCLEAN
from infra.kibana.content.searches import Searches
from infra.kibana.content.views import Naming, Views
from infra.kibana.making.charts import About, number, over_time, ranking, table
from infra.kibana.making.dashboards import Choice, Dashboard, Row, dashboard
from infra.kibana.making.measures import Top, count, different, latest
from infra.kibana.stored.objects import SavedObject

BY_NODE = Top("service.node.name", "Node")
BY_STATE = Top("vigil.node.state", "State", 6)

LOST = f'event.action : "state" and vigil.node.state : "DOWN" and {UNCLEAN} and {REAL_NODES}'


def node_dashboard(naming: Naming, views: Views, searches: Searches) -> list[SavedObject]:
    """Its charts, and the dashboard last."""
    rows = (
        Row(6, _now(naming, views)),
        Row(12, (searches.nodes_not_up,)),
        Row(12, _changes(naming, views)),
        Row(18, (searches.node_changes,)),
        Row(6, _numbers(naming, views)),
        Row(12, _times(naming, views)),
        Row(16, (_nodes(naming, views),)),
        Row(12, _carriers(naming, views)),
        Row(12, _audits(naming, views)),
        Row(18, (searches.node,)),
    )
    wanted = Dashboard(
        naming.id("dashboard-nodes"),
        naming.title("Nodes"),
        "Which nodes are down now, whatever the time range; what changed in it, what each node logs and through which "
        "accumulator, what heartbeat audits found.",
        rows,
        (
            Choice("service.node.name", "Node", views.logs),
            Choice("service.name", "Service", views.logs),
            Choice("vigil.accumulator", "Accumulator", views.logs),
        ),
    )
    charts = [shown for row in rows for shown in row.shown if shown not in searches.all()]
    return [*charts, dashboard(wanted)]


def _about(naming: Naming, views: Views, name: str, title: str, query: str = REAL) -> About:
    return About(naming.id(f"chart-nodes-{name}"), naming.title(title), views.logs, query=query)


def _about_now(naming: Naming, views: Views, state: str, title: str) -> About:
    query = f'vigil.node.state : "{state}" and {UNCLEAN} and {REAL_NODES}'
    return About(naming.id(f"chart-nodes-now-{state.lower()}"), naming.title(title), views.nodes, query=query)


def _about_changes(naming: Naming, views: Views, name: str, title: str, query: str = REAL_NODES) -> About:
    return About(naming.id(f"chart-nodes-{name}"), naming.title(title), views.node_changes, query=query)


def _audited(naming: Naming, views: Views, name: str, title: str) -> About:
    """Audits have no field of the controls: a chosen node would leave nothing of them."""
    return About(
        naming.id(f"chart-nodes-{name}"),
        naming.title(title),
        views.audits,
        "The controls above do not narrow it.",
        HEARTBEAT_AUDITS,
        alone=True,
    )


def _now(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        number(_about_now(naming, views, "DOWN", "How many nodes are DOWN now"), count("Down now")),
        number(_about_now(naming, views, "SUSPECT", "How many nodes are SUSPECT now"), count("Suspect now")),
        number(_about_now(naming, views, "UNKNOWN", "Of how many nodes nothing is known now"), count("Unknown now")),
        number(_about_now(naming, views, "MAINTENANCE", "How many nodes are in maintenance"), count("In maintenance")),
        # Not how many are UP: one that never changed since its first beat is told by no change.
        number(
            _about_changes(naming, views, "changed", "How many nodes changed"),
            different("Changed", "service.node.name"),
        ),
    )


def _changes(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    changes = f'event.action : "state" and {REAL_NODES}'
    return (
        over_time(_about_changes(naming, views, "changes", "Changes of state", changes), count("Changes"), BY_STATE),
        ranking(
            _about_changes(naming, views, "restless", "Changes of state by node", changes),
            Top("service.node.name", "Node", 20),
            count("Changes"),
            BY_STATE,
        ),
        ranking(
            _about_changes(naming, views, "lost-by-service", "How often nodes went DOWN, by service", LOST),
            Top("service.name", "Service"),
            count("Times DOWN"),
        ),
    )


def _numbers(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    nodes = different("Nodes", "service.node.name")
    return (
        number(_about(naming, views, "number", "How many nodes log"), nodes),
        number(_about(naming, views, "failing", "How many nodes log errors", ERRORS), nodes),
        number(_about(naming, views, "hosts", "How many hosts"), different("Hosts", "host.name")),
        number(
            _audited(naming, views, "audits", "How many heartbeat audits found something"),
            count("Audits with findings", 'verdict : "findings"'),
        ),
    )


def _times(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        over_time(_about(naming, views, "logs", "Logs by node"), count("Logs"), BY_NODE, "line"),
        over_time(_about(naming, views, "errors", "Errors by node", ERRORS), count("Errors"), BY_NODE),
    )


def _nodes(naming: Naming, views: Views) -> SavedObject:
    return table(
        _about(naming, views, "table", "Nodes"),
        (Top("service.node.name", "Node", 200), Top("service.name", "Service", 3)),
        (
            count("Logs"),
            count("Errors", ONLY_ERRORS),
            latest("Last log", "@timestamp"),
            latest("Last received", "event.created"),
            different("Accumulators", "vigil.accumulator"),
        ),
    )


def _carriers(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        over_time(
            _about(naming, views, "accumulators", "Logs by accumulator"),
            count("Logs"),
            Top("vigil.accumulator", "Accumulator", 20),
        ),
        ranking(
            _about(naming, views, "times", "Where the time of logs comes from"),
            BY_NODE,
            count("Logs"),
            Top("vigil.time_source", "Time from", 5),
            "bar_horizontal_percentage_stacked",
        ),
    )


def _audits(naming: Naming, views: Views) -> tuple[SavedObject, ...]:
    return (
        over_time(
            _audited(naming, views, "verdicts", "Heartbeat audits by verdict"),
            count("Audits"),
            Top("verdict", "Verdict", 3),
        ),
        ranking(
            _audited(naming, views, "problems", "Heartbeat audits by what they found"),
            Top("findings.problem", "Problem", 12),
            count("Audits"),
        ),
        ranking(
            _audited(naming, views, "subjects", "Heartbeat audits by node"),
            Top("findings.subject", "Node", 15),
            count("Audits"),
        ),
    )
