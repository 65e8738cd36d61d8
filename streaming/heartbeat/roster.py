"""The nodes that are known, what carries the beats of which, and when to look at which again."""

from __future__ import annotations

from collections.abc import Iterator

from streaming.heartbeat.agenda import Agenda
from streaming.heartbeat.carriers import Carrier
from streaming.heartbeat.messages import NodeRecord
from streaming.heartbeat.node import Node
from streaming.heartbeat.states import PIPELINE_ID, Kind, State

FORGET_AFTER_MS = 7 * 24 * 3_600_000
"""A node that went down on purpose, or was retired, is forgotten after a week without a beat. An accumulator that was
stopped is kept while it is the one through which a node last beat."""

MOST_NODES = 100_000
"""1.2 KB each: 120 MB. Beats of further ones are counted and left: whoever makes up names must not end the monitor."""

AT_ONCE = 0
"""Milliseconds: with the next tick."""


class Roster:
    """All nodes, by id; those that carry the beats of others are in `carriers` as well."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.carriers: dict[str, Carrier] = {}
        self.agenda: Agenda[Node] = Agenda()
        self._unwritten: dict[str, None] = {}

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    # ------------------------------------------------------------------------------------------- coming, going

    def first(self, node_id: str, service: str, now_ms: int, reason: str) -> Node | None:
        """A node that was not known; None where there is no room for it."""
        if len(self.nodes) >= MOST_NODES:
            return None
        return self.add(Kind.NODE, node_id, service, now_ms, reason, State.UP)

    def of_kind(self, kind: Kind, node_id: str, service: str, now_ms: int) -> Node:
        """An accumulator, or the pipeline; made where it is not known."""
        node = self.nodes.get(node_id)
        if node is None:
            return self.add(kind, node_id, service, now_ms, "first beat", State.UP)
        if node.record.kind is not kind:  # some node had taken its name
            node.record.kind = kind
            self.put(node)
        return node

    def add(self, kind: Kind, node_id: str, service: str, now_ms: int, reason: str, state: State) -> Node:
        """A new one."""
        node = Node(
            NodeRecord(
                node_id=node_id,
                service=service,
                state=state,
                since_ms=now_ms,
                first_seen_ms=now_ms,
                last_beat_ms=None,
                mean_interval_ms=None,
                reason=reason,
                kind=kind,
            )
        )
        self.put(node)
        return node

    def put(self, node: Node) -> None:
        """Takes it in, and has it looked at."""
        record = node.record
        self.nodes[record.node_id] = node
        if record.kind is not Kind.NODE:
            self.carriers[record.node_id] = Carrier(record)
        self.agenda.look_at(node, AT_ONCE)

    def drop(self, node: Node, now_ms: int) -> None:
        """Forgets it."""
        node_id = node.record.node_id
        del self.nodes[node_id]
        self._unwritten.pop(node_id, None)
        if carrier := self.carriers.pop(node_id, None):
            self.unpark(carrier, now_ms)
        self.unpark_one(node)

    def is_waited_for(self, accumulator: NodeRecord) -> bool:
        """There are nodes of which nothing is known while it is away: without it they would all be called DOWN."""
        if accumulator.kind is not Kind.ACCUMULATOR or accumulator.state is State.RETIRED:
            return False
        return accumulator.node_id in (node.record.accumulator for node in self)

    # ------------------------------------------------------------------------------------------- carriers

    def carrier_of(self, node: Node) -> Carrier | None:
        """What its beats come through, if that beats itself; None: nothing vouches for it but this monitor."""
        record = node.record
        if record.kind is Kind.NODE:
            found = self.carriers.get(record.accumulator) if record.accumulator else None
        else:
            found = self.carriers.get(PIPELINE_ID) if record.kind is Kind.ACCUMULATOR else None
        return None if found is None or found.record.state is State.RETIRED else found

    def unpark(self, carrier: Carrier, now_ms: int) -> None:
        """What carries them is back: its nodes are watched again."""
        parked, carrier.parked = carrier.parked, set()
        for node_id in parked:
            if node_id in self.nodes:
                self.agenda.look_at(self.nodes[node_id], now_ms + 1)

    def unpark_one(self, node: Node) -> None:
        """It is watched again whatever its carrier does."""
        carrier = self.carrier_of(node)
        if carrier is not None and carrier.parked:
            carrier.parked.discard(node.record.node_id)

    # ------------------------------------------------------------------------------------------- keeping

    def changed(self, node_id: str) -> None:
        """By a beat alone: its record is to be kept now and then."""
        self._unwritten[node_id] = None

    def unwritten(self, limit: int) -> list[NodeRecord]:
        """Records that changed by beats alone: those that wait longest, so many. They count as written."""
        found = []
        for node_id in list(self._unwritten)[:limit] if len(self._unwritten) > limit else list(self._unwritten):
            del self._unwritten[node_id]
            found.append(self.nodes[node_id].record)
        return found


def forget_at(record: NodeRecord) -> int | None:
    """When a node may be forgotten; None: not while it is as it is."""
    at_rest = record.state is State.RETIRED or (record.state is State.DOWN and record.clean_shutdown)
    if not at_rest or record.expected or record.kind is Kind.PIPELINE:
        return None
    return max(record.since_ms, record.last_beat_ms or 0) + FORGET_AFTER_MS
