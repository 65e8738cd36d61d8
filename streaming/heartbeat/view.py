"""The nodes as they are now: the registry, joined with the beats of the last seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import Message

from streaming.heartbeat.messages import NodeRecord
from streaming.heartbeat.states import PIPELINE_ID, Kind, State
from streaming.kafka import topics
from streaming.kafka.compacted import read_all, readable
from streaming.kafka.ranges import Bounds, RangeReader
from streaming.settings import Settings

RECENT_MS = 60_000
"""The registry is at most half a minute behind the beats (`RECORDS_A_COMMIT` of monitor.py)."""

RECENT_BEATS = 60_000
"""Beats that are looked through at most, the latest: some 0.3 s."""

READ_WITHIN_S = 5.0


@dataclass(frozen=True)
class NodeView:
    """A node at a moment."""

    record: NodeRecord
    last_beat_ms: int | None
    """By Kafka's clock where its last beat is recent, else as the registry has it."""
    silent_ms: int | None
    phi: float | None
    """How improbable it is that it lives and is silent for so long; None where nothing is learned, or where silence
    means nothing: in maintenance, retired, or down on purpose."""


def seen(record: NodeRecord, recent: Mapping[str, int], now_ms: int) -> NodeView:
    """One node, given when the last beats of nodes came to Kafka."""
    last_ms = recent.get(record.node_id, record.last_beat_ms)
    silent_ms = None if last_ms is None else max(0, now_ms - last_ms)
    at_rest = record.state in (State.MAINTENANCE, State.RETIRED) or record.clean_shutdown
    phi = None if silent_ms is None or at_rest or record.kind is Kind.PIPELINE else record.rhythm.phi(silent_ms)
    return NodeView(record, last_ms, silent_ms, phi)


def read_nodes(settings: Settings, now_ms: int) -> list[NodeView]:
    """All nodes, by service and name. Says how they are also while the monitor is away.

    Raises:
        Unavailable: Kafka does not answer, or the topics are not there.
    """
    records = readable(read_all(settings, topics.NODE_REGISTRY), NodeRecord, topics.NODE_REGISTRY, "vigil")
    recent = _recent_beats(settings, now_ms)
    accumulators = {record.node_id for record in records.values() if record.kind is Kind.ACCUMULATOR}
    if heard := [recent[name] for name in accumulators if name in recent]:
        recent[PIPELINE_ID] = max(heard)
    ordered = sorted(records.values(), key=lambda record: (record.service, record.node_id))
    return [seen(record, recent, now_ms) for record in ordered]


def _recent_beats(settings: Settings, now_ms: int) -> dict[str, int]:
    topic = settings.topic(topics.HEARTBEATS)
    with RangeReader(settings, read_within_s=READ_WITHIN_S) as reader:
        bounds = reader.bounds(topic)
        first = reader.at_time(topic, now_ms - RECENT_MS, bounds)
        ranges = {p: (_latest(first[p], bound, len(bounds)), bound.end) for p, bound in bounds.items()}
        return last_beats(message for batch in reader.read(topic, ranges) for message in batch)


def _latest(first: int, bound: Bounds, partitions: int) -> int:
    return max(first, bound.end - RECENT_BEATS // partitions)


def last_beats(messages: Iterable[Message]) -> dict[str, int]:
    """When the last beat of each node came to Kafka, by the records' keys."""
    found: dict[str, int] = {}
    for message in messages:
        key = message.key()
        if isinstance(key, bytes):
            found[key.decode("utf-8", "replace")] = message.timestamp()[1]
    return found
