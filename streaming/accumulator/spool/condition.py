"""Check "spool" of the health: well only if nothing is wrong with it, else all that is."""

from __future__ import annotations

import threading
from collections import Counter

from streaming.accumulator.spool.losses import Loss
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import ACCUMULATOR_LOST

log = logger(__name__)

TELL_EVERY_S = 10.0
"""Dropping at full speed loses a segment a second or more; each line of the log becomes an event and an alert."""


class SpoolCondition:
    """Several threads may set what each of them knows.

    Losses are counted and logged as ERROR, which the rule `vigil-worker-error` makes an incident of. They are in the
    check's detail as long as this process runs, and do not make it unhealthy: what is lost does not come back.
    """

    def __init__(self, name: str, health: Health) -> None:
        self._name, self._health = name, health
        self._lock = threading.Lock()
        self._troubles: dict[str, str] = {}
        self._lost: Counter[str] = Counter()
        self._logged: Counter[str] = Counter()
        self._log_at = 0.0
        health.set("spool", True)

    def set(self, what: str, trouble: str) -> None:
        """One kind of trouble; empty: it is over."""
        with self._lock:
            if trouble:
                self._troubles[what] = trouble
            else:
                self._troubles.pop(what, None)
            self._tell()

    def lost(self, loss: Loss) -> None:
        """The spool lost something. Counted at once; `log_losses` logs it."""
        with self._lock:
            self._lost[f"{loss.kind} chunks"] += loss.last - loss.first + 1
            self._lost[f"{loss.kind} events"] += loss.events or 0
            self._tell()
        ACCUMULATOR_LOST.labels(self._name, loss.kind).inc(loss.events or 0)

    def log_losses(self, now: float) -> None:
        """What was lost since the last line, if it is time for one. Called often."""
        with self._lock:
            news = self._lost - self._logged
            if not news or now < self._log_at:
                return
            self._log_at, self._logged = now + TELL_EVERY_S, self._lost.copy()
        dropped = any(what.startswith("dropped") for what in news)
        message = "spool is full: the oldest events were dropped" if dropped else "acknowledged events were lost"
        log.error(message, **{what.replace(" ", "_").replace("-", "_"): count for what, count in news.items()})

    def _tell(self) -> None:
        lost = [f"{count} {what} lost" for what, count in self._lost.items() if count]
        self._health.set("spool", not self._troubles, "; ".join([*self._troubles.values(), *lost]))
