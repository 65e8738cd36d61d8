"""Attaches a service to Vigil: its logs, its registration and its heartbeat."""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Callable

from microservices.client.handler import QUEUE_BYTES, VigilHandler
from microservices.client.heartbeat import BEAT_WITHIN_S, Heart
from microservices.client.identity import Clock
from streaming.forward.access import PLAIN, Access
from streaming.forward.sender import ForwardSender

HEARTBEAT_INTERVAL_S = 1.0

_attached: Attachment | None = None


class Attachment:
    """A service's hold on Vigil."""

    def __init__(self, handler: VigilHandler, heart: Heart) -> None:
        self.handler, self._heart = handler, heart

    def detach(self) -> None:
        """Sends what was logged and the beat DOWN, within 5 s. Does nothing the second time."""
        logging.getLogger().removeHandler(self.handler)
        self.handler.close()
        self._heart.close()


def attach(
    service: str,
    port: int,
    host: str = "127.0.0.1",
    *,
    node_id: str | None = None,
    level: int = logging.INFO,
    heartbeat_interval_s: float = HEARTBEAT_INTERVAL_S,
    queue_bytes: int = QUEUE_BYTES,
    alive: Callable[[], bool] = lambda: True,
    clock: Clock = time.time_ns,
    access: Access = PLAIN,
) -> Attachment:
    """Sends the root logger's logs from `level` up to the accumulator at host:port, registers the node and beats.

    Returns at once, whether the accumulator is there or not. What was logged is sent at a normal end of the
    process; a process that ends by a signal should call `detach` itself. A second call replaces the first.

    Args:
        node_id: name of this node, the same at every start; without it `SERVICE-HOSTNAME`.
        alive: false while the service cannot work; beats are withheld then.
        queue_bytes: memory for logs while the accumulator is away.
        clock: time in nanoseconds since the epoch.
        access: TLS, and the shared key and user of an accumulator that asks for them, as
            `Access(Tls(ca_path="ca.pem"), Credentials(shared_key, username, password))`.

    Raises:
        ConfigError: a certificate of `access` cannot be used.
    """
    global _attached
    detach()
    handler = VigilHandler(
        service, port, host, node_id=node_id, level=level, queue_bytes=queue_bytes, clock=clock, access=access
    )
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(min(root.level, level))
    sender = ForwardSender(host, port, timeout_s=BEAT_WITHIN_S, access=access)
    heart = Heart(handler.identity, sender, alive=alive, clock=clock)
    heart.start(heartbeat_interval_s)
    _attached = Attachment(handler, heart)
    return _attached


@atexit.register
def detach() -> None:
    """Ends what `attach` began; does nothing if nothing is attached. Called at a normal end of the process."""
    global _attached
    attached, _attached = _attached, None
    if attached:
        attached.detach()
