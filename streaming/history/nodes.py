"""A change of a node as the fields of a document (`NODE_FIELDS`). Pure."""

from __future__ import annotations

from streaming.events.fields import MAX_LONG
from streaming.heartbeat.messages import NodeStatus
from streaming.history.document import Fields, Told, date, name, text, without_none


def told(status: NodeStatus) -> Told:
    """What it says. Each change tells the whole node, so the same fields are right for the last state."""
    node = name(status.node_id)
    fields: Fields = {
        "@timestamp": date(status.at_ms),
        "event": without_none({"kind": "event", "action": status.about.value, "reason": text(status.reason)}),
        "message": text(f"{node} is {status.state.value}" + f": {status.reason}" * bool(status.reason)),
        "service": without_none({"name": name(status.service), "node": {"name": node}}),
        "vigil": without_none(
            {
                "accumulator": name(status.accumulator or ""),
                "node": without_none(
                    {
                        "state": status.state.value,
                        "kind": status.kind.value,
                        "last_beat": None if status.last_beat_ms is None else date(status.last_beat_ms),
                        "silent_ms": min(max(0, status.silent_for_ms), MAX_LONG),
                        "clean_shutdown": status.clean_shutdown,
                        "never_seen": status.never_seen,
                        "duplicate": status.duplicate,
                        "skew_ms": None if status.skew_ms is None else _long(status.skew_ms),
                    }
                ),
            }
        ),
    }
    return Told(status.at_ms, status.node_id, fields, since_ms=None)


def _long(value: float) -> int:
    return round(min(max(value, -1e18), 1e18))
