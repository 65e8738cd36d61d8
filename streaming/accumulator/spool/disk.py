"""The few things a spool asks of a disk, as a port, so that tests can stand in one that loses and breaks things."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from streaming.errors import Unavailable

_WRITES_AT_ONCE = 512
"""Pieces in one writev; Linux takes 1,024 (IOV_MAX)."""


class Disk(Protocol):
    """Files of one folder, by name. Every call may raise OSError.

    Durable after a crash is what `sync` or `replace` returned for; names (creation, renaming, deletion) are
    durable after `sync_names`. After a failed `sync` nobody knows which of the bytes since the last one are on the
    disk, and a later `sync` that succeeds says nothing about them: the kernel reports a failed write once and then
    takes its pages for clean.
    """

    @property
    def boot(self) -> bytes:
        """Stays the same as long as what was written is there to be read though it was not synced (so a killed
        process lost nothing); another after a power loss. Empty: not known."""
        ...

    def names(self) -> list[str]:
        """All files, sorted."""
        ...

    def size(self, name: str) -> int:
        """Length in bytes."""
        ...

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer at the end of the file."""
        ...

    def append(self, name: str, parts: Sequence[bytes]) -> None:
        """Writes behind what is there, making the file if need be. A failure may leave some of it written."""
        ...

    def sync(self, name: str) -> None:
        """Returns when the file's content is on the disk."""
        ...

    def truncate(self, name: str, length: int) -> None:
        """Cuts the file."""
        ...

    def overwrite(self, name: str, data: bytes) -> None:
        """Writes `data` at the file's start, not durable at once and perhaps torn by a crash."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """The whole file anew, durable, and never half of it."""
        ...

    def rename(self, name: str, new: str) -> None:
        """Gives a file another name."""
        ...

    def delete(self, name: str) -> None:
        """Removes a file."""
        ...

    def sync_names(self) -> None:
        """Returns when names are as durable as contents."""
        ...


class Folder:
    """A folder of the real disk. It is locked for this process: two writers would mix their sequences.

    Raises:
        Unavailable: another process holds it, or it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.boot = _boot()
        self._files: dict[tuple[str, bool], int] = {}
        """By name and whether it is open for writing: a disk that became read-only can still be read."""
        self._opening = threading.Lock()
        try:
            made = [p for p in (path, *path.parents) if not p.exists()]
            path.mkdir(parents=True, exist_ok=True)
            for folder in made:  # their names must be as durable as what comes into them
                sync_folder(folder.parent)
            self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"spool folder {path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._folder)
            raise Unavailable(f"spool folder {path} is in use; is another accumulator of this name running?") from error

    def names(self) -> list[str]:
        """All files, sorted."""
        return sorted(entry.name for entry in os.scandir(self.path) if entry.is_file())

    def size(self, name: str) -> int:
        """Length in bytes."""
        return (self.path / name).stat().st_size

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        return os.pread(self._file(name, writing=False), length, offset)

    def append(self, name: str, parts: Sequence[bytes]) -> None:
        """Writes `parts` one behind the other at the file's end."""
        file = self._file(name)
        for start in range(0, len(parts), _WRITES_AT_ONCE):
            group = parts[start : start + _WRITES_AT_ONCE]
            left = sum(map(len, group))
            written = os.writev(file, group)
            if written < left:  # a nearly full disk takes a part; the next write then says why
                rest = memoryview(b"".join(group))[written:]
                while rest:
                    rest = rest[os.write(file, rest) :]

    def sync(self, name: str) -> None:
        """fdatasync: content and length."""
        os.fdatasync(self._file(name))

    def truncate(self, name: str, length: int) -> None:
        """Cuts the file and makes that durable."""
        os.ftruncate(self._file(name), length)
        os.fdatasync(self._file(name))

    def overwrite(self, name: str, data: bytes) -> None:
        """One small write at the start."""
        if os.pwrite(self._file(name, append=False), data, 0) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path / name))

    def replace(self, name: str, data: bytes) -> None:
        """By a temporary file, fsync and rename."""
        temporary = self.path / f"{name}.tmp"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / name)
        self._forget(name)
        self.sync_names()

    def rename(self, name: str, new: str) -> None:
        """Gives a file another name."""
        (self.path / name).rename(self.path / new)
        self._forget(name)

    def delete(self, name: str) -> None:
        """Removes a file."""
        (self.path / name).unlink(missing_ok=True)
        self._forget(name)

    def sync_names(self) -> None:
        """fsync of the folder."""
        os.fsync(self._folder)

    def close(self) -> None:
        """Closes all files and gives the folder free."""
        for name, _ in list(self._files):
            self._forget(name)
        os.close(self._folder)

    def _file(self, name: str, *, writing: bool = True, append: bool = True) -> int:
        with self._opening:  # one thread appends while another reads
            file = self._files.get((name, writing))
            if file is None:
                flags = os.O_RDONLY
                if writing:
                    flags = os.O_RDWR | os.O_CREAT | (os.O_APPEND if append else 0)
                file = os.open(name, flags | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
                self._files[name, writing] = file
            return file

    def _forget(self, name: str) -> None:
        with self._opening:
            files = [self._files.pop((name, writing), None) for writing in (False, True)]
        for file in files:
            if file is not None:
                os.close(file)


def _boot() -> bytes:
    """The running kernel's random id; empty where there is none to be read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b""


BLOCK = 4096
"""What a disk loses at a time."""


def read_around(disk: Disk, name: str, offset: int, length: int) -> bytes:
    """As `read`, with zeros for the blocks of a file that cannot be read while others can.

    Raises:
        OSError: nothing of it can be read; then it is the disk and not a block.
    """
    try:
        return disk.read(name, offset, length)
    except OSError:
        blocks: list[bytes | None] = []
        for at in range(offset, offset + length, BLOCK):
            try:
                blocks.append(disk.read(name, at, min(BLOCK, offset + length - at)))
            except OSError:
                blocks.append(None)
        if not any(blocks):
            raise
    last = len(blocks) - 1
    sizes = [BLOCK] * last + [length - last * BLOCK]
    return b"".join(bytes(size) if block is None else block for block, size in zip(blocks, sizes, strict=True))


def sync_folder(path: Path) -> None:
    """Makes names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
