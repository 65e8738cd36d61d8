"""What the heartbeat monitor writes, the registry and the changes of nodes, and the orders that people give it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from streaming.heartbeat.rhythm import Rhythm
from streaming.heartbeat.states import About, Kind, State


class NodeRecord(msgspec.Struct, kw_only=True):
    """One node as the registry (topic `node-registry`, key node_id) knows it. Times by receive time, in ms.

    Written at once when a state changes, otherwise now and then: `last_beat_ms`, `last_seq` and what is learned may
    be half a minute old where there are many nodes (`RECORDS_A_COMMIT` of monitor.py).
    """

    node_id: str
    service: str
    state: State
    since_ms: int
    first_seen_ms: int
    """When it first came; of one that never did, when it was first expected."""
    last_beat_ms: int | None
    mean_interval_ms: float | None
    reason: str
    instance_id: str | None = None
    last_seq: int | None = None
    last_sent_ns: int | None = None
    """The sender's own time of its last beat: tells a replayed beat where there is no `seq`."""
    clean_shutdown: bool = False
    """The node said itself that it goes down: not a failure."""
    kind: Kind = Kind.NODE
    accumulator: str | None = None
    """The one its last beat came through; None where a beat does not say (a real Fluentd, or straight into Kafka)."""
    rhythm: Rhythm = msgspec.field(default_factory=Rhythm)
    """What its silence is measured against."""
    skew_ms: float | None = None
    """Its clock minus its accumulator's, in the middle; what a beat usually takes on its way is part of it."""
    skew_level: int = 0
    """How many of the bounds that rules ask for its clock was told to be beyond."""
    duplicate: bool = False
    """Two processes beat for it."""
    expected: bool = False
    """It is in the inventory."""
    never_seen: bool = False
    """It is in the inventory, and told as one that never came."""
    maintenance_until_ms: int | None = None
    """With state MAINTENANCE: when it ends by itself."""
    ordered_by: str = ""
    """With state MAINTENANCE or RETIRED: who said so."""

    def status(self, about: About, at_ms: int, reason: str) -> NodeStatus:
        """How the node is, as the alert manager is told."""
        return NodeStatus(
            node_id=self.node_id,
            service=self.service,
            state=self.state,
            at_ms=at_ms,
            last_beat_ms=self.last_beat_ms,
            silent_for_ms=max(0, at_ms - (self.last_beat_ms or at_ms)),
            reason=reason,
            clean_shutdown=self.clean_shutdown,
            about=about,
            kind=self.kind,
            accumulator=self.accumulator,
            never_seen=self.never_seen,
            duplicate=self.duplicate,
            skew_ms=self.skew_ms,
        )


class NodeStatus(msgspec.Struct, kw_only=True):
    """A node changed (topic `node-status`, key node_id): what the alert manager makes incidents of. Each change is
    told once; `about` says which it is, and the other fields say how the node is after it."""

    node_id: str
    service: str
    state: State
    at_ms: int
    last_beat_ms: int | None
    silent_for_ms: int
    reason: str
    clean_shutdown: bool = False
    """The node said so itself: no incident is made of it."""
    about: About = About.STATE
    kind: Kind = Kind.NODE
    accumulator: str | None = None
    never_seen: bool = False
    duplicate: bool = False
    skew_ms: float | None = None


class Order(StrEnum):
    """What people say about a node."""

    MAINTENANCE = "maintenance"
    RETIRE = "retire"
    RESTORE = "restore"
    """It is to be watched again."""


class NodeOrder(msgspec.Struct, kw_only=True):
    """An order about a node (topic `node-orders`, key node_id). The last one for each node counts."""

    node_id: str
    order: Order
    at_ms: int
    author: str
    reason: str = ""
    until_ms: int | None = None
    """For MAINTENANCE: when it ends by itself."""
