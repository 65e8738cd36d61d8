"""Waits until the workers have read what lies in Kafka, before they are stopped for good."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from streaming.errors import Unavailable
from streaming.pipeline.health import Measurement
from streaming.pipeline.measuring import Measuring
from streaming.settings import Settings

WORKERS = ("indexer", "matcher", "manager", "notifier")
"""What is read for good by them. The heartbeat monitor reads what nobody misses afterwards."""

LOOKS_EVERY_S = 1.0

Report = Callable[[str], None]


def left(measured: Measurement) -> dict[str, int]:
    """Records that a worker has not read, by worker; what has none is left out."""
    found = {name: sum(one.lag for one in measured.workers.get(name, {}).values()) for name in WORKERS}
    return {name: lag for name, lag in found.items() if lag}


def await_read(settings: Settings, within_s: float, report: Report) -> None:
    """Waits; tells what is left whenever that has changed.

    Raises:
        Unavailable: something is left when the time is over, or Kafka does not answer; the text says what.
    """
    deadline, told = time.monotonic() + within_s, ""
    with closing(Measuring(settings)) as measuring:
        while behind := left(measuring.measure()):
            words = ", ".join(f"{name} {lag:,}" for name, lag in behind.items())
            if words != told:
                report(f"records left to read: {words}")
                told = words
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"after {within_s:.0f} s there is still something to read: {words}. See the logs of these workers; "
                    "where what is left may be lost, take the platform down without draining"
                )
            time.sleep(LOOKS_EVERY_S)
    report("everything in Kafka was read")
