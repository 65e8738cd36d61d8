"""Who a service is, and the times and ids it puts into what it sends."""

from __future__ import annotations

import itertools
import secrets
import socket
import time
from collections.abc import Callable

Clock = Callable[[], int]
"""The time in nanoseconds since the epoch; `time.time_ns`, or a test's."""


class Identity:
    """One run of one node of a service.

    `instance_id` is new with every start (and after a fork), so ids that count from 1 never repeat.
    """

    def __init__(self, service: str, node_id: str | None = None) -> None:
        """Without `node_id` the node is called after the service and this machine."""
        self.service = service
        self.node_id = node_id or f"{service}-{socket.gethostname()}"
        self.instance_id = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def next_log_id(self) -> str:
        """`NODE-INSTANCE-NUMBER`, unique for ever; safe from any thread."""
        return f"{self.node_id}-{self.instance_id}-{next(self._numbers)}"

    def renewed(self) -> Identity:
        """The same node as a new run."""
        return Identity(self.service, self.node_id)


def iso(time_ns: int) -> str:
    """A time as ISO 8601, UTC, to the microsecond."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds // 1000:06d}Z"
