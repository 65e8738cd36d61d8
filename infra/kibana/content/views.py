"""The data views: one for each kind of index that Vigil writes."""

from __future__ import annotations

from dataclasses import dataclass

from infra.kibana.indices import indices
from infra.kibana.making.data_views import (
    BYTES,
    MILLISECONDS_AS_S,
    NANOSECONDS_AS_MS,
    NANOSECONDS_FOR_PEOPLE,
    PLAIN_NUMBER,
    View,
)
from streaming.elastic.mapping import logs_data_view

OF_INCIDENTS = {
    "event.duration": NANOSECONDS_FOR_PEOPLE,
    "vigil.incident.time_to_acknowledge": NANOSECONDS_FOR_PEOPLE,
    "event.severity": PLAIN_NUMBER,
    "vigil.kafka.offset": PLAIN_NUMBER,
}
OF_NODES = {
    "vigil.node.silent_ms": MILLISECONDS_AS_S,
    "vigil.node.skew_ms": MILLISECONDS_AS_S,
    "vigil.kafka.offset": PLAIN_NUMBER,
}


@dataclass(frozen=True)
class Naming:
    """How the objects of one installation are called: ids begin with its index prefix, so that two installations may
    share a Kibana; titles with a name that people see."""

    prefix: str

    def id(self, name: str) -> str:
        """`vigil-NAME`."""
        return f"{self.prefix}-{name}"

    def title(self, text: str) -> str:
        """`[Vigil] TEXT`, or `[PREFIX] TEXT` where the prefix is another."""
        return f"[{'Vigil' if self.prefix == 'vigil' else self.prefix}] {text}"


@dataclass(frozen=True)
class Views:
    """All of them."""

    logs: View
    dead_letters: View
    audits: View
    contexts: View
    reports: View
    task_logs: View
    incident_events: View
    incidents: View
    """As they are now."""
    node_changes: View
    nodes: View
    """As they are now."""

    def all(self) -> tuple[View, ...]:
        """In this order."""
        return (
            self.logs,
            self.incidents,
            self.incident_events,
            self.nodes,
            self.node_changes,
            self.dead_letters,
            self.audits,
            self.contexts,
            self.reports,
            self.task_logs,
        )


def views(naming: Naming) -> Views:
    """Those of an installation. No format makes a link or markup of log text: fields without one are shown as the text
    that they are."""
    found = indices(naming.prefix)
    return Views(
        logs=View(
            logs_data_view(naming.prefix),
            naming.title("Logs"),
            found.logs,
            formats={
                "event.duration": NANOSECONDS_AS_MS,
                "vigil.threshold": NANOSECONDS_AS_MS,
                "http.response.status_code": PLAIN_NUMBER,
                "process.pid": PLAIN_NUMBER,
                "vigil.sequence": PLAIN_NUMBER,
                "vigil.kafka.offset": PLAIN_NUMBER,
            },
        ),
        dead_letters=View(
            naming.id("dead-letters"),
            naming.title("Dead letters"),
            found.dead_letters,
            formats={
                "dead_letter.size": BYTES,
                "dead_letter.offset": PLAIN_NUMBER,
                "vigil.sequence": PLAIN_NUMBER,
                "vigil.kafka.offset": PLAIN_NUMBER,
            },
            # The letter's bytes again, which `event.original` has as text.
            hidden=("dead_letter.base64",),
        ),
        audits=View(
            naming.id("audits"),
            naming.title("Audits"),
            found.audits,
            time_field="at",
            formats={
                f"pipeline.{what}.{percentile}_ms": MILLISECONDS_AS_S
                for what in ("log_to_document", "log_to_alert")
                for percentile in ("p50", "p99")
            },
        ),
        contexts=View(naming.id("incident-context"), naming.title("Contexts of critical incidents"), found.contexts),
        reports=View(naming.id("reports"), naming.title("Error reports"), found.reports, time_field="period.start_ms"),
        task_logs=View(naming.id("airflow-logs"), naming.title("Airflow task logs"), found.task_logs),
        incident_events=View(
            naming.id("incident-events"),
            naming.title("Events of incidents"),
            found.incident_events,
            formats=OF_INCIDENTS,
        ),
        incidents=View(
            naming.id("incidents"),
            naming.title("Incidents as they are"),
            found.incidents,
            time_field="",
            formats=OF_INCIDENTS,
        ),
        node_changes=View(
            naming.id("node-status"), naming.title("Changes of nodes"), found.node_changes, formats=OF_NODES
        ),
        nodes=View(naming.id("nodes"), naming.title("Nodes as they are"), found.nodes, time_field="", formats=OF_NODES),
    )
