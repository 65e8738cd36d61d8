"""Keeps a worker's knowledge of the retention classes fresh enough to name indices by (see versions.py)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from streaming.errors import Unavailable
from streaming.retention.classes import Retention
from streaming.retention.versions import LEAD_S

CURRENT_S = LEAD_S / 2
"""What was read within this time before a midnight holds for the day that follows."""
LOOK_EVERY_S = CURRENT_S / 3
AGAIN_S = 5.0
"""After a look that failed."""


class RetentionWatch:
    """Looks every `LOOK_EVERY_S`, in a thread of its own: a Kafka that is slow to answer must not hold up a worker's
    loop. For one thread.

    By the wall clock, since a machine that slept for a night has slept through a midnight.
    """

    def __init__(
        self, read: Callable[[], Retention], default_days: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.known = Retention(default_days)
        self.trouble = "the retention classes were not read yet"
        """Why they are not current; empty if they are."""
        self._read, self._clock = read, clock
        self._read_at: float | None = None
        self._next = 0.0
        self._look: _Look | None = None

    @property
    def is_current(self) -> bool:
        """Whether records of today may be named by what is known."""
        return self._read_at is not None and 0 <= self._clock() - self._read_at < CURRENT_S

    def looked(self) -> bool:
        """Looks where that is due; true when what is known has changed since the last call."""
        now = self._clock()
        if self._look is None:
            if not self._is_due(now):
                return False
            self._look = _Look(self._read, now)
        if self._look.alive:
            return False
        look, self._look = self._look, None
        if look.found is None:
            self._next = now + AGAIN_S
            if not self.is_current:
                self.trouble = f"the retention classes cannot be read: {look.why}"
            return False
        changed = self._read_at is None or look.found.declared != self.known.declared
        self.known, self._read_at, self.trouble = look.found, look.began, ""
        self._next = look.began + LOOK_EVERY_S
        return changed

    def _is_due(self, now: float) -> bool:
        has_jumped_back = self._read_at is not None and now < self._read_at
        return now >= self._next or has_jumped_back


class _Look:
    """One reading, under way or done."""

    def __init__(self, read: Callable[[], Retention], began: float) -> None:
        self.began = began
        self.found: Retention | None = None
        self.why = ""
        self._read = read
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.found = self._read()
        except Unavailable as error:
            self.why = str(error)
