"""The incidents as the manager last committed them."""

from __future__ import annotations

from streaming.alerting.messages import Incident
from streaming.kafka import topics
from streaming.kafka.compacted import read_all, readable
from streaming.settings import Settings


def read_incidents(settings: Settings, *, wait_for_open: bool = False) -> list[Incident]:
    """All that are not forgotten and can be read, the latest opened first. `wait_for_open`: see `read_all`.

    Raises:
        Unavailable: Kafka does not answer.
    """
    records = read_all(settings, topics.INCIDENT_STATE, wait_for_open=wait_for_open)
    incidents = readable(records, Incident, topics.INCIDENT_STATE, "manager")
    return sorted(incidents.values(), key=lambda incident: incident.opened_ms, reverse=True)
