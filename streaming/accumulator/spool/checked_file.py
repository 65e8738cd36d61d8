"""Small files that are written whole and end in a CRC-32 of what they hold."""

from __future__ import annotations

import zlib

from streaming.accumulator.spool.disk import Disk
from streaming.worker.logs import logger

log = logger(__name__)

_CHECK_BYTES = 4


def with_check(data: bytes) -> bytes:
    """What is to be written for `data`."""
    return data + zlib.crc32(data).to_bytes(_CHECK_BYTES)


def read_checked(disk: Disk, name: str) -> bytes | None:
    """What a file holds; None where there is none, or (with a line in the log) it is torn or damaged.

    Raises:
        OSError: it cannot be read.
    """
    if name not in disk.names():
        return None
    raw = disk.read(name, 0, disk.size(name))
    data = raw[:-_CHECK_BYTES]
    if raw == with_check(data) and data:
        return data
    log.error("a small file of the spool is torn or damaged; going on without it", file=name)
    return None
