"""The spool: chunks made durable before they are acknowledged, in order, each under a sequence for ever.

`Spool` does one thing at a time and knows nothing of threads but that one appends while another reads;
`streaming.accumulator.spool.commit` joins the appends of many connections into one fsync.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

import msgpack

from streaming.accumulator.spool import segment
from streaming.accumulator.spool.cursor import Cursor, save_cursor
from streaming.accumulator.spool.disk import Disk
from streaming.accumulator.spool.recovery import Segment, create, new_incarnation, recover
from streaming.accumulator.spool.segment import Arrived, Damage, Stored, Walker
from streaming.worker.logs import logger

log = logger(__name__)

MIB = 1024 * 1024
SEGMENT_BYTES = 64 * MIB
"""A segment is deleted whole once it is delivered, so up to this much delivered data stays on disk."""
WINDOW = 20_000
"""Chunk ids remembered, to know a resend by. At 100 chunks a second of three hundred events: over three minutes;
Fluentd resends after 190 s without an acknowledgement, at far lower rates."""
CURSOR_EVERY_S = 0.2
"""A killed process produces again what it delivered in this time at most."""
_IDS = "recent-ids"
"""File of the remembered chunks' resend keys, the oldest first."""


class Spool:
    """A folder of segments. One thread may append while another reads and reports deliveries.

    Raises:
        OSError: the folder cannot be read or mended at start; later from `append` and from reading.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        window: int = WINDOW,
        make_incarnation: Callable[[], str] = new_incarnation,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._disk, self._segment_bytes, self._window, self._clock = disk, segment_bytes, window, clock
        found = recover(disk, make_incarnation)
        self.incarnation = found.incarnation
        self._segments = found.segments
        self._next_sequence = found.next_sequence
        self._delivered_to = found.delivered_to
        self._backlog_bytes = found.backlog_bytes
        self._tail_is_clean = True
        self._cursor_saved = 0
        self._cursor_saved_at = clock()
        self._lock = threading.Lock()
        self._grown = threading.Condition(self._lock)
        self._keys: dict[bytes, None] = {}
        self._remember([*self._saved_ids(), *(i for s in found.segments for i in s.resend_keys)])

    @property
    def delivered_to(self) -> int:
        """The first sequence that is not known to be in Kafka."""
        return self._delivered_to

    @property
    def next_sequence(self) -> int:
        """What the next chunk will be."""
        return self._next_sequence

    @property
    def backlog_bytes(self) -> int:
        """Bytes on disk that are not yet in Kafka."""
        return self._backlog_bytes

    @property
    def chunk_ids(self) -> list[bytes]:
        """The ids of the chunks made durable lately (within the window), the oldest first."""
        with self._lock:
            return [key[: -segment.KEY_CHECK_BYTES] for key in self._keys]

    def knows(self, resend_key: bytes) -> bool:
        """Whether this chunk is durable here already (within the window). Without an id it is never known."""
        return resend_key in self._keys

    def append(self, chunks: Sequence[Arrived]) -> None:
        """Gives each chunk its sequence and makes all of them durable, in order.

        Raises:
            OSError: none of them may be acknowledged. The next call begins where this one did.
        """
        active = self._ready_segment()
        sequence = self._next_sequence
        parts = [part for n, chunk in enumerate(chunks) for part in segment.encode(chunk, sequence + n)]
        self._tail_is_clean = False
        self._disk.append(active.name, parts)
        self._disk.sync(active.name)
        self._tail_is_clean = True
        size = sum(map(len, parts))
        keys = [segment.resend_key(chunk) for chunk in chunks]
        with self._lock:
            active.length += size
            active.last = sequence + len(chunks) - 1
            active.resend_keys += keys
            self._next_sequence = active.last + 1
            self._backlog_bytes += size
            self._remember(keys)
            self._grown.notify_all()

    def _ready_segment(self) -> Segment:
        """The segment to append to, without the remains of a failed append, and not too long."""
        active = self._segments[-1]
        if not self._tail_is_clean:
            self._disk.truncate(active.name, active.length)
            self._tail_is_clean = True
        if active.length < self._segment_bytes:
            return active
        fresh = Segment(
            segment.name_of(self._next_sequence, self.incarnation), self._next_sequence, self._next_sequence - 1
        )
        create(self._disk, fresh.name)
        with self._lock:
            self._segments.append(fresh)
        return fresh

    def reader(self) -> Reader:
        """Reads from the first chunk not known to be delivered."""
        return Reader(self, self._delivered_to)

    def wait_for_growth(self, beyond: int, timeout_s: float) -> None:
        """Returns when there is a chunk of sequence `beyond`, or after the time-out."""
        with self._grown:
            self._grown.wait_for(lambda: self._next_sequence > beyond, timeout_s)

    def delivered(self, chunk: Stored) -> None:
        """All up to this chunk are in Kafka. Call in order of sequence."""
        with self._lock:
            self._delivered_to = chunk.sequence + 1
            self._backlog_bytes -= chunk.size
            done = self._segments[0].last < self._delivered_to and len(self._segments) > 1
        if done:
            self._drop_delivered()
        if self._clock() - self._cursor_saved_at >= CURSOR_EVERY_S:
            self.save_cursor()

    def save_cursor(self) -> None:
        """Writes down how far it is delivered, if that is news."""
        self._cursor_saved_at = self._clock()
        if self._cursor_saved == self._delivered_to:
            return
        try:
            save_cursor(self._disk, Cursor(self.incarnation, self._delivered_to))
        except OSError as error:  # then it is old, which a restart mends by producing again
            log.warning("cursor cannot be written", error=str(error))
            return
        self._cursor_saved = self._delivered_to

    def _drop_delivered(self) -> None:
        """Deletes whole delivered segments, never the last; their chunk ids are written down before.

        On a full disk the ids find room only after a deletion: a crash between the two forgets them, but keeping
        the segment would keep the disk full.
        """
        with self._lock:
            done = [s for s in self._segments[:-1] if s.last < self._delivered_to]
            keys = list(self._keys)
        self.save_cursor()
        packed = msgpack.packb(keys)
        try:
            self._disk.replace(_IDS, packed)
            for old in done:
                self._disk.delete(old.name)
        except OSError as error:
            log.warning("no room for the recent chunk ids; deleting what is delivered first", error=str(error))
            for old in done:
                self._disk.delete(old.name)
            with contextlib.suppress(OSError):  # the next deletion tries again
                self._disk.replace(_IDS, packed)
        with self._lock:
            self._segments = self._segments[len(done) :]

    def _remember(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            if key:
                self._keys.pop(key, None)
                self._keys[key] = None
        while len(self._keys) > self._window:
            del self._keys[next(iter(self._keys))]

    def _saved_ids(self) -> list[bytes]:
        if _IDS not in self._disk.names():
            return []
        try:
            raw = self._disk.read(_IDS, 0, self._disk.size(_IDS))
            ids = msgpack.unpackb(raw)
        except (ValueError, msgpack.UnpackException):
            ids = None
        if isinstance(ids, list) and all(isinstance(i, bytes) for i in ids):
            return ids
        log.error("recent chunk ids unreadable, resends of delivered chunks will be spooled again", file=_IDS)
        return []

    def segment_with(self, sequence: int) -> Segment | None:
        """The segment a reader at `sequence` must read; None if there is none yet."""
        with self._lock:
            return next((s for s in self._segments if s.last >= sequence), None)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a segment, for a reader."""
        return self._disk.read(name, offset, length)


