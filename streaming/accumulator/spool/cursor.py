"""How far a spool has been delivered, kept in a small file of its own.

It is written often and not synced: after a power loss it may be old or torn, and then what was delivered is
produced again with the same coordinates, which the indexer and the matcher recognise.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from streaming.accumulator.spool.disk import Disk

CURSOR = "cursor"
_FORMAT = struct.Struct(">8sQ")
_CRC = struct.Struct(">I")


class Cursor(NamedTuple):
    """All sequences of `incarnation` below `next_sequence` are in Kafka."""

    incarnation: str
    next_sequence: int


def save_cursor(disk: Disk, cursor: Cursor) -> None:
    """Writes it; not durable at once."""
    raw = _FORMAT.pack(cursor.incarnation.encode(), cursor.next_sequence)
    disk.overwrite(CURSOR, raw + _CRC.pack(zlib.crc32(raw)))


def load_cursor(disk: Disk) -> Cursor | None:
    """None where there is none, or it is torn."""
    if CURSOR not in disk.names():
        return None
    raw = disk.read(CURSOR, 0, _FORMAT.size + _CRC.size)
    body = raw[: _FORMAT.size]
    if len(raw) < _FORMAT.size + _CRC.size or raw[_FORMAT.size :] != _CRC.pack(zlib.crc32(body)):
        return None
    incarnation, next_sequence = _FORMAT.unpack(body)
    return Cursor(incarnation.decode("ascii", "replace"), next_sequence)
