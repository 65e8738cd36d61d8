"""Sends real log files through accumulators: as fast as acknowledged, at a steady rate, or at the lines' own pace.

A plain line becomes a record with its text, its service and its place in the file, and no log_id; the accumulator
gives it coordinates, so equal lines stay different events. A line that is a JSON object is sent as that object.
Every line is acknowledged or the replay fails. Lines that are empty carry nothing and are counted, not sent.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streaming.errors import ConfigError, Unavailable
from streaming.forward.access import PLAIN, Access
from streaming.forward.sender import Chunk, ForwardError, PipelinedSender, chunk_of, pack_entry
from streaming.replay.files import STDIN, Line, check, lines_of, opened
from streaming.replay.records import Source, record_of, time_of
from streaming.replay.schedule import Timeline

TAG = "logs.replay"

MAX_CHUNK_LINES = 1_000
MAX_CHUNK_BYTES = 256 * 1024
"""A quarter of Kafka's default message limit: a record is up to three times its line (names, offsets, JSON escapes)."""

CHUNKS_PER_SECOND = 20
"""At a pace lines are sent in so many chunks a second at most: 50 ms of lines each."""

LONGEST_PAUSE_S = 5.0
"""At the lines' own pace."""


class Address(NamedTuple):
    """Where an accumulator listens."""

    host: str
    port: int


@dataclass
class Summary:
    """What a replay did. `lines` counts those that are not blank; all of them are acknowledged at the end.

    `timed` counts the lines that said their time, where that was asked for (`speed`).
    """

    files: int = 0
    lines: int = 0
    blank: int = 0
    timed: int = 0
    acknowledged: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Lines per second."""
        return self.lines / self.seconds if self.seconds else 0.0


class Part(NamedTuple):
    """A chunk ready to be sent, `due_s` after the beginning; `file_bytes` of its file (packed, for .gz) were read."""

    chunk: Chunk
    blank: int
    timed: int
    file_bytes: int
    due_s: float


class _Due(NamedTuple):
    """A line and when it is due; whether it said so itself."""

    line: Line
    due_s: float
    timed: bool


@dataclass(frozen=True)
class _Run:
    """What all parts of a replay share."""

    run_id: str
    max_lines: int
    sent_ns: int | None
    speed: float
    longest_pause_s: float


def replay(
    sources: Sequence[Source],
    targets: Sequence[Address],
    *,
    rate: float = 0.0,
    speed: float = 0.0,
    longest_pause_s: float = LONGEST_PAUSE_S,
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
        speed: at the pace of the lines' own times, so many times as fast (`Timeline`); each accumulator's files begin
            one after the other, all accumulators at the same time. 0: not so.
        longest_pause_s: at `speed`, no pause is longer.
        access: how the accumulators are reached.
        run_id: makes the chunk ids; the same one with the same `sent_ns` makes the accumulators take a second replay
            for a resend.
        sent_ns: the Forward protocol's time of each line, which stands in where a line has none; None: when it is read.
        progress: called after each chunk with the lines and the bytes of files it took.

    Raises:
        ConfigError: a file is missing or not readable (found before anything is sent, but for a damaged .gz), or is
            standard input for the second time; or both `rate` and `speed` are given.
        Unavailable: an accumulator is not there, or stayed away.
    """
    if rate and speed:
        raise ConfigError("there is a rate and a speed", remedy="Give --rate or --speed")
    if [source.path for source in sources].count(STDIN) > 1:
        raise ConfigError("can be read once only", file="-")
    for source in sources:
        check(source.path)
    used = targets[: len(sources)]
    senders = [PipelinedSender(host, port, retry_for_s=retry_for_s, access=access) for host, port in used]
    lines_of_chunk = min(MAX_CHUNK_LINES, max(1, int(rate / CHUNKS_PER_SECOND))) if rate else MAX_CHUNK_LINES
    run = _Run(run_id or secrets.token_hex(8), lines_of_chunk, sent_ns, speed, longest_pause_s)
    numbered = list(enumerate(sources))
    queues = [_parts(numbered[i :: len(used)], run) for i in range(len(used))]
    summary, begun = Summary(files=len(sources)), clock()
    try:
        for sender in senders:
            sender.connect()
        for sender, part in _in_turn(senders, queues):
            _wait(part.due_s if speed else summary.lines / rate if rate else 0.0, clock() - begun, sleep)
            if part.chunk.events:
                sender.send_nowait(part.chunk)
            summary.lines += part.chunk.events
            summary.blank += part.blank
            summary.timed += part.timed
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


