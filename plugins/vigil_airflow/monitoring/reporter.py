"""Carries events of this process to accumulator1."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, cast

from airflow.sdk.log import redact  # type: ignore[attr-defined]  # as Airflow does with what tasks log

from microservices.client.handler import VigilHandler
from microservices.client.identity import Identity
from microservices.client.records import log_of
from streaming.errors import VigilError
from streaming.forward.sender import ForwardSender
from vigil_airflow.monitoring.events import Event

if TYPE_CHECKING:
    from streaming.settings import Settings

SERVICE = "airflow"

WITHIN_S = 1.0
"""How long a task's process, which has told its state already, waits until its failure is acknowledged; a healthy
accumulator needs 10 ms."""

QUEUE_BYTES = 256 * 1024
"""Memory of a component for events while the accumulator is away; what does not fit is dropped, counted and told."""

log = logging.getLogger(__name__)

_LEVELS = {"INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}


def node_id(component: str = "") -> str:
    """The node of a component, or of all that is not about one: `airflow-scheduler-HOST`, `airflow-HOST`."""
    return "-".join(part for part in (SERVICE, component, socket.gethostname()) if part)


class Reporter:
    """Sends the events of one process. May be used by several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._handlers: dict[str, VigilHandler] = {}

    def later(self, event: Event, component: str = "") -> None:
        """Hands it to a thread: some microseconds. For components, which live on."""
        with self._lock:
            handler = self._handlers.get(component)
            if handler is None:
                handler = self._handlers[component] = VigilHandler(
                    SERVICE,
                    self.settings.accumulator1_port,
                    self.settings.bind_host,
                    node_id=node_id(component),
                    queue_bytes=QUEUE_BYTES,
                    access=self.settings.forward_access,
                )
        handler.emit(_record(event))

    def now(self, event: Event, within_s: float = WITHIN_S) -> bool:
        """Sends it, and waits at most so long; whether it was acknowledged. For the process of a task, which ends."""
        acknowledged = threading.Event()
        thread = threading.Thread(target=self._send, args=(event, within_s, acknowledged), daemon=True)
        thread.start()
        thread.join(within_s)
        return acknowledged.is_set()

    def _send(self, event: Event, within_s: float, acknowledged: threading.Event) -> None:
        settings, at_ns = self.settings, time.time_ns()
        record = log_of(_record(event), Identity(SERVICE, node_id()), at_ns, None)
        try:
            with closing(
                ForwardSender(
                    settings.bind_host, settings.accumulator1_port, timeout_s=within_s, access=settings.forward_access
                )
            ) as sender:
                sender.send(f"logs.{SERVICE}", [(at_ns, record)])
            acknowledged.set()
        except VigilError as error:
            log.info("This failure was not told to Vigil's pipeline: %s", error)


def _record(event: Event) -> logging.LogRecord:
    """As logging would make it; secrets that Airflow knows of are masked."""
    fields = cast(dict[str, object], redact(event.fields))
    made = {"name": event.logger, "msg": redact(event.message), "levelno": _LEVELS[event.level]}
    return logging.makeLogRecord({**fields, **made, "levelname": event.level})
