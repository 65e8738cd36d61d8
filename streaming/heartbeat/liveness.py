"""Whether a node lives: a pure state machine over its registrations, its beats and the clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from streaming.events.model import Heartbeat, NodeState, Registration
from streaming.heartbeat.messages import NodeRecord, NodeStatus

INTERVAL_WEIGHT = 0.2
"""Weight of the newest interval in the moving mean: after 10 beats a changed interval counts for 1 - 0.8^10 = 89 %."""

MISSED_BEATS = 3.0
"""A node that beats slowly is given this many of its own intervals, if that is longer than the deadline."""

LONGEST_DEADLINE_MS = 10 * 60 * 1000
"""However slowly a node beats, ten minutes of silence are noticed."""

REANCHOR_AFTER = 3
"""So many further beats that rise among themselves, though older than the last known, mean a clock set back,
if they also come at the pace they were sent at: old beats read again come faster."""

LIVE_PACE = 0.5
"""Time passed here, as a share of the time passed at the sender, from which a run of old beats counts as live."""


@dataclass
class StaleRun:
    """A run of beats whose times rise, but are older than the last one known."""

    first_sent_ns: int
    first_received_ms: int
    last_sent_ns: int
    length: int = 1

    def is_live(self, received_ms: int) -> bool:
        """Long enough, and at the pace of a living sender."""
        sent_ms = (self.last_sent_ns - self.first_sent_ns) / 1_000_000
        return self.length > REANCHOR_AFTER and received_ms - self.first_received_ms >= LIVE_PACE * sent_ms


@dataclass
class Node:
    """A node, and what is remembered of it between beats but not kept over a restart."""

    record: NodeRecord
    stale: StaleRun | None = None


@dataclass
class Outcome:
    """What an input changed: records to keep, changes of state to tell, and how many beats were old ones."""

    records: list[NodeRecord] = field(default_factory=list)
    changes: list[NodeStatus] = field(default_factory=list)
    replayed: int = 0


class Liveness:
    """All nodes. Times are milliseconds of receive time, so that no sender's clock decides who lives.

    Silence counts from the last beat, but not from before `watch_from`: a monitor that was away itself has
    seen nothing, and must not call everyone dead.
    """

    def __init__(self, deadline_ms: int, records: Sequence[NodeRecord]) -> None:
        self._deadline_ms = deadline_ms
        self._nodes = {record.node_id: Node(record) for record in records}
        self._watching_since_ms: int | None = None
        self._ticked_ms = 0

    def __iter__(self) -> Iterator[NodeRecord]:
        return (node.record for node in self._nodes.values())

    def watch_from(self, now_ms: int) -> None:
        """All beats up to now have been read; from now on silence counts. Call again after every gap in reading."""
        self._watching_since_ms = now_ms

    def stop_watching(self) -> None:
        """Reading lags or has ceased: silence proves nothing until `watch_from`."""
        self._watching_since_ms = None

    def clock_was_set(self, by_ms: int) -> None:
        """The clock was set by so much: what counts from a time in the past counts from the same moment as before."""
        self._ticked_ms += by_ms
        if self._watching_since_ms is not None:
            self._watching_since_ms += by_ms
        for node in self._nodes.values():
            node.stale = None
            node.record.since_ms += by_ms
            if node.record.last_beat_ms is not None:
                node.record.last_beat_ms += by_ms

    def registered(self, event: Registration, received_ms: int) -> Outcome:
        """A node introduced itself. It counts as up from now on, and as silent if no beat follows.

        One that was received before its node was found DOWN is an old one, sent or read again: it revives nobody.
        """
        node = self._nodes.get(event.node_id)
        if node is None:
            node = self._add(event.node_id, event.service, received_ms, "registered")
        elif node.record.state is NodeState.DOWN and received_ms < node.record.since_ms:
            return Outcome(replayed=1)
        record = node.record
        record.service = event.service or record.service
        if event.instance_id and event.instance_id != record.instance_id:
            record.instance_id, record.last_seq = event.instance_id, None
        if event.status is NodeState.DOWN:
            return self._to(node, NodeState.DOWN, received_ms, "the registry says DOWN", clean=True)
        return self._to(node, NodeState.UP, received_ms, "registered")

    def beat(self, event: Heartbeat, received_ms: int) -> Outcome:
        """A beat came. One that is old (sent again, or read again) changes nothing."""
        node = self._nodes.get(event.node_id)
        if node is None:
            node = self._add(event.node_id, event.service or "", received_ms, "first beat")
        elif self._is_old(node, event, received_ms):
            return Outcome(replayed=1)
        record = node.record
        self._learn_interval(record, received_ms)
        record.service = event.service or record.service
        record.last_beat_ms = max(received_ms, record.last_beat_ms or 0)
        record.last_sent_ns = event.timestamp_ns
        record.last_seq = event.seq
        record.instance_id = event.instance_id or record.instance_id
        if event.status is NodeState.DOWN:
            return self._to(node, NodeState.DOWN, received_ms, "the node said that it goes down", clean=True)
        if record.state is NodeState.DOWN and received_ms + self.deadline_ms(record) < self._ticked_ms:
            # It came late, out of a backlog: its node lived then, and has been silent for too long since.
            return Outcome(records=[msgspec.structs.replace(record)])
        return self._to(node, NodeState.UP, received_ms, "beats")

    def tick(self, now_ms: int) -> Outcome:
        """Finds the nodes whose silence is longer than their deadline."""
        outcome = Outcome()
        self._ticked_ms = now_ms
        if self._watching_since_ms is None:
            return outcome
        for node in self._nodes.values():
            record = node.record
            if record.state is NodeState.DOWN:
                continue
            silent_ms = now_ms - max(self._last_sign(record), self._watching_since_ms)
            deadline_ms = self.deadline_ms(record)
            if silent_ms > deadline_ms:
                reason = f"no heartbeat for {silent_ms / 1000:.1f} s (deadline {deadline_ms / 1000:.1f} s)"
                found = self._to(node, NodeState.DOWN, now_ms, reason)
                outcome.records += found.records
                outcome.changes += found.changes
        return outcome

    def deadline_ms(self, record: NodeRecord) -> int:
        """Silence after which this node is DOWN: the configured one, or three of its own intervals if longer."""
        own = int(MISSED_BEATS * (record.mean_interval_ms or 0))
        return max(self._deadline_ms, min(own, LONGEST_DEADLINE_MS))

    def _add(self, node_id: str, service: str, now_ms: int, reason: str) -> Node:
        node = Node(
            NodeRecord(
                node_id=node_id,
                service=service,
                state=NodeState.UP,
                since_ms=now_ms,
                first_seen_ms=now_ms,
                last_beat_ms=None,
                mean_interval_ms=None,
                reason=reason,
            )
        )
        self._nodes[node_id] = node
        return node

    def _last_sign(self, record: NodeRecord) -> int:
        return max(record.last_beat_ms or 0, record.since_ms if record.state is NodeState.UP else 0)

    def _is_old(self, node: Node, event: Heartbeat, received_ms: int) -> bool:
        record = node.record
        same_instance = event.instance_id is not None and event.instance_id == record.instance_id
        if same_instance and event.seq is not None and record.last_seq is not None:
            return event.seq <= record.last_seq
        if record.last_sent_ns is None or event.timestamp_ns > record.last_sent_ns:
            node.stale = None
            return False
        if node.stale is None or event.timestamp_ns <= node.stale.last_sent_ns:
            node.stale = StaleRun(event.timestamp_ns, received_ms, event.timestamp_ns)
            return True
        node.stale.last_sent_ns = event.timestamp_ns
        node.stale.length += 1
        if not node.stale.is_live(received_ms):
            return True
        node.stale = None
        return False

    def _learn_interval(self, record: NodeRecord, received_ms: int) -> None:
        if record.last_beat_ms is None or record.state is NodeState.DOWN:
            return
        interval = max(0, received_ms - record.last_beat_ms)
        mean = record.mean_interval_ms
        record.mean_interval_ms = interval if mean is None else mean + INTERVAL_WEIGHT * (interval - mean)

    def _to(self, node: Node, state: NodeState, now_ms: int, reason: str, *, clean: bool = False) -> Outcome:
        record = node.record
        # A node that was found silent and then says goodbye after all: its incident is over.
        changed = record.state is not state or (clean and not record.clean_shutdown)
        record.clean_shutdown = clean
        if changed:
            record.state, record.since_ms, record.reason = state, now_ms, reason
        outcome = Outcome(records=[msgspec.structs.replace(record)])
        if changed:
            outcome.changes.append(
                NodeStatus(
                    node_id=record.node_id,
                    service=record.service,
                    state=state,
                    at_ms=now_ms,
                    last_beat_ms=record.last_beat_ms,
                    silent_for_ms=max(0, now_ms - (record.last_beat_ms or now_ms)),
                    reason=reason,
                    clean_shutdown=clean,
                )
            )
        return outcome
