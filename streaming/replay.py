"""Sends real log files through accumulators: plain text or JSON lines, as fast as acknowledged or at a steady rate.

A plain line becomes a record with its text, its service and its place in the file, and no log_id; the accumulator
gives it coordinates, so equal lines stay different events. A line that is a JSON object is sent as that object.
Every line is acknowledged or the replay fails. Lines that are empty carry nothing and are counted, not sent.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import json
import re
import secrets
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import IO, NamedTuple, cast

from streaming.errors import ConfigError, Unavailable
from streaming.forward.access import PLAIN, Access
from streaming.forward.sender import Chunk, ForwardError, PipelinedSender, chunk_of, pack_entry

TAG = "logs.replay"

MAX_CHUNK_LINES = 1_000
MAX_CHUNK_BYTES = 256 * 1024
"""A quarter of Kafka's default message limit: a record is up to three times its line (names, offsets, JSON escapes)."""

MAX_LINE_BYTES = 16 * 1024 * 1024
"""What is longer than this is not a line of a log, and would be held in memory whole."""

MAX_DEPTH = 200
"""As deep as the event parser reads JSON; msgpack has limits of its own, from 511 on."""

CHUNKS_PER_SECOND = 20
"""At a steady rate lines are sent in so many chunks a second at most: 50 ms of lines each."""

Record = dict[str, object]


class Address(NamedTuple):
    """Where an accumulator listens."""

    host: str
    port: int


@dataclass(frozen=True)
class Source:
    """One file, and whom its plain lines are said to come from."""

    path: Path
    service: str
    node_id: str
    json_lines: bool = True
    """Whether a line that is a JSON object is sent as that object."""


@dataclass
class Summary:
    """What a replay did. `lines` counts those that are not blank; all of them are acknowledged at the end."""

    files: int = 0
    lines: int = 0
    blank: int = 0
    acknowledged: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Lines per second."""
        return self.lines / self.seconds if self.seconds else 0.0


class Line(NamedTuple):
    """A line without its end, and where it begins (in the unpacked file, for .gz)."""

    offset: int
    text: bytes


class Part(NamedTuple):
    """A chunk ready to be sent; `file_bytes` is how much of the file (packed, for .gz) has been read by now."""

    chunk: Chunk
    blank: int
    file_bytes: int


def source_of(path: Path, *, service: str | None = None, node_id: str | None = None, json_lines: bool = True) -> Source:
    """A file with the service its name tells: up to the first `_` or `.`, in lower case (Apache_2k.log: apache)."""
    name = service or re.split(r"[_.]", path.name, maxsplit=1)[0].lower() or "replay"
    return Source(path, name, node_id or f"replay-{name}", json_lines)


def replay(
    sources: Sequence[Source],
    targets: Sequence[Address],
    *,
    rate: float = 0.0,
    retry_for_s: float = 60.0,
    access: Access = PLAIN,
    run_id: str | None = None,
    sent_ns: int | None = None,
    progress: Callable[[int, int], None] = lambda _lines, _file_bytes: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Summary:
    """Sends the files, the first to the first accumulator and so on, and returns when all is acknowledged.

    An accumulator that goes away is waited for `retry_for_s`; what it has not acknowledged is sent again in the
    same chunks. Files of one accumulator are sent one after the other, in the order of their lines.

    Args:
        rate: lines per second over all files; 0 is as fast as they are acknowledged.
        access: how the accumulators are reached.
        run_id: makes the chunk ids; the same one with the same `sent_ns` makes the accumulators take a second replay
            for a resend.
        sent_ns: the Forward protocol's time of each line, which stands in where a line has none; None: when it is read.
        progress: called after each chunk with the lines and the bytes of files it took.

    Raises:
        ConfigError: a file is missing or not readable; found before anything is sent, but for a damaged .gz.
        Unavailable: an accumulator is not there, or stayed away.
    """
    for source in sources:
        _check(source.path)
    used = targets[: len(sources)]
    senders = [PipelinedSender(host, port, retry_for_s=retry_for_s, access=access) for host, port in used]
    lines_of_chunk = min(MAX_CHUNK_LINES, max(1, int(rate / CHUNKS_PER_SECOND))) if rate else MAX_CHUNK_LINES
    run = run_id or secrets.token_hex(8)
    numbered = list(enumerate(sources))
    queues = [_parts(numbered[i :: len(used)], run, lines_of_chunk, sent_ns) for i in range(len(used))]
    summary, begun = Summary(files=len(sources)), clock()
    try:
        for sender in senders:
            sender.connect()
        for sender, part in _in_turn(senders, queues):
            _pace(rate, summary.lines, clock() - begun, sleep)
            if part.chunk.events:
                sender.send_nowait(part.chunk)
            summary.lines += part.chunk.events
            summary.blank += part.blank
            progress(part.chunk.events, part.file_bytes)
        for sender in senders:
            sender.drain()
    except ForwardError as error:
        raise Unavailable(f"{error}. Is the platform up? `vigil up` starts it, `vigil status` shows it") from error
    finally:
        for sender in senders:
            sender.close()
    summary.acknowledged = sum(sender.acknowledged for sender in senders)
    summary.seconds = clock() - begun
    return summary


def record_of(line: Line, source: Source) -> Record:
    """What is sent for a line. Text that is not UTF-8 goes as bytes, so that none is lost."""
    if source.json_lines and line.text.lstrip()[:1] == b"{":
        found = json_object(line.text)
        if found is not None:
            return found
    try:
        message: str | bytes = line.text.decode("utf-8")
    except UnicodeDecodeError:
        message = line.text
    return {
        "message": message,
        "service_name": source.service,
        "node_id": source.node_id,
        "log.file.path": source.path.name,
        "log.offset": line.offset,
    }


def json_object(text: bytes) -> Record | None:
    """The object in a line of JSON; None where it is none, or where msgpack could not carry it unchanged.

    Those are repeated keys, integers beyond 64 bits, numbers that a double does not hold exactly as written, lone
    surrogates, and what is nested more than `MAX_DEPTH` deep: such a line is sent as text.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_int=_int64, parse_float=_double, parse_constant=_refuse
        )
        if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
            return None
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or (b"\\u" in text and _has_surrogates(value)):
        return None
    return value


