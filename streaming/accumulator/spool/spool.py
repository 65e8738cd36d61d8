"""The spool: chunks made durable before they are acknowledged, in order, each under a sequence for ever.

`Spool` does one thing at a time and knows nothing of threads but that one appends while another reads;
`streaming.accumulator.spool.commit` joins the appends of many connections into one fsync.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from streaming.accumulator.spool import segment
from streaming.accumulator.spool.cursor import Cursor, save_cursor
from streaming.accumulator.spool.disk import Disk, read_around
from streaming.accumulator.spool.losses import Loss, Losses
from streaming.accumulator.spool.reader import Reader
from streaming.accumulator.spool.recovery import DAMAGED, Segment, new_incarnation, recover
from streaming.accumulator.spool.segment import Arrived, Checked, Stored
from streaming.accumulator.spool.synced import Synced, save_synced
from streaming.accumulator.spool.window import ResendWindow
from streaming.worker.logs import logger

log = logger(__name__)

MIB = 1024 * 1024
SEGMENT_BYTES = 64 * MIB
"""A segment is deleted whole once it is delivered, so up to this much delivered data stays on disk."""
SEGMENT_LEAST = 64 * 1024
"""A small spool is parted in sixteen, so that deleting one frees something; not in smaller pieces than this."""
CURSOR_EVERY_S = 0.2
"""A killed process produces again what it delivered in this time at most."""
TIDY_AGAIN_S = 1.0
"""After a disk refused a deletion."""
DAMAGED_KEPT = 4
"""Segments that had damage and are delivered: evidence for a person, at most 256 MiB of it."""
FOLLOWED_PREFIX = b"tail-"
FOLLOWED_KEPT = 2_000
"""Chunk ids of followed files say which bytes of a file they hold, so these are kept as they are; at one batch of
lines a look (0.25 s), eight minutes of one file."""


class _Failed(Enum):
    """What the last append failed at: writing (its remains can be cut) or syncing (nothing is known of the file)."""

    WRITE = 1
    SYNC = 2


def segment_bytes_for(limit_bytes: int) -> int:
    """Length of segments of a spool that may hold so much."""
    return min(SEGMENT_BYTES, max(SEGMENT_LEAST, limit_bytes // 16))


class Extent(NamedTuple):
    """How far a segment can be read."""

    name: str
    last: int
    length: int
    events_to: int


class Spool:
    """A folder of segments. One thread may append while another reads and reports deliveries.

    `report` hears of each loss (see `streaming.accumulator.spool.losses`) from whichever thread finds it.
    `clock` is monotonic, `wall` the time of day, both in seconds.

    Raises:
        OSError: the folder cannot be read or mended at start; later from `append` and from reading.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        window: ResendWindow | None = None,
        report: Callable[[Loss], None] = lambda _: None,
        make_incarnation: Callable[[], str] = new_incarnation,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.disk, self._segment_bytes, self.clock, self._wall = disk, segment_bytes, clock, wall
        self._window = window or ResendWindow()
        self._window.load(disk, wall())
        self._followed_ids: deque[bytes] = deque(maxlen=FOLLOWED_KEPT)
        self._losses = Losses(disk, report)
        found = recover(disk, self._losses, make_incarnation, self._see)
        for loss in found.losses:
            self._losses.add(loss)
        self.incarnation = found.incarnation
        self.salt = segment.salt_of(found.incarnation)
        self._segments = found.segments
        self._next_sequence, self._events = found.next_sequence, found.events
        self._delivered_to, self._delivered_events = found.delivered_to, found.delivered_events
        self._settled_to, self._settled_bytes = found.delivered_to, 0
        self._read_to = found.delivered_to - 1
        self._failed: _Failed | None = None
        self._reading_fails_since: float | None = None
        self._cursor_saved = 0
        self._cursor_saved_at = clock()
        self._tidy_at = clock()
        self._lock = threading.Lock()
        self._grown = threading.Condition(self._lock)
        self._waiting_bytes = self._backlog_bytes = self._backlog_after(found.delivered_to - 1, None)
        if self._segments and (self._segments[-1].sealed or self._segments[-1].last + 1 != self._next_sequence):
            self._new_segment()  # before the notes that told where the last one ended are written anew
        self._note_synced()
        self.save_cursor()

    def _see(self, chunk: Stored) -> None:
        """At start, of each chunk on disk."""
        self._window.add([segment.resend_key(chunk)], chunk.received_ns / 1e9)
        if chunk.chunk_id.startswith(FOLLOWED_PREFIX):
            self._followed_ids.append(chunk.chunk_id)

    # ------------------------------------------------------------------------------------------ its state

    @property
    def delivered_to(self) -> int:
        """The first sequence that is not known to be in Kafka."""
        return self._delivered_to

    @property
    def next_sequence(self) -> int:
        """What the next chunk will be."""
        return self._next_sequence

    @property
    def events(self) -> int:
        """Events of this incarnation below `next_sequence`, lost ones too."""
        return self._events

    @property
    def backlog_bytes(self) -> int:
        """Bytes on disk that are not yet in Kafka."""
        return self._backlog_bytes

    @property
    def waiting_bytes(self) -> int:
        """Bytes on disk that Kafka has not confirmed. Less than the backlog, which holds also what is in Kafka and
        not yet in the ledger."""
        return self._waiting_bytes

    @property
    def settled_bytes(self) -> int:
        """Bytes that Kafka confirmed since the start of this process."""
        return self._settled_bytes

    @property
    def chunk_ids(self) -> list[bytes]:
        """The ids of the last chunks of followed files, the oldest first."""
        with self._lock:
            return list(self._followed_ids)

    def knows(self, resend_key: bytes) -> bool:
        """Whether this chunk is durable here already (within the window). Without an id it is never known."""
        return resend_key in self._window

    # ------------------------------------------------------------------------------------------ appending

    def append(self, chunks: Sequence[Arrived]) -> None:
        """As `append_checked`."""
        self.append_checked([segment.checked(chunk) for chunk in chunks])

    def append_checked(self, entries: Sequence[Checked]) -> None:
        """Gives each chunk its sequence and makes all of them durable, in order.

        Raises:
            OSError: none of them may be acknowledged. The next call begins where this one did.
        """
        active = self._ready_segment()
        sequence, events = self._next_sequence, self._events
        parts: list[bytes] = []
        for entry in entries:
            parts += segment.encode(entry, sequence, events, self.salt)
            sequence += 1
            events += entry.chunk.events
        size = sum(map(len, parts))
        self._failed = _Failed.WRITE
        self.disk.append(active.name, parts)
        self._failed = _Failed.SYNC
        self.disk.sync(active.name)
        self._failed = _Failed.WRITE
        save_synced(
            self.disk,
            Synced(self.disk.boot, self.incarnation, active.first, active.length + size, sequence, events),
        )
        self._failed = None
        with self._lock:
            active.length += size
            active.last, active.events_to = sequence - 1, events
            self._next_sequence, self._events = sequence, events
            self._backlog_bytes += size
            self._waiting_bytes += size
            self._window.add([entry.key for entry in entries], self._wall())
            for entry in entries:
                if entry.chunk.chunk_id.startswith(FOLLOWED_PREFIX):
                    self._followed_ids.append(entry.chunk.chunk_id)
            self._grown.notify_all()

    def _ready_segment(self) -> Segment:
        """The segment to append to, without the remains of a failed append, and not too long."""
        active = self._segments[-1] if self._segments else None
        if active and self._failed:
            self._cut_remains(active, self._failed)
            self._failed = None
        if (
            active
            and not active.sealed
            and active.length < self._segment_bytes
            and self._next_sequence == max(active.last + 1, active.first)
        ):
            return active
        return self._new_segment()

    def _new_segment(self) -> Segment:
        """An empty one whose name is durable; it says which sequences were given, though all else be lost."""
        active = self._segments[-1] if self._segments else None
        sequence, events = self._next_sequence, self._events
        fresh = Segment(segment.name_of(sequence, self.incarnation), sequence, sequence - 1, 0, events, events)
        if active and active.first == sequence:
            self.disk.replace(fresh.name, b"")  # another file; there is no moment in which none has the name
        else:
            self.disk.append(fresh.name, [])
            self.disk.sync(fresh.name)
            self.disk.sync_names()
        with self._lock:
            if active and active.first == sequence:
                self._segments.remove(active)
            self._segments.append(fresh)
        return fresh

    def _cut_remains(self, active: Segment, failed: _Failed) -> None:
        """Of a failed append. A file whose sync failed is not written to again, whatever later syncs say of it.

        Remains that cannot be cut do no harm: at the next start the first sequence of the segment that follows
        says that they do not count.
        """
        if failed is _Failed.SYNC:
            active.sealed = True
        try:
            self.disk.truncate(active.name, active.length)
        except OSError as error:
            log.warning("remains of a failed write stay", segment=active.name, error=str(error))
            active.sealed, active.remains = True, active.length

    def _note_synced(self) -> None:
        last = self._segments[-1] if self._segments else None
        first, length = (last.first, last.length) if last else (1, 0)
        save_synced(
            self.disk,
            Synced(self.disk.boot, self.incarnation, first, length, self._next_sequence, self._events),
        )

    # ------------------------------------------------------------------------------- reading and delivering

    def reader(self) -> Reader:
        """Reads from the first chunk not known to be delivered."""
        return Reader(self, self._delivered_to, self._delivered_events)

    def wait_for_growth(self, beyond: int, timeout_s: float) -> None:
        """Returns when there is a chunk of sequence `beyond` or later, or after the time-out."""
        with self._grown:
            self._grown.wait_for(lambda: self._segments and self._segments[-1].last >= beyond, timeout_s)

    def extent_with(self, sequence: int) -> Extent | None:
        """What a reader at `sequence` must read; None if there is nothing yet."""
        with self._lock:
            found = next((s for s in self._segments if s.last >= sequence), None)
            return Extent(found.name, found.last, found.length, found.events_to) if found else None

    def note_reading(self, *, failed: bool) -> None:
        """A reader (they come and go) was refused by the disk, or was not."""
        if not failed:
            self._reading_fails_since = None
        elif self._reading_fails_since is None:
            self._reading_fails_since = self.clock()

    def reading_fails_s(self) -> float:
        """Seconds for which the disk has refused to be read."""
        return 0.0 if self._reading_fails_since is None else self.clock() - self._reading_fails_since

    def claim(self, sequence: int) -> bool:
        """A reader is about to give out this chunk, so it cannot be dropped any more; false if it just was."""
        with self._lock:
            if not any(s.first <= sequence <= s.last for s in self._segments):
                return False
            self._read_to = max(self._read_to, sequence)
            return True

    def settled(self, chunk: Stored) -> None:
        """Kafka has confirmed all up to this chunk, though it may yet be produced again. Admission goes by it."""
        with self._lock:
            if chunk.sequence >= self._settled_to:
                self._settled_to = chunk.sequence + 1
                left = min(self._waiting_bytes, self._backlog_after(chunk.sequence, chunk.end))
                self._settled_bytes += self._waiting_bytes - left
                self._waiting_bytes = left

    def delivered(self, chunk: Stored) -> None:
        """All up to this chunk are in Kafka, and what keeps account of them has it. Call in order of sequence."""
        self.settled(chunk)
        with self._lock:
            self._backlog_bytes = self._backlog_after(chunk.sequence, chunk.end)
            self._delivered_to, self._delivered_events = chunk.sequence + 1, chunk.events_to
            done = self._segments[0].last < self._delivered_to and len(self._segments) > 1
        if done and self.clock() >= self._tidy_at:
            self._drop_delivered()
        if self.clock() - self._cursor_saved_at >= CURSOR_EVERY_S:
            self.save_cursor()

    def _backlog_after(self, sequence: int, end: int | None) -> int:
        """Bytes behind a chunk that ends at offset `end` of its segment (None: to be looked for)."""
        left = [s for s in self._segments if s.last >= sequence]
        if not left or left[0].first > sequence:
            return sum(s.length for s in left)
        if end is None:
            end = self._end_of(left[0], sequence)
        return sum(s.length for s in left) - end

    def _end_of(self, within: Segment, sequence: int) -> int:
        """At start: the offset behind a chunk. It was read a moment ago."""
        walker = segment.Walker(lambda offset, length: read_around(self.disk, within.name, offset, length), self.salt)
        end = 0
        for chunk in walker.rest(within.length):
            if isinstance(chunk, Stored):
                if chunk.sequence > sequence:
                    break
                end = chunk.end
        return end

    def save_cursor(self) -> bool:
        """Writes down how far it is delivered, if that is news. False where that fails: then it is old, which a
        restart mends by producing again."""
        self._cursor_saved_at = self.clock()
        with self._lock:
            cursor = Cursor(self.incarnation, self._delivered_to, self._delivered_events)
        if self._cursor_saved == cursor.next_sequence:
            return True
        try:
            save_cursor(self.disk, cursor)
        except OSError as error:
            log.warning("cursor cannot be written", error=str(error))
            return False
        self._cursor_saved = cursor.next_sequence
        with self._lock:
            self._losses.forget(self.incarnation, cursor.next_sequence)
        return True

    def _drop_delivered(self) -> None:
        """Deletes whole delivered segments, never the last; their chunk ids are written down before.

        On a full disk the ids find room only after a deletion: a crash between the two forgets them, but keeping
        the segment would keep the disk full. What the disk refuses is tried again later.
        """
        self._tidy_at = self.clock() + TIDY_AGAIN_S
        if not self.save_cursor():
            return
        ids_saved = self._save_window()
        try:
            while len(self._segments) > 1 and self._segments[0].last < self._delivered_to:
                self._remove(self._segments[0])
            if not ids_saved:
                self._save_window()
        except OSError as error:
            log.warning("delivered segments cannot be deleted; trying again", error=str(error))
            return
        self._tidy_at = self.clock()

    def _save_window(self) -> bool:
        try:
            self._window.save(self.disk)
        except OSError as error:
            log.warning("recent chunk ids cannot be written", error=str(error))
            return False
        return True

    def _remove(self, done: Segment) -> None:
        if done.damaged:
            self.disk.rename(done.name, done.name + DAMAGED)
            for surplus in [n for n in self.disk.names() if n.endswith(DAMAGED)][:-DAMAGED_KEPT]:
                self.disk.delete(surplus)
        else:
            self.disk.delete(done.name)
        with self._lock:
            self._segments.remove(done)

    # ------------------------------------------------------------------------------------------------ losses

    def lose(self, first: int, last: int, events: int | None) -> list[Loss]:
        """A reader cannot read these. What is known of them, in order; what was not, is now."""
        with self._lock:
            self._losses.add(Loss("damaged", self.incarnation, first, last, events))
            for one in self._segments:
                one.damaged = one.damaged or one.first <= last <= one.last
            return self._losses.between(self.incarnation, first, last)

    def drop_oldest(self) -> bool:
        """Drops the oldest segment of which nothing was read yet; false if there is none.

        For the thread that appends. What was read is on its way to Kafka and cannot be called back.
        """
        begun = max(self._read_to, self._delivered_to - 1)
        found = next((s for s in self._segments if s.first > begun and s.last >= s.first), None)
        if found is None:
            return False
        try:
            for one in self._segments:  # the segment that may go now is what says that they do not count
                if one.remains is not None:
                    self.disk.truncate(one.name, one.remains)
                    one.remains = None
            if found is self._segments[-1]:
                self._new_segment()
        except OSError as error:
            log.warning("nothing can be dropped while the disk refuses writes", error=str(error))
            return False
        with self._lock:
            if found.first <= self._read_to:
                return False
            events = None if found.events_from is None else found.events_to - found.events_from
            self._losses.add(Loss("dropped", self.incarnation, found.first, found.last, events))
            self._segments.remove(found)
            self._backlog_bytes -= found.length
            self._waiting_bytes -= found.length
        self._save_window()
        try:
            self.disk.delete(found.name)
        except OSError as error:
            log.warning("a dropped segment cannot be deleted", segment=found.name, error=str(error))
        return True
