"""One node: what is kept of it, what is remembered between beats, and how it goes from one state to another."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from streaming.heartbeat.messages import NodeRecord, NodeStatus
from streaming.heartbeat.processes import TURNS, Processes
from streaming.heartbeat.states import About, State

SKEW_WEIGHT = 0.2
"""Of the newest difference of clocks: a clock that was set shows after some ten beats."""

SKEW_BACK = 0.8
"""A clock is within a bound again below this share of it: one that stays at the bound is told once."""

NAMED_CHARACTERS = 60
"""Of a process's name in a reason: names come from beats."""

CAME = (State.UP, State.SUSPECT, State.DOWN)
"""States of a node that was heard of, if only by its registration."""


@dataclass
class Outcome:
    """What an input changed: records to keep at once, changes to tell, nodes to forget, and beats that changed nothing
    since they were old, or since there is no room or no place for them."""

    records: list[NodeRecord] = field(default_factory=list)
    changes: list[NodeStatus] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    replayed: int = 0
    refused: int = 0

    def add(self, other: Outcome) -> None:
        """What came of a further input."""
        self.records += other.records
        self.changes += other.changes
        self.forgotten += other.forgotten
        self.replayed += other.replayed
        self.refused += other.refused


@dataclass(eq=False, slots=True)
class Node:
    """A node, and what is remembered of it between beats but not kept over a restart."""

    record: NodeRecord
    processes: Processes = field(default_factory=Processes)
    queued_ms: int | None = None
    heard_ms: int = 0
    """Receive time of its last beat by its carrier's clock, in `epoch` of that carrier; see `Carrier`."""
    epoch: int = -1
    paused_ms: int = 0
    """`paused_ms` of the carrier then."""
    arrived_ms: int = 0
    """When its last beat was read, by the monitor's clock."""
    skew_level: int = 0
    """How many of the bounds that rules ask for its clock is beyond."""

    @classmethod
    def restored(cls, record: NodeRecord) -> Node:
        """As the registry has it."""
        node = cls(record, skew_level=record.skew_level)
        if record.duplicate:
            node.processes.turns = TURNS
        return node

    def to(self, state: State, now_ms: int, reason: str, *, clean: bool = False) -> Outcome:
        """Into a state; tells of it if it is another than before, or the same in another way;
        and once more if it was told as one that never came, and has come."""
        record = self.record
        # A node that was found silent and then says goodbye after all: its incident is over.
        changed = record.state is not state or (clean and not record.clean_shutdown)
        record.clean_shutdown = clean
        if changed:
            self._enter(state, now_ms, reason)
        came = self.is_missed_in_vain
        if came:
            record.never_seen = False
        if not changed and not came:
            return Outcome(records=[record])
        return Outcome(records=[record], changes=[record.status(About.STATE, now_ms, reason)])

    @property
    def is_missed_in_vain(self) -> bool:
        """It was told as one that never came, and has come: it beat, or only registered."""
        record = self.record
        return record.never_seen and (record.last_beat_ms is not None or record.state in CAME)

    def _enter(self, state: State, now_ms: int, reason: str) -> None:
        record = self.record
        record.state, record.since_ms, record.reason = state, now_ms, reason
        if state is not State.MAINTENANCE:
            record.maintenance_until_ms = None
        if state not in (State.MAINTENANCE, State.RETIRED):
            record.ordered_by = ""

    def measure_skew(self, sent_ns: int, received_ms: int, bounds_ms: Sequence[float]) -> bool:
        """Takes in by how much the sender's clock differs; true if it passed a bound, one way or the other."""
        record, off = self.record, sent_ns / 1_000_000 - received_ms
        skew = record.skew_ms = off if record.skew_ms is None else record.skew_ms + SKEW_WEIGHT * (off - record.skew_ms)
        if not bounds_ms:
            return False
        size, level = abs(skew), self.skew_level
        above = bisect_left(bounds_ms, size)
        if above > level:
            level = above
        elif level and (level > len(bounds_ms) or size < SKEW_BACK * bounds_ms[level - 1]):
            level = bisect_left([SKEW_BACK * bound for bound in bounds_ms], size)
        if level == self.skew_level:
            return False
        self.skew_level = record.skew_level = level
        return True

    def look_for_two(self, now_ms: int) -> Outcome | None:
        """Tells that two processes beat for it, or do so no longer; None if nothing changed."""
        record = self.record
        two = self.processes.are_two(record, now_ms)
        if two is record.duplicate:
            return None
        record.duplicate = two
        if two:
            names = dict.fromkeys([record.instance_id, *(t.instance_id for t in reversed(self.processes.others))])
            known = [name[:NAMED_CHARACTERS] for name in names if name]
            reason = "two processes beat under this name" + (f": {' and '.join(known[:2])}" if known else "")
        else:
            reason = "one process beats under this name again"
        return Outcome(records=[record], changes=[record.status(About.DUPLICATE, now_ms, reason)])
