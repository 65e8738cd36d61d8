"""What the heartbeat monitor writes: the registry and the changes of node state."""

from __future__ import annotations

import msgspec

from streaming.events.model import NodeState


class NodeRecord(msgspec.Struct, kw_only=True):
    """One node as the registry (topic `node-registry`, key node_id) knows it. Times by the monitor's receive time."""

    node_id: str
    service: str
    state: NodeState
    since_ms: int
    first_seen_ms: int
    last_beat_ms: int | None
    mean_interval_ms: float | None
    reason: str
    instance_id: str | None = None
    last_seq: int | None = None
    last_sent_ns: int | None = None
    """The sender's own time of its last beat: tells a replayed beat where there is no `seq`."""
    clean_shutdown: bool = False
    """The node said itself that it goes down: not a failure."""


class NodeStatus(msgspec.Struct, kw_only=True):
    """A node changed its state (topic `node-status`, key node_id): what the alert manager makes incidents of."""

    node_id: str
    service: str
    state: NodeState
    at_ms: int
    last_beat_ms: int | None
    silent_for_ms: int
    reason: str
    clean_shutdown: bool = False
    """The node said so itself: no incident is made of it."""
