"""The life of a worker: started whole or not at all, rounds of work, a clean stop on TERM."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn, Protocol

from streaming.errors import VigilError
from streaming.settings import Settings
from streaming.worker.health import Health
from streaming.worker.logs import configure_logs, logger
from streaming.worker.notify import Notifier
from streaming.worker.telemetry import TelemetryServer

log = logger(__name__)

CLOSE_WITHIN_S = 9.0
"""A supervisor kills after 10 s; one second is left to say what hung."""


class Worker(Protocol):
    """One worker. Its constructor connects and checks all configuration, and raises `VigilError` if it cannot work."""

    name: str
    health: Health

    def run_once(self) -> None:
        """One round: wait at most about a second for work, do it, return. Errors it cannot mend it raises."""
        ...

    def close(self) -> None:
        """Finish or give back what is in hand, and disconnect; within a few seconds."""
        ...


def run(process: str, settings: Settings, factories: Sequence[Callable[[], Worker]], health_port: int) -> None:
    """Runs workers, each in a thread of its own, until TERM or INT, or until one of them fails.

    Returns after a clean stop. What a worker raised is raised again here, after the others have closed: a
    process with half its workers is worse than one that its supervisor starts again. Where systemd is that supervisor
    it is told of the start, of life while all workers come round, and of the stop (`streaming.worker.notify`).
    """
    configure_logs(process)
    stop = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)

    workers: list[Worker] = []
    starting = Health(process, "started")
    starting.set("started", False, "still starting")
    healths = [starting]
    failures: list[BaseException] = []
    # The port first: a worker that is started twice must be refused before it fences the one that runs.
    telemetry = TelemetryServer(settings.bind_host, health_port, healths)
    notifier = Notifier()
    try:
        for factory in factories:
            workers.append(factory())
        healths[:] = [worker.health for worker in workers]
        log.info("started", workers=[w.name for w in workers], health_port=health_port)
        threads = [threading.Thread(target=_loop, args=(w, stop, failures), name=w.name) for w in workers]
        for thread in threads:
            thread.start()
        notifier.ready()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
                if not stop.is_set():
                    notifier.look(healths)
    finally:
        notifier.stopping()
        _close(workers)
        telemetry.close()
    if failures:
        raise failures[0]
    log.info("stopped")


def exit_readably(start: Callable[[], None]) -> NoReturn:
    """Runs a process's `start`; an error meant for people ends it with one line on standard error and its exit code."""
    try:
        start()
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0)


def _loop(worker: Worker, stop: threading.Event, failures: list[BaseException]) -> None:
    try:
        while not stop.is_set():
            worker.run_once()
            worker.health.came_round()
    except BaseException as error:
        log.error("failed", worker=worker.name, error=f"{type(error).__name__}: {error}", exc_info=True)
        failures.append(error)
        stop.set()


def _close(workers: Sequence[Worker]) -> None:
    closers = [threading.Thread(target=w.close, name=f"close-{w.name}", daemon=True) for w in workers]
    for closer in closers:
        closer.start()
    for closer, worker in zip(closers, workers, strict=True):
        closer.join(CLOSE_WITHIN_S)
        if closer.is_alive():
            log.error("did not close in time", worker=worker.name, seconds=CLOSE_WITHIN_S)
