"""The pipeline monitor: measures every few seconds how far the workers are, and tells the alert manager."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from streaming.errors import Unavailable
from streaming.kafka import clients, topics
from streaming.kafka.delivery import Delivery
from streaming.pipeline.health import PipelineHealth
from streaming.pipeline.measuring import Measuring
from streaming.pipeline.messages import STATUS_KEY, PipelineStatus
from streaming.settings import Settings
from streaming.worker.health import Health
from streaming.worker.logs import logger
from streaming.worker.metrics import PIPELINE_BEHIND_SECONDS, PIPELINE_LAG, PIPELINE_STILL_SECONDS

log = logger(__name__)

NAME = "pipeline-monitor"

ROUND_S = 0.5

WRITE_WITHIN_S = 2.0
"""With `WITHIN_S` of a measurement (4 s) it stays within the 10 s that a supervisor gives a process to stop."""

NEW_CLIENTS_AFTER_S = 30.0
"""Without an answer. A client of librdkafka finds a broker again within a second; one that has not by then never
may (confluentinc/librdkafka#5456)."""


class PipelineMonitor:
    """Writes a `PipelineStatus` to topic `pipeline-status` each interval. While Kafka is away it waits and says so in
    its health answer; what was not measured then is not made up.

    Several may measure, and one of them is to tell: how long a worker stands still is known only to who has measured
    for so long, and what a younger one says of it would end an incident that the older one opens again. One that only
    measures knows as much when it is its turn.
    """

    name = NAME

    def __init__(self, settings: Settings, tells: Callable[[], bool] = lambda: True) -> None:
        """`tells`: whether it is this one's turn to write what it measures."""
        self._settings, self._tells = settings, tells
        self.health = Health(NAME, "kafka")
        self._interval_s = settings.pipeline_interval_s
        self._history = PipelineHealth(self._interval_s)
        # What was not delivered soon is out of date, and doubled it does no harm: so no idempotence, which an error
        # can end for good.
        self._out = clients.producer(
            settings.kafka, enable_idempotence=False, linger_ms=0, message_timeout_ms=int(WRITE_WITHIN_S * 1000)
        )
        self._measuring: Measuring | None = None
        self._next = self._answered = time.monotonic()

    def run_once(self) -> None:
        """Measures and writes where it is time to; else waits a moment."""
        wait_s = self._next - time.monotonic()
        if wait_s > 0:
            time.sleep(min(ROUND_S, wait_s))
            return
        self._next = time.monotonic() + self._interval_s
        try:
            self._tell(self._measure())
        except Unavailable as error:
            self.health.set("kafka", False, str(error))
            self._renew_clients()
        else:
            self._answered = time.monotonic()
            self.health.set("kafka", True, "" if self._tells() else "standby: measures, and tells nothing")

    def close(self) -> None:
        """Disconnects; nothing is in hand."""
        if self._measuring is not None:
            self._measuring.close()

    def _measure(self) -> PipelineStatus:
        if self._measuring is None:
            self._measuring = Measuring(self._settings)
        return self._history.take(self._measuring.measure())

    def _tell(self, status: PipelineStatus) -> None:
        for worker, progress in status.workers.items():
            PIPELINE_LAG.labels(worker).set(progress.lag)
            PIPELINE_BEHIND_SECONDS.labels(worker).set(progress.behind_ms / 1000)
            PIPELINE_STILL_SECONDS.labels(worker).set(progress.still_ms / 1000)
        if not self._tells():
            return
        delivery = Delivery(self._out)  # a new one each time: an error of the last is no error of this one
        delivery.send(
            self._settings.topic(topics.PIPELINE_STATUS), msgspec.json.encode(status), key=STATUS_KEY, headers=[]
        )
        delivery.settle(WRITE_WITHIN_S)

    def _renew_clients(self) -> None:
        if time.monotonic() - self._answered < NEW_CLIENTS_AFTER_S or self._measuring is None:
            return
        log.warning("no answer for long, connecting anew", seconds=NEW_CLIENTS_AFTER_S)
        self._measuring.close()
        self._measuring = None
        self._answered = time.monotonic()
