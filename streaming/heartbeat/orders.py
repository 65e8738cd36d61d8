"""Gives the heartbeat monitor an order about a node."""

from __future__ import annotations

import msgspec

from streaming.errors import Unavailable
from streaming.heartbeat.messages import NodeOrder
from streaming.kafka import topics
from streaming.kafka.clients import producer
from streaming.settings import Settings

SEND_WITHIN_S = 10.0


def send_order(settings: Settings, order: NodeOrder) -> None:
    """Returns when Kafka has the order; the monitor obeys it within a second, or when it is next up.

    Raises:
        Unavailable: Kafka does not answer.
    """
    failures: list[str] = []
    out = producer(settings.kafka, message_timeout_ms=int(SEND_WITHIN_S * 1000))
    out.produce(
        settings.topic(topics.NODE_ORDERS),
        key=order.node_id.encode("utf-8", "replace"),
        value=msgspec.json.encode(order),
        on_delivery=lambda error, _: failures.append(error.str()) if error else None,
    )
    if out.flush(SEND_WITHIN_S + 1) or failures:
        raise Unavailable(f"Kafka at {settings.bootstrap} does not take the order: {failures or 'no answer'}")
