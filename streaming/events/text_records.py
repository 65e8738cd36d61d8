"""JSON records that hold a line of text and the name of its sender, as Fluentd's tail input makes them: a fast way.

json_dialects.py reads the same records to the same events; whatever holds more is left to it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from streaming import decoding
from streaming.events import lines
from streaming.events.model import LogEvent


class _TextRecord(msgspec.Struct, forbid_unknown_fields=True):
    message: str
    service_name: str | None = None
    node_id: str | None = None


_DECODER: Final = decoding.decoder(_TextRecord)
_DIALECT: Final = "json"


def read(value: bytes, *, received_ns: int, event_ns: int, tag: str) -> LogEvent | None:
    """The log, or None if `value` is any other record, or its text may be an event of its own."""
    try:
        record = _DECODER.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    text, service, node_id = record.message, record.service_name, record.node_id
    # Keys that came twice or were null make more quotation marks: see canonical.py.
    quotes = 4 + 4 * (service is not None) + 4 * (node_id is not None) + text.count('"')
    if value.count(b'"') != quotes or ('"' in text and b"\\u00" in value) or text.lstrip().startswith("{"):
        return None
    if service == "" or node_id == "":
        return None
    event = lines.read(text, received_ns=received_ns, event_ns=event_ns, tag=service or tag)
    event.node_id = node_id or ""
    if event.dialect == lines.PLAIN:
        event.dialect = _DIALECT
    return event