def chunk_id(run_id: str, identity: str, offset: int, size: int) -> str:
    """The id of the chunk that begins at `offset` of a file: the same whenever the same run makes it again."""
    digest = hashlib.sha256(f"{run_id}\0{identity}\0{offset}\0{size}".encode()).digest()
    return base64.b64encode(digest[:16]).decode("ascii")


def _parts(sources: Sequence[tuple[int, Source]], run: _Run) -> Iterator[Part]:
    begins_s = 0.0
    for number, source in sources:
        with opened(source.path) as file:
            # With its number, so that a file named twice on the command line is sent twice.
            identity = f"{number}:{file.identity}"
            lines = lines_of(file.lines, source.path)
            read = 0
            for group in _groups(_due(lines, source, file.written_ns, run, begins_s), run.max_lines):
                position = file.position()
                yield _part(group, source, run, identity, position - read)
                read, begins_s = position, group[-1].due_s


def _due(lines: Iterator[Line], source: Source, written_ns: int, run: _Run, begins_s: float) -> Iterator[_Due]:
    if not run.speed:
        for line in lines:
            yield _Due(line, 0.0, False)
        return
    timeline = Timeline(run.speed, run.longest_pause_s)
    for line in lines:
        time_ns = time_of(line, source, written_ns) if line.text else None
        yield _Due(line, begins_s + timeline.due_s(time_ns), time_ns is not None)


def _groups(lines: Iterator[_Due], max_lines: int) -> Iterator[list[_Due]]:
    group: list[_Due] = []
    size = 0
    for line in lines:
        full = len(group) >= max_lines or size + len(line.line.text) > MAX_CHUNK_BYTES
        if group and (full or line.due_s - group[0].due_s > 1 / CHUNKS_PER_SECOND):
            yield group
            group, size = [], 0
        group.append(line)
        size += len(line.line.text)
    if group:
        yield group


def _part(group: Sequence[_Due], source: Source, run: _Run, identity: str, file_bytes: int) -> Part:
    full = [due.line for due in group if due.line.text]
    first, last = group[0].line, group[-1].line
    name = chunk_id(run.run_id, identity, first.offset, last.offset + len(last.text) - first.offset)
    now = time.time_ns() if run.sent_ns is None else run.sent_ns
    chunk = chunk_of(TAG, [pack_entry(now, record_of(line, source)) for line in full], name)
    return Part(chunk, len(group) - len(full), sum(due.timed for due in group), file_bytes, group[-1].due_s)


def _in_turn(
    senders: Sequence[PipelinedSender], queues: Sequence[Iterator[Part]]
) -> Iterator[tuple[PipelinedSender, Part]]:
    """Of all queues the part that is due first; one of each in turn where all are due."""
    waiting: list[tuple[float, int, int, Part]] = []
    turn = 0
    for number, queue in enumerate(queues):
        if (part := next(queue, None)) is not None:
            waiting.append((part.due_s, turn, number, part))
            turn += 1
    heapq.heapify(waiting)
    while waiting:
        _, _, number, part = heapq.heappop(waiting)
        yield senders[number], part
        if (part := next(queues[number], None)) is not None:
            heapq.heappush(waiting, (part.due_s, turn, number, part))
            turn += 1


def _wait(until_s: float, elapsed_s: float, sleep: Callable[[float], None]) -> None:
    if until_s > elapsed_s:
        sleep(until_s - elapsed_s)
