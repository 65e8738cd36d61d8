"""Which log files are not wholly in Elasticsearch yet: a list beside them, which any process of Airflow may add to."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_LIMIT = 1024 * 1024
"""Bytes of the list, some 7,000 files; while it is full nothing is added, and those logs stay in their files alone."""


class UnsentList:
    """Texts without line feeds, in `not-in-elasticsearch` of the log folder, one a line. Any process may add; one at a
    time takes, and what it had taken when it was killed is found by the next one."""

    def __init__(self, folder: Path) -> None:
        self._list = folder / "not-in-elasticsearch"
        self._taken = folder / "not-in-elasticsearch.taken"
        self._lock = folder / "not-in-elasticsearch.lock"

    def add(self, entry: str) -> bool:
        """Remembers it; false where the list is full or cannot be written."""
        try:
            with self._list.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed; nobody holds it for longer than a write
                if file.tell() > SIZE_LIMIT:
                    return False
                file.write(_encoded([entry]))
        except OSError:
            return False
        return True

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        try:
            return self._list.stat().st_size == 0 and not self._taken.exists()
        except FileNotFoundError:
            return not self._taken.exists()

    @contextmanager
    def taken(self) -> Iterator[list[str]]:
        """All that are remembered, each once; those that are in the list when the block ends stay remembered. Empty
        where another process has them, or there are none."""
        if self.is_empty:
            yield []
            return
        with self._lock.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield []
                return
            entries = self._take()
            try:
                yield entries
            finally:
                if entries:
                    self._taken.write_bytes(_encoded(entries))
                else:
                    self._taken.unlink(missing_ok=True)

    def _take(self) -> list[str]:
        before = _decoded(self._taken.read_bytes()) if self._taken.exists() else []
        with self._list.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            entries = list(dict.fromkeys([*before, *_decoded(file.read())]))
            self._taken.write_bytes(_encoded(entries))
            file.truncate(0)
        return entries


def _encoded(entries: Iterable[str]) -> bytes:
    return "".join(f"{entry}\n" for entry in entries).encode("utf-8", "surrogateescape")


def _decoded(text: bytes) -> list[str]:
    return [line for line in text.decode("utf-8", "surrogateescape").split("\n") if line]