class Reader:
    """Reads durable chunks in order, once each. For the thread that also reports deliveries."""

    def __init__(self, spool: Spool, start: int) -> None:
        self._spool = spool
        self._segment: Segment | None = None
        self._walker: Walker | None = None
        self.next_sequence = start
        """All below were read."""

    def next(self) -> Stored | None:
        """The next chunk; None when all durable ones were read.

        What turns out damaged is left out with a line in the log.
        """
        while True:
            walker = self._walker_at_next()
            if walker is None or self._segment is None:
                return None
            chunk = walker.next(self._segment.length)
            if isinstance(chunk, Damage):
                log.error("unreadable part of the spool left out", segment=self._segment.name, events=chunk.events)
            elif chunk is None:
                log.error("unreadable end of a segment left out", segment=self._segment.name)
                self.next_sequence = self._segment.last + 1
            elif chunk.sequence >= self.next_sequence:
                self.next_sequence = chunk.sequence + 1
                return chunk

    def _walker_at_next(self) -> Walker | None:
        wanted = self._spool.segment_with(self.next_sequence)
        if wanted is None:
            return None
        if wanted is not self._segment or self._walker is None:
            name = wanted.name
            self._walker = Walker(lambda offset, length: self._spool.read(name, offset, length))
            self._segment = wanted
        return self._walker
