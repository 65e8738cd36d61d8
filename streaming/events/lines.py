"""Lines of plain text (working placeholder)."""

from __future__ import annotations

from streaming.events.model import Level, LogEvent


def read(text: str, *, received_ns: int, event_ns: int) -> LogEvent:
    return LogEvent(
        timestamp_ns=event_ns or received_ns,
        level=Level.INFO,
        message=text,
        time_source="forward" if event_ns else "received",
        dialect="text",
    )
