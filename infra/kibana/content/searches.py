"""The saved searches."""

from __future__ import annotations

from dataclasses import dataclass

from infra.kibana.content.queries import ERRORS, HEARTBEAT_AUDITS, NOT_UP, OPEN, REAL
from infra.kibana.content.views import Naming, Views
from infra.kibana.making.searches import Search, search
from infra.kibana.stored.objects import SavedObject

SLOW_NS = 1_000_000_000
"""A request that took a second or longer."""


@dataclass(frozen=True)
class Searches:
    """All of them; dashboards show some."""

    errors: SavedObject
    trace: SavedObject
    node: SavedObject
    slow: SavedObject
    dead_letters: SavedObject
    contexts: SavedObject
    node_findings: SavedObject
    reports: SavedObject
    task_errors: SavedObject
    open_incidents: SavedObject
    incident_history: SavedObject
    nodes_not_up: SavedObject
    node_changes: SavedObject

    def all(self) -> tuple[SavedObject, ...]:
        """In this order."""
        return (
            self.errors,
            self.trace,
            self.node,
            self.slow,
            self.dead_letters,
            self.contexts,
            self.node_findings,
            self.reports,
            self.task_errors,
            self.open_incidents,
            self.incident_history,
            self.nodes_not_up,
            self.node_changes,
        )


def searches(naming: Naming, views: Views) -> Searches:
    """Those of an installation."""
    return Searches(
        errors=search(
            Search(
                naming.id("search-errors"),
                naming.title("Errors of the last hour"),
                "Logs of level ERROR and FATAL, without Vigil's own canaries.",
                views.logs,
                ("service.name", "service.node.name", "error.code", "error.message", "message"),
                query=ERRORS,
                since="now-1h",
                by="service.name",
            )
        ),
        trace=search(
            Search(
                naming.id("search-trace"),
                naming.title("One trace"),
                'Logs that belong to a trace, the oldest first. Add: and trace.id : "ID".',
                views.logs,
                (
                    "trace.id",
                    "span.id",
                    "vigil.parent_span_id",
                    "service.name",
                    "event.duration",
                    "log.level",
                    "message",
                ),
                query="trace.id : *",
                oldest_first=True,
                by="service.name",
            )
        ),
        node=search(
            Search(
                naming.id("search-node"),
                naming.title("One node"),
                'Logs of nodes with when they were received. Add: and service.node.name : "NODE".',
                views.logs,
                ("service.node.name", "log.level", "message", "event.created", "vigil.accumulator"),
                query=f"service.node.name : * and {REAL}",
                by="log.level",
            )
        ),
        slow=search(
            Search(
                naming.id("search-slow"),
                naming.title("Slow requests"),
                "What took a second or longer.",
                views.logs,
                ("service.name", "http.request.method", "url.path", "http.response.status_code", "event.duration"),
                query=f"event.duration >= {SLOW_NS}",
                by="service.name",
            )
        ),
        dead_letters=search(
            Search(
                naming.id("search-dead-letters"),
                naming.title("Dead letters by reason"),
                "What could not be read or indexed. `vigil dead-letters` shows and replays them.",
                views.dead_letters,
                (
                    "dead_letter.reason",
                    "dead_letter.detail",
                    "dead_letter.worker",
                    "dead_letter.topic",
                    "dead_letter.size",
                    "vigil.replayed_at",
                    "event.original",
                ),
                by="dead_letter.reason",
            )
        ),
        contexts=search(
            Search(
                naming.id("search-incident-contexts"),
                naming.title("Contexts of critical incidents"),
                "What was gathered around each critical incident (DAG incident_response). The id is the incident's.",
                views.contexts,
                ("incident.severity", "incident.rule_id", "incident.incident_id", "text"),
                by="incident.rule_id",
            )
        ),
        node_findings=search(
            Search(
                naming.id("search-node-findings"),
                naming.title("What heartbeat audits found"),
                "Audits of nodes that found something.",
                views.audits,
                ("verdict", "findings.problem", "findings.subject", "findings.severity", "findings.incident_id"),
                query=f"{HEARTBEAT_AUDITS} and findings.problem : *",
                by="verdict",
            )
        ),
        reports=search(
            Search(
                naming.id("search-reports"),
                naming.title("Error reports"),
                "Daily and weekly reports, which outlive the logs that they count.",
                views.reports,
                ("period.kind", "period.first_day", "total.now.documents", "total.now.errors"),
                since="now-90d",
            )
        ),
        task_errors=search(
            Search(
                naming.id("search-task-errors"),
                naming.title("Errors of Airflow's tasks"),
                "Lines of task logs of level error and critical.",
                views.task_logs,
                ("dag_id", "task_id", "try_number", "level", "message"),
                query='level : ("error" or "critical")',
                by="dag_id",
            )
        ),
        **_of_incidents(naming, views),
        **_of_nodes(naming, views),
    )


def _of_incidents(naming: Naming, views: Views) -> dict[str, SavedObject]:
    return {
        "open_incidents": search(
            Search(
                naming.id("search-open-incidents"),
                naming.title("Open incidents"),
                "As their last events left them, whatever the time range. `vigil incidents` counts what came since.",
                views.incidents,
                (
                    "vigil.incident.severity",
                    "vigil.incident.state",
                    "rule.id",
                    "message",
                    "vigil.incident.count",
                    "event.start",
                    "vigil.incident.acknowledged_by",
                    "vigil.incident.id",
                ),
                query=OPEN,
                order="event.start",
            )
        ),
        "incident_history": search(
            Search(
                naming.id("search-incident-events"),
                naming.title("History of incidents"),
                'What happened to them and why. Add: and vigil.incident.id : "ID".',
                views.incident_events,
                (
                    "event.action",
                    "vigil.incident.severity",
                    "rule.id",
                    "message",
                    "vigil.actor",
                    "event.reason",
                    "vigil.note.text",
                    "vigil.incident.id",
                ),
                query=REAL,
                by="event.action",
            )
        ),
    }


def _of_nodes(naming: Naming, views: Views) -> dict[str, SavedObject]:
    return {
        "nodes_not_up": search(
            Search(
                naming.id("search-nodes-not-up"),
                naming.title("Nodes that are not up"),
                "DOWN, SUSPECT or UNKNOWN, whatever the time range. The time is that of the last change.",
                views.nodes,
                (
                    "@timestamp",
                    "vigil.node.state",
                    "service.node.name",
                    "service.name",
                    "event.reason",
                    "vigil.node.last_beat",
                    "vigil.node.clean_shutdown",
                ),
                query=f"{NOT_UP} and {REAL}",
                order="@timestamp",
            )
        ),
        "node_changes": search(
            Search(
                naming.id("search-node-changes"),
                naming.title("What changed of nodes"),
                'Changes of state, of clocks and of nodes that beat twice. Add: and service.node.name : "NODE".',
                views.node_changes,
                ("service.node.name", "vigil.node.state", "event.action", "event.reason", "vigil.accumulator"),
                query=REAL,
                by="vigil.node.state",
            )
        ),
    }
