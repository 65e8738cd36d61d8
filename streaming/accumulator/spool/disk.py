"""The few things a spool asks of a disk, as a port, so that tests can stand in one that loses and breaks things."""

from __future__ import annotations

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
    durable after `sync_names`.
    """

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
        self._files: dict[str, int] = {}
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
        return os.pread(self._file(name), length, offset)

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
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
        try:
            os.pwrite(file, data, 0)
        finally:
            os.close(file)

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
        for name in list(self._files):
            self._forget(name)
        os.close(self._folder)

    def _file(self, name: str) -> int:
        with self._opening:  # one thread appends while another reads
            file = self._files.get(name)
            if file is None:
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                file = self._files[name] = os.open(name, flags, 0o600, dir_fd=self._folder)
            return file

    def _forget(self, name: str) -> None:
        file = self._files.pop(name, None)
        if file is not None:
            os.close(file)


def sync_folder(path: Path) -> None:
    """Makes names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
