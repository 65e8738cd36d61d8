"""Up to where the spool has been synced, noted after each sync and before the acknowledgement that follows it.

The note itself is not synced. On the same boot it is exact, since the kernel holds what a killed process wrote:
what lies behind it was never acknowledged. After a power loss it may be old; then it is a lower bound.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from streaming.accumulator.spool.checked_file import read_checked, with_check
from streaming.accumulator.spool.disk import Disk

SYNCED = "synced"
_FORMAT = struct.Struct(">64p8sQQQQ")
"""Boot (a UUID as text has 36 bytes), incarnation, first sequence and length of the segment, next sequence, events."""


class Synced(NamedTuple):
    """The segment that begins at `segment` is durable up to `length`; below `next_sequence` are `events` events."""

    boot: bytes
    incarnation: str
    segment: int
    length: int
    next_sequence: int
    events: int


def save_synced(disk: Disk, synced: Synced) -> None:
    """Writes it; not durable at once."""
    boot, incarnation, *rest = synced
    disk.overwrite(SYNCED, with_check(_FORMAT.pack(boot, incarnation.encode(), *rest)))


def load_synced(disk: Disk) -> Synced | None:
    """None where there is none, or it is torn."""
    raw = read_checked(disk, SYNCED)
    if raw is None or len(raw) != _FORMAT.size:
        return None
    boot, incarnation, segment, length, next_sequence, events = _FORMAT.unpack(raw)
    return Synced(boot, incarnation.decode("ascii", "replace"), segment, length, next_sequence, events)
