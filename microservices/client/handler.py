"""A standard logging handler that sends canonical logs to an accumulator without ever blocking its service."""

from __future__ import annotations

import logging
import os
import time

from microservices.client.buffer import Buffer, Drops
from microservices.client.identity import Clock, Identity, iso
from microservices.client.records import canonical_log, level_name, log_of
from microservices.client.shipper import Link, Shipper
from microservices.client.tracing import current
from streaming.forward.access import PLAIN, Access
from streaming.forward.sender import ForwardSender, pack_entry

QUEUE_BYTES = 8 * 1024 * 1024
"""About 25,000 logs of 300 bytes: four minutes of an outage at 100 logs/s."""

CLOSE_WITHIN_S = 2.0
"""A supervisor kills after 10 s; a healthy accumulator takes a full queue in one."""


class VigilHandler(logging.Handler):
    """Queues each log in memory; a thread sends them in order and again until they are acknowledged.

    While the accumulator is away the queue fills up to `queue_bytes`; what then does not fit is dropped, counted,
    and told by a WARN log when the accumulator is back. Order is kept per process. After a fork the child is a
    run of its own, with its own queue and thread.
    """

    def __init__(
        self,
        service: str,
        port: int,
        host: str = "127.0.0.1",
        *,
        node_id: str | None = None,
        level: int = logging.NOTSET,
        queue_bytes: int = QUEUE_BYTES,
        clock: Clock = time.time_ns,
        access: Access = PLAIN,
    ) -> None:
        """Raises ConfigError where a certificate of `access` cannot be used."""
        super().__init__(level)
        self.identity = Identity(service, node_id)
        self._address, self._access = (host, port), access
        self._queue_bytes, self.clock = queue_bytes, clock
        self._closed = False
        self._begin()

    def emit(self, record: logging.LogRecord) -> None:
        """Queues one log: some microseconds, no I/O."""
        if self._closed:
            return
        if os.getpid() != self._pid:
            self.identity = self.identity.renewed()
            self._begin()
        try:
            time_ns = self.clock()
            entry = pack_entry(time_ns, log_of(record, self.identity, time_ns, current()))
        except Exception:  # noqa: BLE001 - logging's contract: a handler reports its failure and never raises it
            self.handleError(record)
            return
        self._buffer.put(entry, level_name(record.levelno), time_ns)

    @property
    def waiting(self) -> int:
        """Logs not yet acknowledged."""
        return self._shipper.waiting

    @property
    def connected(self) -> bool:
        """False while the accumulator does not answer."""
        return self._link.up

    def flush(self, within_s: float = CLOSE_WITHIN_S) -> None:
        """Waits, at most so long, until all that was logged is acknowledged."""
        deadline = time.monotonic() + within_s
        while self.waiting and self.connected and time.monotonic() < deadline:
            time.sleep(0.005)

    def close(self) -> None:
        """Sends what is left for at most `CLOSE_WITHIN_S`; what then remains is told on standard error."""
        if not self._closed and os.getpid() == self._pid:
            self._closed = True
            left = self._shipper.close(CLOSE_WITHIN_S)
            if left:
                self._link.say(f"vigil: {left} logs of {self.identity.node_id} were not delivered")
        super().close()

    def _begin(self) -> None:
        host, port = self._address
        self._pid = os.getpid()
        self._buffer = Buffer(self._queue_bytes)
        self._link = Link(f"logs are kept in memory, up to {self._queue_bytes / 1e6:.1f} MB")
        self._shipper = Shipper(
            self._buffer,
            ForwardSender(host, port, access=self._access),
            f"logs.{self.identity.service}",
            self._link,
            self._report,
        )
        self._shipper.start()

    def _report(self, drops: Drops) -> bytes:
        """The log of what was dropped."""
        time_ns = self.clock()
        message = f"{drops.total} logs dropped: the queue of {self._queue_bytes / 1e6:.1f} MB was full"
        log = canonical_log(self.identity, "WARN", message, time_ns) | {
            "logger": __name__,
            "dropped": drops.total,
            "dropped_by_level": dict(drops.by_level),
            "dropped_from": iso(drops.first_ns),
            "dropped_to": iso(drops.last_ns),
        }
        return pack_entry(time_ns, log)
