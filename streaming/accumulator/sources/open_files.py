"""Connections as a share of the files that this process may have open, whatever listens.

A process that runs out of them can open no segment of its spool and take no connection of any source, so one source
that is flooded would stop all.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import threading
from collections.abc import Callable
from typing import Final

FILES_KEPT: Final = 128
"""Of the process's open files, kept from connections for the spool, Kafka and the health port."""


class ConnectionBudget:
    """How many connections may be open together. For any thread."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._taken = 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Counts one more connection; false where there is no room for it."""
        with self._lock:
            has_room = self._taken < self._limit()
            self._taken += has_room
        return has_room

    def give_back(self) -> None:
        """A connection that was counted has been closed."""
        with self._lock:
            self._taken -= 1


def _by_open_files() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else max(FILES_KEPT, limit - FILES_KEPT)


OF_PROCESS: Final = ConnectionBudget(_by_open_files)
"""The limit is the process's, and so is the budget."""


def raise_limit() -> None:
    """Lets this process open as many files as it may. (It starts with a lower limit, often 1,024, for the sake of
    programs that call `select`.)"""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # a system that says "no limit" and has one (macOS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
