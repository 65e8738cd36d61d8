"""How far a spool has been delivered, kept in a small file of its own.

It is written often and not synced: after a power loss it may be old or torn, and then what was delivered is
produced again with the same coordinates, which the indexer and the matcher recognise.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from streaming.accumulator.spool.checked_file import read_checked, with_check
from streaming.accumulator.spool.disk import Disk

CURSOR = "cursor"
_FORMAT = struct.Struct(">8sQQ")
_NOT_KNOWN = 2**64 - 1


class Cursor(NamedTuple):
    """All sequences of `incarnation` below `next_sequence` are in Kafka (or told as lost); they held `events`
    (None: not known)."""

    incarnation: str
    next_sequence: int
    events: int | None


def save_cursor(disk: Disk, cursor: Cursor) -> None:
    """Writes it; not durable at once."""
    events = _NOT_KNOWN if cursor.events is None else cursor.events
    disk.overwrite(CURSOR, with_check(_FORMAT.pack(cursor.incarnation.encode(), cursor.next_sequence, events)))


def load_cursor(disk: Disk) -> Cursor | None:
    """None where there is none, or it is torn."""
    raw = read_checked(disk, CURSOR)
    if raw is None or len(raw) != _FORMAT.size:
        return None
    incarnation, next_sequence, events = _FORMAT.unpack(raw)
    return Cursor(incarnation.decode("ascii", "replace"), next_sequence, None if events == _NOT_KNOWN else events)
