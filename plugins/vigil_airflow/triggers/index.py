"""Waits for an index to be there and searchable."""

from __future__ import annotations

from typing import Any

from streaming.errors import ConfigError, Unavailable
from vigil_airflow.elastic import VigilElasticsearchHook
from vigil_airflow.outcomes import Outcome, Seen
from vigil_airflow.triggers.polling import PollingTrigger

RANKS = ("red", "yellow", "green")
"""From the worst: yellow has all primaries, so that all of it can be searched; green has all replicas, too."""


class IndexReadyTrigger(PollingTrigger):
    """Fires when an index, alias or data stream exists and its health is at least `health`.

    Args:
        index: its name; several by commas or `*`, then all of them.
        health: yellow or green.
        elasticsearch_conn_id: see `VigilElasticsearchHook`.
        deadline: seconds since the epoch.
    """

    def __init__(self, index: str, health: str, elasticsearch_conn_id: str, deadline: float) -> None:
        super().__init__(deadline)
        self.index, self.health, self.elasticsearch_conn_id = index, health, elasticsearch_conn_id
        self._hook = VigilElasticsearchHook(elasticsearch_conn_id)

    def arguments(self) -> dict[str, Any]:
        """As given."""
        return {"index": self.index, "health": self.health, "elasticsearch_conn_id": self.elasticsearch_conn_id}

    def look(self) -> Seen:
        """Asks Elasticsearch."""
        from elasticsearch import ApiError, TransportError

        if self.health not in RANKS[1:]:
            raise ConfigError(f"no health {self.health!r} can be waited for", remedy="There are: yellow, green")
        try:
            if not self._hook.client.indices.exists(index=self.index, allow_no_indices=False):
                return Seen(Outcome.WAITING, f"there is no index {self.index}")
            found = str(self._hook.client.cluster.health(index=self.index)["status"])
        except TransportError as error:
            raise Unavailable(f"Elasticsearch does not answer ({error.message}). Is it up?") from error
        except ApiError as error:
            if error.status_code in (401, 403):
                raise ConfigError(
                    f"Elasticsearch lets nobody in this way (HTTP {error.status_code})",
                    field=f"connection {self.elasticsearch_conn_id}",
                    remedy="It needs the privilege `monitor` of the index",
                ) from error
            raise Unavailable(f"Elasticsearch answers HTTP {error.status_code}: {error.message}") from error
        met = RANKS.index(found) >= RANKS.index(self.health)
        return Seen(Outcome.MET if met else Outcome.WAITING, f"{self.index} is {found}")

    def close(self) -> None:
        """Disconnects, if it was connected."""
        self._hook.close()
