"""What a spool finds on its disk at start, mended: torn tails cut, damaged segments set aside, the good kept."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from streaming.accumulator.spool import segment
from streaming.accumulator.spool.cursor import Cursor, load_cursor
from streaming.accumulator.spool.disk import Disk
from streaming.accumulator.spool.segment import Arrived, Damage, Stored, Walker
from streaming.worker.logs import logger

log = logger(__name__)

_SALVAGED = ".salvaged"


@dataclass
class Segment:
    """One file of the spool, known to be good up to `length`. Empty while `last` is below `first`."""

    name: str
    first: int
    last: int
    length: int = 0
    resend_keys: list[bytes] = field(default_factory=list)


@dataclass
class Recovered:
    """A spool as it stands. `segments` is never empty; the last is written on."""

    incarnation: str
    segments: list[Segment]
    next_sequence: int
    delivered_to: int
    """The first sequence that is not known to be in Kafka."""
    backlog_bytes: int


def new_incarnation() -> str:
    """Eight random hexadecimal digits."""
    return os.urandom(4).hex()


def recover(disk: Disk, make_incarnation: Callable[[], str] = new_incarnation) -> Recovered:
    """Reads every segment whole, once. Nothing readable is lost, nothing needs to be deleted by hand.

    Raises:
        OSError: the disk itself fails.
    """
    cursor = load_cursor(disk)
    _finish_salvage(disk)
    names = [n for n in disk.names() if segment.parse_name(n)]
    incarnation = _incarnation(names, cursor)
    if incarnation is None:
        return _empty(disk, make_incarnation())
    found: list[Segment] = []
    backlog = 0
    own = [n for n in names if n.endswith(f"-{incarnation}{segment.SUFFIX}")]
    delivered_to = _delivered_to(own[0], incarnation, cursor)
    for foreign in set(names) - set(own):
        log.error("segment of another spool set aside", segment=foreign, incarnation=incarnation)
        disk.rename(foreign, f"{foreign}.foreign")
    for name in own:
        kept, size = _recover_segment(disk, name, is_last=name == own[-1], delivered_to=delivered_to)
        found.append(kept)
        backlog += size
    # What a killed process wrote and had not synced is taken for good here, so it must be made so.
    disk.sync(own[-1])
    disk.sync_names()
    next_sequence = max(found[-1].last + 1, delivered_to)
    return Recovered(incarnation, found, next_sequence, delivered_to, backlog)


def _incarnation(names: list[str], cursor: Cursor | None) -> str | None:
    """The incarnation on disk: the cursor's where segments of it exist, else the newest segment's."""
    present = [parsed[1] for n in names if (parsed := segment.parse_name(n))]
    if cursor and cursor.incarnation in present:
        return cursor.incarnation
    return present[-1] if present else None


def _delivered_to(oldest: str, incarnation: str, cursor: Cursor | None) -> int:
    """By the cursor, or, where it is lost or old, by the oldest segment: those before it were deleted as delivered."""
    parsed = segment.parse_name(oldest)
    first = parsed[0] if parsed else 1
    return max(first, cursor.next_sequence) if cursor and cursor.incarnation == incarnation else first


def _empty(disk: Disk, incarnation: str) -> Recovered:
    first = Segment(segment.name_of(1, incarnation), 1, 0)
    create(disk, first.name)
    return Recovered(incarnation, [first], 1, 1, 0)


def create(disk: Disk, name: str) -> None:
    """An empty segment whose name is durable."""
    disk.append(name, [])
    disk.sync(name)
    disk.sync_names()


def _recover_segment(disk: Disk, name: str, *, is_last: bool, delivered_to: int) -> tuple[Segment, int]:
    """The segment, mended, and how many of its bytes are yet to be delivered."""
    size = disk.size(name)
    parsed = segment.parse_name(name)
    assert parsed is not None
    kept = Segment(name, parsed[0], parsed[0] - 1)
    damages: list[Damage] = []
    undelivered = 0
    walker = Walker(lambda offset, length: disk.read(name, offset, length))
    for chunk in walker.rest(size):
        if isinstance(chunk, Damage):
            damages.append(chunk)
            continue
        kept.last = chunk.sequence
        kept.resend_keys.append(segment.resend_key(chunk))
        kept.length = chunk.end
        if chunk.sequence >= delivered_to:
            undelivered += chunk.size
    torn = size - kept.length
    damages = [d for d in damages if d.start < kept.length or not is_last]
    if torn and not is_last and not any(d.end > kept.length for d in damages):
        damages.append(Damage(kept.length, size, 0))
    if damages:
        kept.length = _set_aside(disk, name, size, damages)
    elif torn:
        # Never acknowledged: an acknowledgement follows the fsync of all that lies before.
        log.warning("torn tail cut", segment=name, bytes=torn)
        disk.truncate(name, kept.length)
    return kept, undelivered


def _set_aside(disk: Disk, name: str, size: int, damages: list[Damage]) -> int:
    """Keeps a damaged segment as it is under another name, and its readable chunks under its own."""
    walker = Walker(lambda offset, length: disk.read(name, offset, length))
    good = [c for c in walker.rest(size) if isinstance(c, Stored)]
    copy = b"".join(part for c in good for part in segment.encode(_arrived(c), c.sequence))
    lost = sum(b.sequence - a.sequence - 1 for a, b in itertools.pairwise(good))
    disk.replace(name + _SALVAGED, copy)
    disk.rename(name, f"{name}.damaged")
    disk.rename(name + _SALVAGED, name)
    disk.sync_names()
    log.error(
        "damaged segment set aside",
        kept_as=f"{name}.damaged",
        chunks_lost_between=lost,
        events_known_lost=sum(d.events for d in damages),
        bytes_unreadable=sum(d.end - d.start for d in damages),
        chunks_saved=len(good),
    )
    return len(copy)


def _finish_salvage(disk: Disk) -> None:
    """Where a crash came between the two renames of `_set_aside`, or before them."""
    names = disk.names()
    for copy in [n for n in names if n.endswith(_SALVAGED)]:
        name = copy.removesuffix(_SALVAGED)
        if name in names:
            disk.delete(copy)
        else:
            disk.rename(copy, name)


def _arrived(chunk: Stored) -> Arrived:
    return Arrived(chunk.tag, chunk.body, chunk.events, chunk.gzip, chunk.chunk_id, chunk.received_ns, chunk.label)
