"""Raises the incidents that an audit misses, and looks whether the alert manager has them."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import msgspec

from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.messages import Candidate, Recovery
from streaming.alerting.state import read_incidents
from streaming.kafka import topics
from streaming.kafka.clients import producer
from streaming.kafka.delivery import Delivery
from streaming.settings import Settings

OBEYED_WITHIN_S = 15.0
"""The manager takes a candidate in within some 10 ms; its standby takes over within 5 s, and has to start."""
LOOK_EVERY_S = 0.5


def tell_manager(settings: Settings, found: Sequence[Candidate | Recovery]) -> None:
    """Returns when Kafka has all of them.

    Raises:
        Unavailable: Kafka does not take them; some may have arrived.
    """
    if not found:
        return
    out = Delivery(producer(settings.kafka))
    for one in found:
        out.send(settings.topic(topics.CANDIDATES), msgspec.json.encode(one), key=one.incident_key, headers=[])
    out.settle()


def not_taken(settings: Settings, keys: Collection[str], within_s: float) -> set[str]:
    """Keys of incidents that are still not open after so long: no manager works. Empty as soon as all are.

    Raises:
        Unavailable: Kafka does not answer.
    """
    missing, deadline = set(keys), time.monotonic() + within_s
    while missing:
        missing -= {incident.incident_key for incident in read_incidents(settings) if is_open(incident)}
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(LOOK_EVERY_S)
    return missing
