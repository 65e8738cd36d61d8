"""What a spool finds on its disk at start: torn tails cut, damage counted and read around, the good kept.

Every segment is read whole, once. Nothing readable is lost and nothing needs to be deleted by hand. A sequence that
may have been given before is not given again: where the end of what was written cannot be read, the next sequence
lies behind all that can have been there, and the gap is a loss that is told.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from streaming.accumulator.spool import segment
from streaming.accumulator.spool.cursor import Cursor, load_cursor
from streaming.accumulator.spool.disk import Disk, read_around
from streaming.accumulator.spool.losses import Kind, Loss, Losses
from streaming.accumulator.spool.segment import Damage, Stored, Walker
from streaming.accumulator.spool.synced import Synced, load_synced
from streaming.worker.logs import logger

log = logger(__name__)

DAMAGED = ".damaged"
"""Behind the name of a segment that had damage and is delivered as far as it can be read."""
LOST_SEGMENT = 1 << 22
"""More chunks than a segment can hold: 64 MiB, and what one commit adds, at 58 bytes and more each."""


@dataclass
class Segment:
    """One file of the spool, good up to `length`. Empty while `last` is below `first`.

    A sealed one is not written to any more. One that is damaged is kept under another name once it is delivered.
    """

    name: str
    first: int
    last: int
    length: int = 0
    events_from: int | None = 0
    """Events of the incarnation before its first; None: not known."""
    events_to: int = 0
    """And up to its end."""
    sealed: bool = False
    damaged: bool = False
    remains: int | None = None
    """Offset of the remains of a failed append that could not be cut. They do not count as long as the next segment is
    there to say by its name that their sequences are its own."""


@dataclass
class Recovered:
    """A spool as it stands. The last segment, if there is one and it is not sealed, is written on."""

    incarnation: str
    segments: list[Segment] = field(default_factory=list)
    next_sequence: int = 1
    events: int = 0
    """Of the incarnation, below `next_sequence`."""
    delivered_to: int = 1
    """The first sequence that is not known to be in Kafka."""
    delivered_events: int | None = 0
    """Below `delivered_to`; None: not known."""
    losses: list[Loss] = field(default_factory=list)


def new_incarnation() -> str:
    """Eight random hexadecimal digits."""
    return os.urandom(4).hex()


def recover(
    disk: Disk, losses: Losses, make_incarnation: Callable[[], str], seen: Callable[[Stored], None]
) -> Recovered:
    """Reads and mends. `losses` are those known before; `seen` is shown each chunk, in order.

    Raises:
        OSError: the disk itself fails.
    """
    cursor, synced = load_cursor(disk), load_synced(disk)
    names = [n for n in disk.names() if segment.parse_name(n)]
    incarnation = _incarnation(names, cursor)
    if incarnation is None:
        return Recovered(make_incarnation(), losses=_lost_with_all(cursor, synced))
    own = [n for n in names if n.endswith(f"-{incarnation}{segment.SUFFIX}")]
    for foreign in sorted(set(names) - set(own)):
        log.error("segment of another spool set aside", segment=foreign, incarnation=incarnation)
        disk.rename(foreign, f"{foreign}.foreign")
    return _Recovery(disk, incarnation, _of(incarnation, cursor), _of(incarnation, synced), losses, seen).run(own)


def _incarnation(names: list[str], cursor: Cursor | None) -> str | None:
    """The incarnation on disk: the cursor's where segments of it exist, else the newest segment's."""
    present = [parsed[1] for n in names if (parsed := segment.parse_name(n))]
    if cursor and cursor.incarnation in present:
        return cursor.incarnation
    return present[-1] if present else None


_Note = TypeVar("_Note", Cursor, Synced)


def _of(incarnation: str, note: _Note | None) -> _Note | None:
    return note if note is not None and note.incarnation == incarnation else None


def _lost_with_all(cursor: Cursor | None, synced: Synced | None) -> list[Loss]:
    """All segments are gone. What is known to have been in them and not in Kafka is lost."""
    if synced is None:
        return []
    delivered = _of(synced.incarnation, cursor)
    first, events = (delivered.next_sequence, delivered.events) if delivered else (1, 0)
    if first >= synced.next_sequence:
        return []
    lost = None if events is None else synced.events - events
    return [Loss("damaged", synced.incarnation, first, synced.next_sequence - 1, lost)]


class _Recovery:
    """One incarnation's segments, walked from the first to the last."""

    def __init__(
        self,
        disk: Disk,
        incarnation: str,
        cursor: Cursor | None,
        synced: Synced | None,
        losses: Losses,
        seen: Callable[[Stored], None],
    ) -> None:
        self._disk, self._cursor, self._synced, self._losses, self._seen = disk, cursor, synced, losses, seen
        self._salt = segment.salt_of(incarnation)
        self._found = Recovered(incarnation)
        self._exact = bool(synced and disk.boot and synced.boot == disk.boot)
        self._expected = 1
        """The sequence that should come next."""
        self._events: int | None = 0
        """Of the incarnation below `_expected`; None: not known."""
        self._events_at_least = 0
        self._tail_events = 0
        """Of chunks with a readable header behind the last that is whole."""

    def run(self, names: list[str]) -> Recovered:
        found = self._found
        firsts = [parsed[0] for n in names if (parsed := segment.parse_name(n))]
        self._begin(firsts[0])
        for (name, first), (_, limit) in pairwise([*zip(names, firsts, strict=True), ("", 0)]):
            found.segments.append(self._segment(name, first, limit or None))
        last = found.segments[-1]
        self._end(last)
        if not last.sealed:
            # What a power loss left unsynced, and reading found whole, is taken for good, so it must be made so.
            self._disk.sync(last.name)
        self._disk.sync_names()
        found.next_sequence, found.events = self._expected, self._events_at_least
        if last.last < last.first and not last.sealed:
            last.events_from = found.events
        if last.sealed:  # a reader finds what is lost at its end
            last.last, last.length, last.events_to = found.next_sequence - 1, self._disk.size(last.name), found.events
        return found

    def _begin(self, first: int) -> None:
        """Where delivery goes on: at the cursor, or, where that is lost or old, at the oldest segment.

        The segments before it were deleted as delivered, after the cursor was written: on this boot, then, a
        cursor before the oldest segment says that one is gone that should not be.
        """
        found, cursor = self._found, self._cursor
        found.delivered_to, found.delivered_events = first, 0 if first == 1 else None
        if cursor and (cursor.next_sequence >= first or self._exact):
            found.delivered_to, found.delivered_events = cursor.next_sequence, cursor.events
        self._expect(found.delivered_to, found.delivered_events)

    def _segment(self, name: str, first: int, limit: int | None) -> Segment:
        """Walks one. Sequences from `limit` on are the remains of a failed append: the next segment has them."""
        kept = Segment(
            name, first, first - 1, 0, self._events_below(first), self._events_at_least, sealed=limit is not None
        )
        size = self._readable_size(kept, limit)
        walker = Walker(lambda offset, length: read_around(self._disk, name, offset, length), self._salt)
        self._tail_events = 0
        for chunk in walker.rest(size):
            if isinstance(chunk, Damage):
                kept.damaged = True
                self._tail_events += chunk.events
            elif kept.last < chunk.sequence and (limit is None or chunk.sequence < limit):
                self._chunk(chunk, in_last=limit is None)
                self._tail_events = 0
                if chunk.sequence == first:
                    kept.events_from = chunk.events_before
                kept.last, kept.length, kept.events_to = chunk.sequence, chunk.end, chunk.events_to
            elif limit is not None and chunk.sequence >= limit and kept.remains is None:
                kept.remains = chunk.end - chunk.size
        kept.damaged = kept.damaged or (limit is not None and kept.last + 1 < limit)
        return kept

    def _events_below(self, sequence: int) -> int | None:
        """Of the incarnation, by what was found and what is known to be lost between."""
        if sequence == self._expected:
            return self._events
        lost = self._losses.events_between(self._found.incarnation, self._expected, sequence - 1)
        return None if self._events is None or lost is None else self._events + lost

    def _readable_size(self, kept: Segment, limit: int | None) -> int:
        """Of the last segment, what lies behind the last sync on this boot was never acknowledged, and is cut."""
        size, note = self._disk.size(kept.name), self._synced
        if limit is not None or not self._exact or note is None or note.segment > kept.first:
            return size
        length = note.length if note.segment == kept.first else 0
        if length >= size:
            return size
        log.warning("torn tail cut", segment=kept.name, bytes=size - length)
        try:
            self._disk.truncate(kept.name, length)
        except OSError:
            kept.sealed = True  # then it stays, and the next segment's first sequence says that it does not count
        return length

    def _chunk(self, chunk: Stored, *, in_last: bool) -> None:
        self._seen(chunk)
        if chunk.sequence > self._expected:
            self._lose(chunk.sequence, chunk.events_before, certain=not in_last)
        if chunk.sequence >= self._expected - 1:
            self._expect(chunk.sequence + 1, chunk.events_to)

    def _expect(self, sequence: int, events: int | None) -> None:
        self._expected, self._events = sequence, events
        self._events_at_least = max(self._events_at_least, events or 0)

    def _lose(self, to: int, events_to: int | None, *, certain: bool = False) -> None:
        """Sequences from the expected one up to below `to` are not there."""
        note, first = self._synced, self._expected
        acknowledged = certain or self._exact or (note is not None and first < note.next_sequence)
        if events_to is None:
            events_to = self._events_below(to)
        events = None if self._events is None or events_to is None else events_to - self._events
        kind: Kind = "damaged" if acknowledged else "in-doubt"
        self._found.losses.append(Loss(kind, self._found.incarnation, first, to - 1, events))
        self._expect(to, events_to)

    def _end(self, last: Segment) -> None:
        """Behind the last chunk that can be read: nothing, a torn write, or damage."""
        size, note = self._disk.size(last.name), self._synced
        tail_events = self._tail_events
        if note and note.next_sequence > self._expected:
            last.damaged = last.sealed = True
            self._lose(note.next_sequence, note.events)
            tail_events = 0
        if last.first > self._expected:
            self._lose(last.first, None, certain=True)
        gone = note is not None and note.segment > last.first
        unread = size - max(last.length, note.length if note and note.segment == last.first else 0)
        if self._exact or not (unread > 0 or gone):
            return
        # A power loss tore the last write, or what was acknowledged is damaged: nobody can tell.
        last.damaged = last.sealed = True
        more = LOST_SEGMENT if gone else unread // segment.SMALLEST + 1
        self._lose(self._expected + more, self._events_at_least + tail_events)
