"""Follows files line by line into the spool: by identity, through rotation, and on where it was after a restart.

A file is known by its inode and its first line, so that it keeps its place under another name, and a new file that
got an old one's inode is a new file. Lines are read in batches. A batch's chunk id says which bytes of which file it
holds; so after a crash the spool tells what it has of a file beyond the positions, and that is not read again. Each id
ends in random digits: lines that a file holds again after it was cut are new lines, whatever the spool remembers.
"""

from __future__ import annotations

import glob
import os
import re
import secrets
import stat
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from streaming import decoding
from streaming.accumulator.configuration.plan import TailSource
from streaming.accumulator.sources.forward import Submit
from streaming.accumulator.sources.tail_lines import Lines
from streaming.accumulator.spool.segment import Arrived
from streaming.worker.logs import logger

log = logger(__name__)

LOOK_EVERY_S = 0.25
BATCH_BYTES = 256 * 1024
LINE_LIMIT = 4 * 1024 * 1024
"""A line that is longer is taken in pieces of this size."""
FINGERPRINT_BYTES = 256
COMMIT_WITHIN_S = 30.0
_CHUNK_ID = re.compile(rb"(tail-\d+-[0-9a-f]{8}-\d+-\d+)-(\d+)-([0-9a-f]{8})-[0-9a-f]{8}")


class Place(msgspec.Struct):
    """How far a file has been read. `fingerprint` is the CRC-32 of the first `fingerprint_bytes` of it."""

    inode: int
    fingerprint: int
    fingerprint_bytes: int
    offset: int

    @property
    def identity(self) -> str:
        """Names the file in chunk ids."""
        return f"{self.inode}-{self.fingerprint:08x}-{self.fingerprint_bytes}"


@dataclass
class _Batch:
    """Lines up to offset `end`, tried again as they are until they are durable. No chunk: all of them are blank."""

    chunk: Arrived | None
    end: int


@dataclass
class _Followed:
    path: Path
    file: int
    place: Place
    gone_since: float | None = None
    batch: _Batch | None = None
    begun: tuple[int, float] | None = None
    """Where the lines of an event end whose own end is not there yet, and since when."""


