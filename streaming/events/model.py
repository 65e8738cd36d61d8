"""The typed events that every part of Vigil speaks of.

Times in events are integer nanoseconds since the epoch, UTC (names end in `_ns`): Fluentd's EventTime
and OpenTelemetry carry nanoseconds. What decides about events (alerting, heartbeats) counts in
milliseconds (`_ms`), as Kafka does.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """Severity of a log, in rising order; compare by `rank`."""

    TRACE = "TRACE"
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"
    FATAL = "FATAL"

    @property
    def rank(self) -> int:
        """0 for TRACE to 5 for FATAL."""
        return _RANK[self]


_RANK = {level: rank for rank, level in enumerate(Level)}


class NodeState(StrEnum):
    """What a node says of itself in a beat, and what the heartbeat monitor finds."""

    UP = "UP"
    DOWN = "DOWN"


Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class LogEvent(msgspec.Struct, kw_only=True):
    """One log, whatever dialect it came in.

    `timestamp_ns` is the event's own time, or the receive time where the line has none
    (`time_source` says which: "event", "forward" for the Forward protocol's time, "received").
    `labels` holds every key that has no field here, values unchanged. `original` is the text as it came,
    set wherever the fields do not hold every byte of it.
    """

    timestamp_ns: int
    level: Level
    message: str
    service: str = ""
    node_id: str = ""
    log_id: str | None = None
    host: str | None = None
    logger: str | None = None
    process_id: int | None = None
    thread: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    error_stack: str | None = None
    duration_ns: int | None = None
    threshold_ns: int | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    start_ns: int | None = None
    http_method: str | None = None
    http_status: int | None = None
    http_path: str | None = None
    labels: dict[str, Json] = {}
    original: str | None = None
    time_source: str = "event"
    dialect: str = "canonical"


class Heartbeat(msgspec.Struct, kw_only=True):
    """One beat of a node. `seq` and `instance_id` tell a replayed beat from a new one, where sent."""

    node_id: str
    status: NodeState
    timestamp_ns: int
    service: str | None = None
    seq: int | None = None
    instance_id: str | None = None


class Registration(msgspec.Struct, kw_only=True):
    """A node that introduces itself (or, with `status`, an entry of the original's registry)."""

    node_id: str
    service: str
    timestamp_ns: int
    status: NodeState | None = None
    instance_id: str | None = None


class Unreadable(msgspec.Struct, kw_only=True):
    """What cannot be read: goes to the dead letters with its raw bytes.

    `reason` is a short constant that metrics and replays select by (`REASONS` in events/parse.py);
    `detail` is for people.
    """

    reason: str
    detail: str


Event = LogEvent | Heartbeat | Registration
