"""Files of `@type file`: each event a line, synced before the spool's cursor passes it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from streaming.accumulator.configuration.filters import text_at
from streaming.accumulator.configuration.plan import FileOutput
from streaming.accumulator.delivery.events import Event, calendar_ns
from streaming.accumulator.spool.disk import sync_folder

_NS = 1_000_000_000
_OPEN_FILES = 64
"""Events of wild times may name as many files as they like."""


class AppendedFiles:
    """Collects lines; `sync` writes them and returns when they are on the disk. For one thread.

    Raises:
        OSError: a file cannot be written; what was collected is to be appended again.
    """

    def __init__(self) -> None:
        self._lines: dict[Path, list[bytes]] = {}
        self._open: dict[Path, int] = {}

    def append(self, output: FileOutput, event: Event, tag: str, received_ns: int) -> None:
        """One event; `received_ns` stands in for a time that it has not, or that no date can say."""
        at_ns = calendar_ns(event.time_ns, received_ns)
        self._lines.setdefault(_path(output, at_ns), []).append(_line(output, event, tag, at_ns))

    def sync(self) -> None:
        """Makes all lines durable."""
        lines, self._lines = self._lines, {}
        for path, waiting in lines.items():
            file = self._file(path)
            _append_whole(file, b"".join(waiting))
            os.fdatasync(file)

    def forget(self) -> None:
        """What was collected and not synced is appended again later."""
        self._lines.clear()

    def close(self) -> None:
        """Closes all files."""
        for file in self._open.values():
            os.close(file)
        self._open.clear()

    def _file(self, path: Path) -> int:
        file = self._open.get(path)
        # A file that was moved away, to be archived, is made anew.
        if file is not None and not (path.exists() and _same(file, path)):
            os.close(self._open.pop(path))
            file = None
        if file is None:
            if len(self._open) >= _OPEN_FILES:
                self.close()
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._open[path] = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            sync_folder(path.parent)
            _end_torn_line(file)
        return file


def _append_whole(file: int, data: bytes) -> None:
    """All of it, or on an error nothing: half a line would run into the next."""
    before, rest = os.fstat(file).st_size, memoryview(data)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, before)
        raise


def _end_torn_line(file: int) -> None:
    """A process that was killed while it wrote may have left half a line, which comes again whole."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        _append_whole(file, b"\n")


def _same(file: int, path: Path) -> bool:
    own, found = os.fstat(file), path.stat()
    return (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino)


def _path(output: FileOutput, at_ns: int) -> Path:
    if output.timekey_s is None:
        return Path(output.path + output.suffix)
    broken_down = time.gmtime if output.utc else time.localtime
    second = at_ns // _NS
    # Days begin at midnight of the file's time zone, as in Fluentd.
    offset = 0 if output.utc else time.localtime(second).tm_gmtoff
    start = second - (second + offset) % output.timekey_s
    return Path(f"{output.path}.{time.strftime(_slice(output.timekey_s), broken_down(start))}{output.suffix}")


def _slice(timekey_s: int) -> str:
    """Fluentd's rule for the time in a file's name."""
    if timekey_s % 86_400 == 0:
        return "%Y%m%d"
    if timekey_s % 3_600 == 0:
        return "%Y%m%d%H"
    return "%Y%m%d%H%M" if timekey_s % 60 == 0 else "%Y%m%d%H%M%S"


def _line(output: FileOutput, event: Event, tag: str, at_ns: int) -> bytes:
    if output.format == "json":
        return event.value + b"\n"
    if output.format == "single_value":
        return text_at(event.record, (output.message_key,)).encode("utf-8", "replace") + b"\n"
    broken_down = time.gmtime if output.utc else time.localtime
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z", broken_down(at_ns // _NS))
    stamp = stamp[:-5] + "Z" if output.utc else f"{stamp[:-2]}:{stamp[-2:]}"
    return f"{stamp}\t{tag}\t".encode("utf-8", "replace") + event.value + b"\n"
