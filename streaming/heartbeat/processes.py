"""Which processes beat for a node: tells old beats from new ones, and one process from two.

A process is known by its `instance_id`, and by its `seq` where that is one counter that rises. A beat that continues
a known process is new; so is one whose own time is later than all before. What is neither is old: sent or read again.
A process that follows another is a restart; one that comes back after another took its place was never gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from streaming.events.model import Heartbeat
from streaming.heartbeat.messages import NodeRecord

REANCHOR_AFTER = 3
"""So many further beats that rise among themselves, though older than the last known, mean a clock set back,
if they also come at the pace they were sent at: old beats read again come faster."""

LIVE_PACE = 0.5
"""Time passed here, as a share of the time passed at the sender, from which a run of old beats counts as live."""

TRACKS = 4
"""Processes of one node that are remembered: more than two at a time are found out as well as two."""

TURNS = 4
"""So often must processes take each other's place before they count as two: the last beats of one that was restarted
may come behind the first of its successor, which makes two turns."""

TURNS_WITHIN_MS = 60_000
TURNS_WITHIN_INTERVALS = 10.0
"""A turn longer ago than both of these does not count with the next one; after as long without any there is one
process again."""


class Verdict(Enum):
    """What a beat is."""

    OLD = "old"
    CONTINUES = "continues"
    """Of the process that beat last."""
    BEGINS = "begins"
    """Of a process that was not known."""
    RETURNS = "returns"
    """Of a process whose place another had taken."""


@dataclass
class StaleRun:
    """A run of beats of one process whose times rise, but are older than the last one known."""

    first_sent_ns: int
    first_received_ms: int
    last_sent_ns: int
    length: int = 1

    def is_live(self, received_ms: int) -> bool:
        """Long enough, and at the pace of a living sender."""
        sent_ms = (self.last_sent_ns - self.first_sent_ns) / 1_000_000
        return self.length > REANCHOR_AFTER and received_ms - self.first_received_ms >= LIVE_PACE * sent_ms


@dataclass
class Track:
    """A process that has beaten."""

    instance_id: str | None
    seq: int | None
    sent_ns: int | None
    received_ms: int


@dataclass
class Processes:
    """Those of one node. The one that beat last is in the record (`instance_id`, `last_seq`, `last_sent_ns`), which
    is kept; the others are not, so that a monitor that was started again finds two processes a minute later."""

    others: list[Track] = field(default_factory=list)
    stale: dict[str | None, StaleRun] = field(default_factory=dict)
    """By process: two that begin after a clock was set back beat in turn."""
    turns: int = 0
    turned_ms: int = 0

    def take(self, record: NodeRecord, event: Heartbeat, received_ms: int) -> Verdict:
        """Judges a beat and, if it is not old, writes its process into the record."""
        seq, instance, sent_ns = event.seq, event.instance_id, event.timestamp_ns
        if not self.others:
            last = record.last_seq
            counts = instance is not None and seq is not None and last is not None and seq > last
            if counts and instance == record.instance_id:  # nearly every beat
                record.last_seq, record.last_sent_ns = seq, sent_ns
                return Verdict.CONTINUES
        elif received_ms - self.others[-1].received_ms > self._window_ms(record):
            self.others = []  # whoever they were, they are gone
        verdict = self._verdict(record, event, received_ms)
        if verdict is Verdict.OLD:
            return verdict
        if verdict is not Verdict.CONTINUES and record.last_beat_ms is not None:
            self._remember(record)
        if verdict is Verdict.RETURNS:
            self._turn(record, received_ms)
        record.instance_id = instance if instance is not None else record.instance_id
        record.last_seq, record.last_sent_ns = seq, sent_ns
        return verdict

    def introduced(self, record: NodeRecord, instance_id: str) -> bool:
        """A process registered; true if it is another than the one that beat last."""
        if instance_id == record.instance_id:
            return False
        if record.last_beat_ms is not None:
            self._remember(record)
        record.instance_id, record.last_seq = instance_id, None
        self.others = [track for track in self.others if track.instance_id != instance_id]
        return True

    def is_another_alive(self, within_ms: float, received_ms: int, now_ms: int) -> bool:
        """Whether a process beat beside the one that beat last, when that was received: a goodbye of one is not the
        node's then. Where the others are later than that, the clock was set forward meanwhile, and it is now that
        counts."""
        if self.turns == 0 or not self.others:
            return False
        last_ms = max(track.received_ms for track in self.others)
        return (received_ms if received_ms >= last_ms else now_ms) - last_ms <= within_ms

    def are_two(self, record: NodeRecord, now_ms: int) -> bool:
        """Whether more than one process beats, as far as is known."""
        return self.turns >= TURNS and now_ms <= self.until_ms(record)

    def until_ms(self, record: NodeRecord) -> int:
        """How long the last turn counts."""
        return self.turned_ms + self._window_ms(record)

    def clock_was_set(self, by_ms: int) -> None:
        """The receiving clock was set by so much."""
        self.stale.clear()
        self.turned_ms += by_ms
        for track in self.others:
            track.received_ms += by_ms

    # ------------------------------------------------------------------------------------------- within

    def _verdict(self, record: NodeRecord, event: Heartbeat, received_ms: int) -> Verdict:
        """Of processes with the same instance, a counter continues the one nearest below it."""
        seq, instance, sent_ns = event.seq, event.instance_id, event.timestamp_ns
        last_ns = record.last_sent_ns
        later = last_ns is None or sent_ns > last_ns
        if seq is not None:
            named = instance is not None  # without a name a counter proves nothing against the sender's time
            known = [track for track in self.others if track.instance_id == instance and track.seq is not None]
            current = record.last_seq if instance == record.instance_id else None
            below = max((t.seq for t in known if t.seq is not None and t.seq < seq), default=None)
            if current is not None and current < seq and (below is None or current >= below) and (named or later):
                return Verdict.CONTINUES
            if below is not None and (later or (named and current is None)):
                self._forget(instance, below)
                return Verdict.RETURNS
            if named and (known or current is not None) and not later:
                return Verdict.OLD
            if current is not None and later:
                return Verdict.BEGINS  # a counter that begins again under the same name
        elif later and self._was_replaced(instance, sent_ns, record):
            return Verdict.RETURNS
        if later:
            self.stale.pop(instance, None)
            return Verdict.CONTINUES if instance in (None, record.instance_id) else Verdict.BEGINS
        if not self._is_live_run(instance, sent_ns, received_ms):
            return Verdict.OLD
        return Verdict.CONTINUES if instance in (None, record.instance_id) else Verdict.BEGINS

    def _was_replaced(self, instance: str | None, sent_ns: int, record: NodeRecord) -> bool:
        """By name and time alone, where there is no counter."""
        if instance is None or instance == record.instance_id:
            return False
        for track in self.others:
            if track.instance_id == instance and (track.sent_ns is None or sent_ns > track.sent_ns):
                self.others.remove(track)
                return True
        return False

    def _is_live_run(self, instance: str | None, sent_ns: int, received_ms: int) -> bool:
        run = self.stale.get(instance)
        if run is None or sent_ns <= run.last_sent_ns:
            if len(self.stale) >= TRACKS and run is None:
                del self.stale[next(iter(self.stale))]
            self.stale[instance] = StaleRun(sent_ns, received_ms, sent_ns)
            return False
        run.last_sent_ns = sent_ns
        run.length += 1
        if not run.is_live(received_ms):
            return False
        del self.stale[instance]
        return True

    @staticmethod
    def _window_ms(record: NodeRecord) -> int:
        return int(max(TURNS_WITHIN_MS, TURNS_WITHIN_INTERVALS * (record.mean_interval_ms or 0)))

    def _remember(self, record: NodeRecord) -> None:
        """The process of the record is about to be followed by another."""
        track = Track(record.instance_id, record.last_seq, record.last_sent_ns, record.last_beat_ms or 0)
        self.others = [*self.others[-(TRACKS - 2) :], track]

    def _forget(self, instance: str | None, seq: int) -> None:
        self.others = [t for t in self.others if (t.instance_id, t.seq) != (instance, seq)]

    def _turn(self, record: NodeRecord, received_ms: int) -> None:
        self.turns = self.turns + 1 if received_ms <= self.until_ms(record) else 1
        self.turned_ms = received_ms
