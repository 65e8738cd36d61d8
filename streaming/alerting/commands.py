"""Gives the manager an order."""

from __future__ import annotations

import msgspec

from streaming.alerting.messages import Command
from streaming.errors import Unavailable
from streaming.kafka import topics
from streaming.kafka.clients import producer
from streaming.settings import Settings

SEND_WITHIN_S = 10.0


def send_command(settings: Settings, command: Command) -> None:
    """Returns when Kafka has the order; the manager obeys it some milliseconds later.

    Raises:
        Unavailable: Kafka does not answer.
    """
    failures: list[str] = []
    out = producer(settings.bootstrap, message_timeout_ms=int(SEND_WITHIN_S * 1000))
    out.produce(
        settings.topic(topics.COMMANDS),
        key=command.incident_id or command.incident_key,
        value=msgspec.json.encode(command),
        on_delivery=lambda error, _: failures.append(error.str()) if error else None,
    )
    if out.flush(SEND_WITHIN_S + 1) or failures:
        raise Unavailable(f"Kafka at {settings.bootstrap} does not take the order: {failures or 'no answer'}")
