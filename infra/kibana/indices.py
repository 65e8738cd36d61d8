"""The indices that Vigil writes, as Kibana sees them: their patterns and their fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from infra.kibana.fields import Fields, fields_of
from streaming.alerting.context.documents import KIND as CONTEXTS
from streaming.audit.store import AUDITS
from streaming.elastic import mapping
from streaming.elastic.mapping import Object
from streaming.reports.store import REPORTS


@dataclass(frozen=True)
class Index:
    """All indices of one kind. `pattern` is what a data view is titled."""

    pattern: str
    fields: Fields


@dataclass(frozen=True)
class Indices:
    """Those of one installation."""

    logs: Index
    dead_letters: Index
    audits: Index
    contexts: Index
    reports: Index
    task_logs: Index
    incident_events: Index
    incidents: Index
    node_changes: Index
    nodes: Index

    def by_pattern(self) -> dict[str, Index]:
        """Pattern to index."""
        found = (
            *(self.logs, self.dead_letters, self.audits, self.contexts, self.reports, self.task_logs),
            *(self.incident_events, self.incidents, self.node_changes, self.nodes),
        )
        return {index.pattern: index for index in found}


TASK_LOGS: Object = {
    "@timestamp": {"type": "date"},
    "log_id": {"type": "keyword"},
    "part": {"type": "keyword"},
    "offset": {"type": "long"},
    "message": {"type": "text"},
    "level": {"type": "keyword"},
    "logger": {"type": "keyword"},
    "dag_id": {"type": "keyword"},
    "run_id": {"type": "keyword"},
    "task_id": {"type": "keyword"},
    "map_index": {"type": "integer"},
    "try_number": {"type": "integer"},
}
"""Airflow's task logs, which the plugin `vigil_airflow` writes; infra imports no plugin, so a test holds this against
the plugin's own mapping."""


def indices(index_prefix: str) -> Indices:
    """Those of the installation with this prefix."""

    def of(mappings: Object) -> Fields:
        return fields_of(cast(Object, mappings["properties"]))

    return Indices(
        logs=Index(mapping.logs_pattern(index_prefix), of(mapping.mappings())),
        dead_letters=Index(mapping.dead_letters_pattern(index_prefix), of(mapping.dead_letters_mappings())),
        audits=Index(AUDITS.index(index_prefix, "*"), fields_of(AUDITS.properties)),
        contexts=Index(CONTEXTS.index(index_prefix), fields_of(CONTEXTS.properties)),
        reports=Index(REPORTS.index(index_prefix), fields_of(REPORTS.properties)),
        task_logs=Index(f"{index_prefix}-airflow-logs-*", fields_of(TASK_LOGS)),
        incident_events=Index(mapping.INCIDENTS.events_pattern(index_prefix), of(mapping.INCIDENTS.mappings())),
        incidents=Index(mapping.INCIDENTS.last_pattern(index_prefix), of(mapping.INCIDENTS.mappings())),
        node_changes=Index(mapping.NODES.events_pattern(index_prefix), of(mapping.NODES.mappings())),
        nodes=Index(mapping.NODES.last_pattern(index_prefix), of(mapping.NODES.mappings())),
    )
