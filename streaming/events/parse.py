"""One Kafka value in, one typed event out, whatever dialect it is written in. No input raises.

What happens to a value, in order:

1. A log of the canonical schema, exactly as documented, is decoded straight into a struct (canonical.py).
2. Any other JSON object is read key by key (json_dialects.py): canonical variants, ECS, OpenTelemetry, the usual
   JSON formatters; the text of a record that holds little else is read as a line.
3. Anything else that is text is a line of text (lines.py), also JSON that is nested too deep for anybody.

Text with some bytes that are not UTF-8 (damaged.py) is read in the same way, these bytes shown as escapes.

For a log nothing is lost: each value of the JSON is in a field, under `labels`, or in `original`.
"""

from __future__ import annotations

from typing import Final

from streaming.events import canonical, damaged, json_dialects, json_text, lines, text_records
from streaming.events.model import Event, Json, LogEvent, Unreadable

EMPTY: Final = "empty"
NOT_UTF8: Final = "not-utf8"
NOT_AN_EVENT: Final = "not-an-event"

REASONS: Final[dict[str, str]] = {
    EMPTY: "no bytes, or white space alone",
    NOT_UTF8: "more than a quarter of the bytes are not UTF-8, or are control characters: this is no text",
    NOT_AN_EVENT: "a JSON object without any key",
    json_dialects.NO_NODE_ID: "a heartbeat or registration that does not say of which node",
    json_dialects.BAD_STATUS: "a heartbeat or registration whose status is neither UP nor DOWN",
}
"""Every reason that `parse` gives, and what it means."""


_BLANK: Final = b" \t\r\n\0\xef\xbb\xbf"
"""A byte order mark counts as no text; it cannot be a part of other characters when it is all there is."""


def parse(value: bytes, *, received_ns: int, event_ns: int = 0, tag: str = "") -> Event | Unreadable:
    """The event that `value` holds.

    `received_ns` is when it was received; `event_ns` the time that the Forward protocol gave it (0 if none);
    both stand in for a time that the event itself lacks. `tag`, its Fluentd tag, stands in for the service name; bytes
    of it that are not UTF-8, which its coordinates keep as lone surrogates, are shown as escapes there.
    Never raises; an `Unreadable` has one of `REASONS`.
    """
    tag = json_text.clean_text(tag)
    if b'"message_type"' in value:
        event = canonical.read(value)
    else:
        event = text_records.read(value, received_ns=received_ns, event_ns=event_ns, tag=tag)
    if event is not None:
        return event
    if not value.strip(_BLANK):
        return Unreadable(reason=EMPTY, detail=f"{len(value)} bytes without a visible character")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        return _damaged(value, str(error), received_ns, event_ns, tag)
    return _json(text, received_ns, event_ns, tag) or lines.read(
        text, received_ns=received_ns, event_ns=event_ns, tag=tag
    )


def _damaged(value: bytes, why: str, received_ns: int, event_ns: int, tag: str) -> Event | Unreadable:
    if not damaged.is_text(value):
        return Unreadable(reason=NOT_UTF8, detail=why)
    shown = damaged.shown(value)
    event = _json(damaged.shown_in_json(value), received_ns, event_ns, tag) or lines.read(
        shown, received_ns=received_ns, event_ns=event_ns, tag=tag
    )
    if isinstance(event, LogEvent):
        event.original = shown
        event.labels = event.labels | {damaged.LABEL: damaged.whole(value)}
    return event


def _json(text: str, received_ns: int, event_ns: int, tag: str) -> Event | Unreadable | None:
    """The event of a JSON object; None for any other text."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json_text.decode(text)
    except json_text.TooDeepError:
        return None
    if found is None or not isinstance(found.value, dict):
        return None
    return _object(found.value, None if found.whole else text, received_ns, event_ns, tag)


def _object(
    record: dict[str, Json], original: str | None, received_ns: int, event_ns: int, tag: str
) -> Event | Unreadable:
    if not record:
        return Unreadable(reason=NOT_AN_EVENT, detail="an empty object")
    event = json_dialects.read(record, received_ns=received_ns, event_ns=event_ns, tag=tag)
    if original is not None and isinstance(event, LogEvent):
        event.original = original
    return event
