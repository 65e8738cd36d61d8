"""The sign of life: when it is due, and whether alerts would be delivered, which is what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

from confluent_kafka import KafkaException

from streaming.alerting.rules.routes import DeadMan
from streaming.kafka import topics
from streaming.kafka.committed import CommittedOffsets
from streaming.settings import Settings

ASK_EVERY_S = 2.0
ANSWER_WITHIN_S = 5.0
FRESH_S = 15.0
"""Matchers tell the manager once a second how far they are, and it commits what it read at once. A standby takes over
within 5 s, and reads for 5 s before it lets time pass; 15 s without a step is an alert path that stands still."""


class Signs:
    """When a sign of life is due: pure, with the clock passed in."""

    def __init__(self) -> None:
        self._next = 0.0
        self._last_every: float | None = None

    def due(self, dead_man: DeadMan, is_current: bool, now: float) -> bool:
        """Whether one is to be sent now. One that could not be sent at its time is sent as soon as it can."""
        if dead_man.every != self._last_every:
            self._last_every, self._next = dead_man.every, now
        if now < self._next or not is_current:
            return False
        self._next = now + dead_man.every
        return True


class Advance:
    """Whether something that should move does: pure, with the clock passed in."""

    def __init__(self) -> None:
        self._at: int | None = None
        self._moved: float | None = None

    def saw(self, position: int, now: float) -> None:
        """It is there now."""
        if self._at is not None and position > self._at:
            self._moved = now
        self._at = position

    def trouble(self, now: float) -> str:
        """Why it is not current; empty where it is."""
        if self._moved is None:
            return "the manager has not been seen to move yet"
        still_s = now - self._moved
        return "" if still_s <= FRESH_S else f"the manager has not moved for {still_s:.0f} s"


class PathWatch:
    """Asks Kafka, in a thread of its own, how far the manager has read what matchers tell it.

    Matchers tell it once a second how far they are, and it commits what it read in one transaction with what follows
    from it: while its offset moves, a matcher, Kafka and the manager work.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._advance = Advance()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="path-watch", daemon=True)
        self._thread.start()

    def trouble(self) -> str:
        """Why alerts would not be delivered; empty where they would."""
        with self._lock:
            return self._advance.trouble(self._clock())

    def close(self) -> None:
        """Asks no more."""
        self._stopped.set()
        self._thread.join(ANSWER_WITHIN_S + 1)

    def _watch(self) -> None:
        place = (self._settings.topic(topics.CANDIDATES), 0)
        with closing(CommittedOffsets(self._settings.kafka)) as groups:
            while not self._stopped.wait(ASK_EVERY_S):
                try:
                    found = groups.of(self._settings.group("manager"), [place], ANSWER_WITHIN_S)
                except KafkaException:
                    continue  # It counts as not moving; the health answer tells of Kafka itself.
                with self._lock:
                    self._advance.saw(found.get(place, -1), self._clock())
