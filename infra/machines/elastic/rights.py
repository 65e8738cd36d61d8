"""What each client of Elasticsearch may do: one table, from which the role descriptors of API keys follow. Pure.

Each worker that speaks to Elasticsearch has an API key of its own, with what it needs for its work and nothing else: an
indexer that was taken over can delete no index, and what brings objects to Kibana can read no log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from streaming.elastic import mapping

ROLE = "vigil"
"""Name of the one role of each key."""

KIBANA = "kibana-.kibana"
"""Kibana's application, with the index of its objects."""


@dataclass(frozen=True)
class Rights:
    """Of one client: privileges as Elasticsearch names them.

    `cluster` holds for the cluster. `indices` holds by pattern; `{prefix}` in one is the stem of Vigil's indices.
    `kibana` holds for Kibana's default space.
    """

    cluster: tuple[str, ...] = ()
    indices: Mapping[str, tuple[str, ...]] | None = None
    kibana: tuple[str, ...] = ()


# Single actions where Elasticsearch's named privileges hold more: `manage` would let it delete an index.
_WRITES = (
    "create_index",
    "create",
    "index",
    "view_index_metadata",
    "indices:admin/mapping/put",  # adds fields to indices that exist; marks what is finished
    "indices:admin/settings/update",  # opens a finished index for what comes late
)

CLIENTS: Mapping[str, Rights] = {
    # Writes logs, dead letters and the histories, and makes their templates; nobody else does. Of the histories it
    # reads which state of an incident or node is the newest.
    "indexer": Rights(
        cluster=("monitor", "manage_index_templates"),
        indices={
            "{prefix}-logs-*": _WRITES,
            "{prefix}-dead-letters-*": _WRITES,
            "{prefix}-incident-events-*": _WRITES,
            "{prefix}-incidents-*": (*_WRITES, "read"),
            "{prefix}-node-status-*": _WRITES,
            "{prefix}-nodes": (*_WRITES, "read"),
            # Whether the server can keep indices of mode logsdb is tried with an index of a moment.
            "{prefix}-trial-of-logsdb": (*_WRITES, "delete_index", "maintenance"),
        },
    ),
    # Airflow's tasks and the command line on the host: searches, audits, reports, retention, reindexing, snapshots.
    "control": Rights(
        cluster=("monitor", "manage_index_templates", "manage_ilm", "monitor_snapshot", "create_snapshot"),
        indices={"{prefix}-*": ("all",)},
    ),
    # Brings data views, searches and dashboards.
    "kibana-objects": Rights(kibana=("space_all",)),
}
"""By the client's name, which is also that of its key."""


def descriptors(client: str, index_prefix: str) -> dict[str, object]:
    """`role_descriptors` of a client's key, in the form of Elasticsearch's security API.

    Raises:
        KeyError: there is no such client.
    """
    rights = CLIENTS[client]
    role: dict[str, object] = {"cluster": list(rights.cluster)}
    if rights.indices:
        role["indices"] = [
            {"names": [pattern.replace("{prefix}", index_prefix)], "privileges": list(privileges)}
            for pattern, privileges in rights.indices.items()
        ]
    if rights.kibana:
        role["applications"] = [
            {"application": KIBANA, "privileges": list(rights.kibana), "resources": ["space:default"]}
        ]
    return {ROLE: role}


def fingerprint(client: str, index_prefix: str) -> str:
    """Of what a key may do: kept in its metadata, since Elasticsearch gives descriptors back in a form of its own."""
    return hashlib.sha256(msgspec.json.encode(descriptors(client, index_prefix), order="sorted")).hexdigest()[:32]


def written_patterns(index_prefix: str) -> tuple[str, ...]:
    """Patterns of all indices that the indexer writes, from where they are declared; a test holds the table to them."""
    histories = [
        pattern
        for history in mapping.HISTORIES
        for pattern in (history.events_pattern(index_prefix), history.last_pattern(index_prefix))
    ]
    return (mapping.logs_pattern(index_prefix), mapping.dead_letters_pattern(index_prefix), *histories)
