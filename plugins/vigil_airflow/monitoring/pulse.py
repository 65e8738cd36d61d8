"""The heartbeat of a component of Airflow, as long as Airflow itself counts it as healthy."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from microservices.client.heartbeat import BEAT_WITHIN_S, Heart
from microservices.client.identity import Identity
from streaming.forward.sender import ForwardSender
from vigil_airflow.monitoring.reporter import SERVICE, node_id

if TYPE_CHECKING:
    from streaming.settings import Settings

INTERVAL_S = 2.0

KNOWN_WITHIN_S = 20.0
"""How long it is waited for a job to say of what kind it is, which it does after it told that it begins."""

FORK_WAITS_S = 0.2
"""How long a fork of the component (the scheduler forks its tasks) waits for a beat under way, which takes 10 ms: a
child that was forked while a thread held a lock of the C library would hang with it."""

COMPONENTS: Mapping[str, str] = {
    "SchedulerJob": "scheduler",
    "TriggererJob": "triggerer",
    "DagProcessorJob": "dag-processor",
}
"""Airflow's kinds of jobs to the components' names. The API server has no job; `vigil status` asks it."""


@dataclass(frozen=True)
class Vitals:
    """What is known of a job. `healthy_for_s`: Airflow calls it unhealthy when its own heartbeat is older."""

    kind: str
    last_beat: datetime | None
    healthy_for_s: float = 30.0

    def is_healthy(self, now: datetime) -> bool:
        """Whether Airflow itself would call it so: a component that hangs must not look well because its thread is."""
        return self.last_beat is not None and (now - self.last_beat).total_seconds() <= self.healthy_for_s


class Pulse:
    """Beats for the component whose job `look` looks at, from the moment on when its kind is known, until `stop`.

    `started` is called with the component's name when it is known.
    """

    def __init__(self, settings: Settings, look: Callable[[], Vitals | None], started: Callable[[str], None]) -> None:
        self._settings, self._look, self._started = settings, look, started
        self._heart: Heart | None = None
        self._stop = threading.Event()
        self._pid = os.getpid()
        self._between = threading.Lock()
        self._held = False

    def start(self) -> None:
        """Begins, in a thread of its own."""
        os.register_at_fork(before=self._before_fork, after_in_parent=self._after_fork)
        threading.Thread(target=self._begin, name="vigil-pulse", daemon=True).start()

    def stop(self) -> None:
        """Says that the component ends on purpose, within some 3 s; in a forked child nothing."""
        self._stop.set()
        if self._heart is not None and os.getpid() == self._pid:
            self._heart.close()

    def _begin(self) -> None:
        until = time.monotonic() + KNOWN_WITHIN_S
        while not self._stop.is_set() and time.monotonic() < until:
            vitals = self._look()
            component = COMPONENTS.get(vitals.kind) if vitals else None
            if component is not None:
                self._beat_for(component)
                return
            self._stop.wait(0.1)

    def _beat_for(self, component: str) -> None:
        settings = self._settings
        sender = ForwardSender(
            settings.bind_host, settings.accumulator1_port, timeout_s=BEAT_WITHIN_S, access=settings.forward_access
        )
        identity = Identity(SERVICE, node_id(component))
        self._heart = Heart(identity, _Quiet(sender, self._between), alive=self._is_alive)
        self._heart.start(INTERVAL_S)
        self._started(component)

    def _is_alive(self) -> bool:
        vitals = self._look()
        return vitals is not None and vitals.is_healthy(datetime.now(UTC))

    def _before_fork(self) -> None:
        self._held = self._between.acquire(timeout=FORK_WAITS_S)

    def _after_fork(self) -> None:
        if self._held:
            self._between.release()


class _Quiet:
    """A sender that holds a lock while it sends."""

    def __init__(self, sender: ForwardSender, lock: threading.Lock) -> None:
        self._sender, self._lock = sender, lock

    def send(
        self, tag: str, entries: Sequence[tuple[int, Mapping[str, object]]], *, chunk_id: str | None = None
    ) -> None:
        with self._lock:
            self._sender.send(tag, entries, chunk_id=chunk_id)

    def close(self) -> None:
        self._sender.close()