class Tail:
    """Follows one source's files, in a thread. Positions are kept in `positions` after each batch.

    `spooled` are the chunk ids that the spool knows at the start.
    """

    def __init__(
        self,
        source: TailSource,
        positions: Path,
        submit: Submit,
        has_room: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        spooled: Iterable[bytes] = (),
    ) -> None:
        self._source, self._positions, self._submit, self._has_room = source, positions, submit, has_room
        self._clock = clock
        self._lines = Lines(source.parse)
        self._saved = self._load()
        self._spooled = _by_beginning(spooled)
        self._followed: dict[int, _Followed] = {}
        self._unopened: set[Path] = set()
        self._first_look = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tail", daemon=True)

    def start(self) -> None:
        """Begins to follow."""
        self._thread.start()

    def close(self) -> None:
        """Ends after the batch in hand."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for followed in self._followed.values():
            os.close(followed.file)
        self._followed.clear()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def look(self) -> bool:
        """One look at all files; true if any had lines. (The thread's round; tests call it themselves.)"""
        self._find()
        moved = False
        for followed in list(self._followed.values()):
            try:
                while not self._stop.is_set() and self._has_room() and self._read(followed):
                    moved = True
            except OSError as error:
                log.error("file cannot be read", path=str(followed.path), error=str(error))
                self._saved[followed.place.inode] = followed.place  # where it goes on when it can be read again
                self._let_go(followed)
        return moved

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self.look()
            except OSError as error:
                log.warning("files cannot be looked for", paths=self._source.paths, error=str(error))

    def _find(self) -> None:
        """Opens what is new, lets go of what was rotated away and read to its end."""
        present: dict[int, Path] = {}
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                continue  # gone between the two calls
            if stat.S_ISREG(status.st_mode):
                present[status.st_ino] = path
        self._unopened.intersection_update(present.values())
        if self._first_look:
            present = self._renamed_while_away() | present
        for inode, path in present.items():
            if inode not in self._followed:
                self._open(path)
        now = self._clock()
        for inode, followed in list(self._followed.items()):
            followed.gone_since = None if inode in present else followed.gone_since or now
            if followed.gone_since and now - followed.gone_since > self._source.rotate_wait_s:
                self._read_to_the_end(followed)
        self._first_look = False

    def _read_to_the_end(self, followed: _Followed) -> None:
        """Of a file that has gone. What the spool has no room for stays open until it has."""
        try:
            while self._has_room() and self._read(followed, last=True):
                pass
            if followed.place.offset < os.fstat(followed.file).st_size:
                return
        except OSError as error:
            log.error("end of a file that has gone cannot be read", path=str(followed.path), error=str(error))
        self._saved.pop(followed.place.inode, None)
        self._save()
        self._let_go(followed)

    def _paths(self) -> list[Path]:
        excluded = set(_matching(self._source.exclude_paths))
        return [path for path in _matching(self._source.paths) if path not in excluded]

    def _renamed_while_away(self) -> dict[int, Path]:
        """Files that were being read before the restart and have another name now."""
        found: dict[int, Path] = {}
        for folder in {Path(p).parent for p in self._source.paths}:
            if folder.is_dir():
                found |= {
                    e.inode(): Path(e.path) for e in os.scandir(folder) if e.inode() in self._saved and e.is_file()
                }
        return found

    def _open(self, path: Path) -> None:
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            # Once: it is tried at each look, and a log that is itself followed would feed on it.
            if path not in self._unopened:
                log.error("file cannot be opened; it is tried again", path=str(path), error=str(error))
            self._unopened.add(path)
            return
        self._unopened.discard(path)
        status = os.fstat(file)
        saved = self._saved.get(status.st_ino)
        if saved is None or not _is_same(file, saved, status.st_size):
            start = 0 if self._source.read_from_head or not self._first_look else status.st_size
            saved = Place(status.st_ino, 0, 0, start)
            if start:  # what is written while this process is away is news to the next
                _take_fingerprint(file, saved)
                self._saved[saved.inode] = saved
                self._save()
        if self._first_look:
            saved = self._behind_what_is_spooled(file, saved)
        self._followed[status.st_ino] = _Followed(path, file, saved)

    def _behind_what_is_spooled(self, file: int, place: Place) -> Place:
        """A crash may come between a batch's way to the spool and its position's to the disk."""
        moved = Place(place.inode, place.fingerprint, place.fingerprint_bytes, place.offset)
        if not moved.fingerprint_bytes:
            _take_fingerprint(file, moved)
        while True:
            known = self._spooled.get(f"tail-{moved.identity}-{moved.offset}", ())
            there = (end for end, crc in known if _has(file, moved.offset, end, crc))
            end = max(there, default=moved.offset)
            if end == moved.offset:
                return moved if moved.offset > place.offset else place
            moved.offset = end

    def _let_go(self, followed: _Followed) -> None:
        os.close(followed.file)
        del self._followed[followed.place.inode]

    def _read(self, followed: _Followed, *, last: bool = False) -> bool:
        """One batch of lines of a file; false if there is none. An unfinished line waits, unless it is the last."""
        if followed.batch is None:
            followed.batch = self._next_batch(followed, last=last)
        batch = followed.batch
        if batch is None or (batch.chunk is not None and not self._spool(batch.chunk)):
            return False
        place, followed.batch = followed.place, None
        place.offset = batch.end
        self._saved[place.inode] = place
        self._save()
        return True

    def _next_batch(self, followed: _Followed, *, last: bool) -> _Batch | None:
        place = followed.place
        size = os.fstat(followed.file).st_size
        if size < place.offset or (place.fingerprint_bytes and not _is_same(followed.file, place, size)):
            log.info("file was cut and is read from its start", path=str(followed.path))
            place = followed.place = Place(place.inode, 0, 0, 0)
        raw = os.pread(followed.file, BATCH_BYTES, place.offset)
        end = self._lines.whole(raw)
        if not end and len(raw) == BATCH_BYTES:
            raw = os.pread(followed.file, LINE_LIMIT, place.offset)
            end = self._lines.first(raw) or (len(raw) if len(raw) == LINE_LIMIT else 0)
        end = end or (len(raw) if last else self._overdue(followed, raw))
        if not end:
            return None
        followed.begun = None
        if not place.fingerprint_bytes:
            _take_fingerprint(followed.file, place)
        return _Batch(self._chunk(followed.path, place, raw[:end]), place.offset + end)

    def _overdue(self, followed: _Followed, raw: bytes) -> int:
        """How many bytes of an event to take though no next one has begun: none, until nothing has come for as long
        as the source says."""
        limit, lines = self._source.multiline_flush_interval_s, raw.rfind(b"\n") + 1
        if limit is None or not lines:
            return 0
        now, end = self._clock(), followed.place.offset + lines
        if followed.begun is None or followed.begun[0] != end:
            followed.begun = (end, now)
        return lines if now - followed.begun[1] >= limit else 0

    def _chunk(self, path: Path, place: Place, raw: bytes) -> Arrived | None:
        received_ns = time.time_ns()
        entries = self._lines.entries(raw, received_ns)
        if not entries:
            return None
        source, begin = self._source, place.offset
        chunk_id = f"tail-{place.identity}-{begin}-{begin + len(raw)}-{zlib.crc32(raw):08x}-{secrets.token_hex(4)}"
        return Arrived(
            tag_of(source.tag, path),
            b"".join(entries),
            len(entries),
            False,
            chunk_id.encode(),
            received_ns,
            source.label or "",
        )

    def _spool(self, chunk: Arrived) -> bool:
        """Returns when the lines are durable; false if they could not be made so, or not in time."""
        done = threading.Event()
        outcome: list[bool] = []

        def finish(durable: bool) -> None:
            outcome.append(durable)
            done.set()

        self._submit(chunk, finish)
        done.wait(COMMIT_WITHIN_S)
        return outcome == [True]

    def _load(self) -> dict[int, Place]:
        try:
            places = decoding.decode(self._positions.read_bytes(), list[Place])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            log.error("positions cannot be read, files are read again", file=str(self._positions), error=str(error))
            return {}
        return {place.inode: place for place in places}

    def _save(self) -> None:
        temporary = self._positions.with_suffix(".tmp")
        try:
            temporary.write_bytes(msgspec.json.encode(list(self._saved.values())))
            temporary.replace(self._positions)
        except OSError as error:  # a full disk; after a restart the spool then knows the lines it has had
            log.warning("positions cannot be written", file=str(self._positions), error=str(error))


def _by_beginning(chunk_ids: Iterable[bytes]) -> dict[str, list[tuple[int, int]]]:
    """Chunk ids of tails: file and offset where each begins -> where it ends, and the CRC-32 of its bytes."""
    found: dict[str, list[tuple[int, int]]] = {}
    for chunk_id in chunk_ids:
        parts = _CHUNK_ID.fullmatch(chunk_id)
        if parts:
            found.setdefault(parts[1].decode(), []).append((int(parts[2]), int(parts[3], 16)))
    return found


def tag_of(tag: str, path: Path) -> str:
    """A source's tag for a file: `*` in it is the file's path, with dots for slashes, as in Fluentd."""
    return tag.replace("*", re.sub(r"[/.]+", ".", str(path)).removeprefix("."), 1) if "*" in tag else tag


def _matching(patterns: Sequence[str]) -> list[Path]:
    """Files of these paths. Only a path with `*` is a pattern, as in Fluentd."""
    named = (pattern if "*" in pattern else glob.escape(pattern) for pattern in patterns)
    return [Path(found) for pattern in named for found in sorted(glob.glob(pattern))]  # noqa: PTH207


def _take_fingerprint(file: int, place: Place) -> None:
    """Of the first line, as far as it is there."""
    first = os.pread(file, FINGERPRINT_BYTES, 0).split(b"\n", 1)[0]
    place.fingerprint, place.fingerprint_bytes = zlib.crc32(first), len(first)


def _has(file: int, begin: int, end: int, crc: int) -> bool:
    """Whether these bytes are there. (Anyone may send a chunk id that looks like one of ours.)"""
    return 0 < end - begin <= LINE_LIMIT and zlib.crc32(os.pread(file, end - begin, begin)) == crc


def _is_same(file: int, place: Place, size: int) -> bool:
    """Whether an open file is the one whose place was kept."""
    if size < place.offset:
        return False
    return zlib.crc32(os.pread(file, place.fingerprint_bytes, 0)) == place.fingerprint
