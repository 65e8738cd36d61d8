"""The Forward protocol's listener with a queue in the committer's place, and what its tests send."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgpack

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import ForwardSource, Security, Tls
from streaming.accumulator.sources.forward.server import ForwardServer
from streaming.accumulator.spool.segment import Arrived

WITHIN_S = 10.0


class Submitted(NamedTuple):
    chunk: Arrived
    done: Callable[[bool], None]


class Receiver:
    """A server whose chunks the test takes and answers."""

    def __init__(
        self,
        *,
        tag: str | None = None,
        add_tag_prefix: str | None = None,
        tls: Tls | None = None,
        security: Security | None = None,
    ) -> None:
        self.submitted: queue.Queue[Submitted] = queue.Queue()
        self.room = True
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        place = Place(Path("x.conf"), 1)
        plain = ForwardSource(place, None, "127.0.0.1", self.port, tag, add_tag_prefix, None)
        self.source = replace(plain, tls=tls, security=security)
        self.server = ForwardServer(
            "accumulator1", [self.source], lambda c, d: self.submitted.put(Submitted(c, d)), lambda: self.room
        )

    def next(self) -> Submitted:
        return self.submitted.get(timeout=WITHIN_S)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=WITHIN_S)

    def close(self) -> None:
        self.server.stop_accepting()
        self.server.close()


def frame(number: int, chunk: str | None = None, tag: str = "app") -> bytes:
    """A frame in Message mode."""
    message: list[object] = [tag, number, {"n": number}]
    return bytes(msgpack.packb([*message, {"chunk": chunk}] if chunk else message))


def wait_for(condition: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    """Returns when it holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read_ack(client: socket.socket) -> object:
    """The next answer."""
    return msgpack.unpackb(client.recv(1000))
