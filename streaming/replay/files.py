"""Lines of files: plain, gzip or Zstandard (told by their first bytes, not by their names), or standard input."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

import zstandard

from streaming.errors import ConfigError

STDIN: Final = Path("-")

MAX_LINE_BYTES = 16 * 1024 * 1024
"""What is longer than this is not a line of a log, and would be held in memory whole."""

_GZIP: Final = b"\x1f\x8b"
_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1

_PACKED_BYTES: Final = 8 * 1024
"""Read at a time of a .zst: a kilobyte of it may unpack to some megabytes, which are held until they are read."""


class Line(NamedTuple):
    """A line without its end, and where it begins (in the unpacked file)."""

    offset: int
    text: bytes


class Opened(NamedTuple):
    """A file to read lines from.

    `identity` tells it from any other; `size` and `position` (bytes of it as it is stored) show the progress, and are
    0 for what has no size. `written_ns` is when it was last written, now for what is just being written.
    """

    lines: IO[bytes]
    identity: str
    size: int
    position: Callable[[], int]
    written_ns: int


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Opens a file, or standard input for `-`."""
    if path == STDIN:
        yield Opened(_unpacked(sys.stdin.buffer), "-", 0, lambda: 0, time.time_ns())
        return
    with path.open("rb") as packed:
        status = os.fstat(packed.fileno())
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        yield Opened(
            _unpacked(packed),
            f"{status.st_dev}:{status.st_ino}:{path.name}",
            size,
            # What is still being written may have grown.
            (lambda: min(packed.tell(), size)) if size else (lambda: 0),
            status.st_mtime_ns if size else time.time_ns(),
        )


def check(path: Path) -> None:
    """Whether it can be opened.

    Raises:
        ConfigError: it cannot; says why.
    """
    if path == STDIN:
        return
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ConfigError("is a folder", file=path, remedy="Name the files in it, for instance with *.log")
        if stat.S_ISREG(mode):  # a named pipe is opened once only: its writer would take a second time for the end
            path.open("rb").close()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path) from error


def lines_of(file: IO[bytes], name: Path) -> Iterator[Line]:
    """The lines of a file; LF or CRLF ends them, the last one may have no end.

    Raises:
        ConfigError: a line of more than `MAX_LINE_BYTES`, or a damaged .gz or .zst.
    """
    offset = 0
    for number in itertools.count(1):
        try:
            raw = file.readline(MAX_LINE_BYTES + 1)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise ConfigError(f"cannot be read: {error}", file=name, line=number) from error
        if not raw:
            return
        if len(raw) > MAX_LINE_BYTES:
            raise ConfigError(f"a line of more than {MAX_LINE_BYTES >> 20} MiB; is it a log?", file=name, line=number)
        yield Line(offset, raw.removesuffix(b"\n").removesuffix(b"\r") if raw.endswith(b"\n") else raw)
        offset += len(raw)


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, file))
    # `peek` of a pipe waits for its first bytes, as reading would.
    beginning = buffered.peek(4)[:4]
    if beginning.startswith(_GZIP):
        return cast("IO[bytes]", gzip.open(buffered))
    if beginning == _ZSTANDARD:
        return io.BufferedReader(_Zstandard(buffered), 64 * 1024)
    return buffered


class _Zstandard(io.RawIOBase):
    """Unpacks frame after frame. zstandard's own stream reader takes a file that was cut off for a whole one."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._fed = False
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            data = self._frame.unused_data if self._frame.eof else b""
            data = data or self._packed.read(_PACKED_BYTES)
            if not data:
                if self._fed and not self._frame.eof:
                    raise EOFError("the file was cut off")
                return 0
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._fed = True
            self._ready = self._frame.decompress(data)
        taken = self._ready[: len(buffer)]
        self._ready = self._ready[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)
