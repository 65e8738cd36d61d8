"""What the silence of a node means: since when it counts, from when on it is SUSPECT or DOWN, and the words for it."""

from __future__ import annotations

from streaming.heartbeat.carriers import EVIDENCE_WITHIN_MS, LONGEST_GAP_MS, Carrier
from streaming.heartbeat.messages import NodeRecord
from streaming.heartbeat.node import Node
from streaming.heartbeat.states import Kind, State

MISSED_BEATS = 3.0
"""A node that beats slowly is given this many of its own intervals, if that is longer than the deadline."""

LONGEST_DEADLINE_MS = 10 * 60 * 1000
"""However slowly a node beats, ten minutes of silence are noticed."""

START_DEADLINES = 3
"""A node that is expected and never came, and an accumulator that was not heard since the monitor was started, are told
after so many deadlines: after a reboot everything starts one by one, and this monitor first."""


def deadline_ms(record: NodeRecord, configured_ms: int) -> int:
    """Silence after which this node is DOWN at the latest: the configured one, or three of its own intervals if
    longer."""
    own = int(MISSED_BEATS * (record.mean_interval_ms or 0))
    return max(configured_ms, min(own, LONGEST_DEADLINE_MS))


def limits(node: Node, carrier: Carrier | None, configured_ms: int, now_ms: int) -> tuple[int, int]:
    """Silence from which a node is SUSPECT, and DOWN. What carries others has the whole deadline: it may be
    started again meanwhile, and its nodes wait for it. So has a node that was not heard yet since this monitor or
    its accumulator was started, or since that paused: it may have to be started, or to connect, first."""
    record = node.record
    latest_ms = deadline_ms(record, configured_ms)
    if record.kind is Kind.NODE:
        if not node.arrived_ms or (carrier is not None and not carrier.was_there_since(node.epoch, node.paused_ms)):
            return latest_ms, latest_ms
        down_ms = record.rhythm.down_ms(latest_ms, now_ms)
        return min(record.rhythm.suspect_ms(latest_ms), down_ms), down_ms
    if not node.arrived_ms:
        latest_ms *= START_DEADLINES
    if record.kind is Kind.PIPELINE:
        return latest_ms, latest_ms
    return record.rhythm.suspect_ms(latest_ms), latest_ms


def since_ms(node: Node, carrier: Carrier | None, watching_since_ms: int) -> int:
    """When it began, by the monitor's clock."""
    record = node.record
    since = record.since_ms if record.state in (State.UP, State.UNKNOWN) else 0
    if carrier is None:
        # When its last beat was read, for when it came to Kafka is by Kafka's clock.
        return max(node.arrived_ms or record.last_beat_ms or 0, since, watching_since_ms)
    return max(node.arrived_ms, since, carrier.began_ms, watching_since_ms)


def evidence_within_ms(node: Node, carrier: Carrier) -> int:
    """How long past the node's deadline its carrier is waited for to say that it had delivered until then. One that
    paused lately says so later, by as much of its pause as does not count."""
    uncounted_ms = carrier.uncounted_ms(node.epoch, node.paused_ms)
    return EVIDENCE_WITHIN_MS + min(uncounted_ms, LONGEST_GAP_MS)


def why_down(record: NodeRecord, configured_ms: int, silent_ms: int) -> str:
    """Why a node that has been silent for so long is called DOWN."""
    if record.kind is Kind.PIPELINE:
        return f"no accumulator has delivered anything for {silent_ms / 1000:.1f} s"
    latest_ms = deadline_ms(record, configured_ms)
    if silent_ms > latest_ms:
        return f"no heartbeat for {silent_ms / 1000:.1f} s (deadline {latest_ms / 1000:.1f} s)"
    usual = (record.mean_interval_ms or 0) / 1000
    phi = record.rhythm.phi(silent_ms) or 0
    return f"no heartbeat for {silent_ms / 1000:.1f} s (it beats every {usual:.1f} s; phi {phi:.1f})"


def why_unknown(carrier: Carrier, now_ms: int) -> str:
    """Why nothing can be said of a node whose beats come through this."""
    record = carrier.record
    if record.kind is Kind.PIPELINE:
        return "no accumulator delivers"
    its = f"{record.node_id}, through which its beats come,"
    if record.state is State.DOWN and record.clean_shutdown:
        return f"{its} was stopped"
    if record.state is not State.UP or carrier.is_quiet(now_ms):
        return f"{its} is silent"
    return f"{its} is behind with what it received"
