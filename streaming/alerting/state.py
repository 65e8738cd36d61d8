"""The incidents as the manager last committed them."""

from __future__ import annotations

import msgspec

from streaming.alerting.messages import Incident
from streaming.kafka import topics
from streaming.kafka.compacted import read_all
from streaming.settings import Settings


def read_incidents(settings: Settings) -> list[Incident]:
    """All that are not forgotten, the latest opened first.

    Raises:
        Unavailable: Kafka does not answer.
    """
    values = read_all(settings, topics.INCIDENT_STATE).values()
    incidents = [msgspec.json.decode(value, type=Incident) for value in values]
    return sorted(incidents, key=lambda incident: incident.opened_ms, reverse=True)