def lines_of(file: IO[bytes], name: Path) -> Iterator[Line]:
    """The lines of a file; LF or CRLF ends them, the last one may have no end.

    Raises:
        ConfigError: a line of more than `MAX_LINE_BYTES`, or a damaged .gz.
    """
    offset = 0
    for number in itertools.count(1):
        try:
            raw = file.readline(MAX_LINE_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigError(f"cannot be read: {error}", file=name, line=number) from error
        if not raw:
            return
        if len(raw) > MAX_LINE_BYTES:
            raise ConfigError(f"a line of more than {MAX_LINE_BYTES >> 20} MiB; is it a log?", file=name, line=number)
        yield Line(offset, raw.removesuffix(b"\n").removesuffix(b"\r") if raw.endswith(b"\n") else raw)
        offset += len(raw)


def chunk_id(run_id: str, identity: str, offset: int, size: int) -> str:
    """The id of the chunk that begins at `offset` of a file: the same whenever the same run makes it again."""
    digest = hashlib.sha256(f"{run_id}\0{identity}\0{offset}\0{size}".encode()).digest()
    return base64.b64encode(digest[:16]).decode("ascii")


def _parts(sources: Sequence[tuple[int, Source]], run_id: str, max_lines: int, sent_ns: int | None) -> Iterator[Part]:
    for number, source in sources:
        with _opened(source.path) as (file, packed):
            status = source.path.stat()
            # With its number, so that a file named twice on the command line is sent twice.
            identity = f"{number}:{status.st_dev}:{status.st_ino}:{source.path.name}"
            read = 0
            for group in _groups(lines_of(file, source.path), max_lines):
                position = min(packed.tell(), status.st_size)
                yield _part(group, source, run_id, identity, position - read, sent_ns)
                read = position


def _groups(lines: Iterator[Line], max_lines: int) -> Iterator[list[Line]]:
    group: list[Line] = []
    size = 0
    for line in lines:
        if group and (len(group) >= max_lines or size + len(line.text) > MAX_CHUNK_BYTES):
            yield group
            group, size = [], 0
        group.append(line)
        size += len(line.text)
    if group:
        yield group


def _part(
    group: Sequence[Line], source: Source, run_id: str, identity: str, file_bytes: int, sent_ns: int | None
) -> Part:
    full = [line for line in group if line.text]
    first, last = group[0], group[-1]
    name = chunk_id(run_id, identity, first.offset, last.offset + len(last.text) - first.offset)
    now = time.time_ns() if sent_ns is None else sent_ns
    chunk = chunk_of(TAG, [pack_entry(now, record_of(line, source)) for line in full], name)
    return Part(chunk, len(group) - len(full), file_bytes)


def _in_turn(
    senders: Sequence[PipelinedSender], queues: Sequence[Iterator[Part]]
) -> Iterator[tuple[PipelinedSender, Part]]:
    """One part of each queue in turn, until all are empty."""
    open_ = list(zip(senders, queues, strict=True))
    while open_:
        for pair in list(open_):
            part = next(pair[1], None)
            if part is None:
                open_.remove(pair)
            else:
                yield pair[0], part


def _pace(rate: float, lines: int, elapsed_s: float, sleep: Callable[[float], None]) -> None:
    """Waits until `lines` may have been sent."""
    ahead = lines / rate - elapsed_s if rate else 0.0
    if ahead > 0:
        sleep(ahead)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The file to read lines from, and the one on disk whose position shows the progress."""
    with path.open("rb") as packed:
        if path.suffix != ".gz":
            yield packed, packed
            return
        with gzip.open(packed) as file:
            yield cast("IO[bytes]", file), packed


def _check(path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except IsADirectoryError:
        raise ConfigError("is a folder", file=path, remedy="Name the files in it, for instance with *.log") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path) from error


def _unique(pairs: list[tuple[str, object]]) -> Record:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _int64(digits: str) -> int:
    value = int(digits)
    if not -(2**63) <= value < 2**64:
        raise ValueError("beyond 64 bits")
    return value


def _double(digits: str) -> float:
    value = float(digits)
    if not isfinite(value) or Decimal(repr(value)) != Decimal(digits):
        raise ValueError("not a double")
    return value


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _has_surrogates(value: object) -> bool:
    """Whether some text in it cannot be UTF-8 (JSON may write half a surrogate pair as an escape)."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
