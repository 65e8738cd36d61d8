"""The thread that registers a node and then beats for it, on a connection of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from microservices.client.identity import Clock, Identity, iso
from microservices.client.shipper import Link
from streaming.forward.sender import ForwardError, new_chunk_id

BEAT_WITHIN_S = 2.0
"""How long a beat waits for its acknowledgement; a healthy accumulator needs 10 ms."""

STOP_WITHIN_S = 1.0
"""How long a stopping node waits for a beat that is under way, before it sends its last."""


class Sender(Protocol):
    """What a heart sends with: `ForwardSender`, or a test's."""

    def send(
        self, tag: str, entries: Sequence[tuple[int, Mapping[str, object]]], *, chunk_id: str | None = None
    ) -> None:
        """Sends and waits for the acknowledgement; raises `ForwardError`."""
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


class Heart:
    """Registers a node, beats `UP` at a steady interval, and `DOWN` once at a clean end.

    The registration is repeated (same chunk id) until acknowledged; a beat that cannot be sent is not, since a
    late beat says nothing. `seq` counts the beats meant to be sent, so a gap shows what was lost. No beat is
    sent while `alive()` is false: a hung service must not look well because its thread is.
    """

    def __init__(
        self,
        identity: Identity,
        sender: Sender,
        *,
        alive: Callable[[], bool] = lambda: True,
        clock: Clock = time.time_ns,
        link: Link | None = None,
    ) -> None:
        self._identity, self._sender, self._alive, self._clock = identity, sender, alive, clock
        self._link = link or Link("heartbeats are not delivered")
        self._pid = os.getpid()
        self._registration_id = new_chunk_id()
        self._registration: tuple[int, dict[str, object]] | None = None
        self._registered = False
        self._seq = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, interval_s: float) -> None:
        """Begins to beat in a thread."""
        self._thread = threading.Thread(target=self._run, args=(interval_s,), name="vigil-heart", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """One round: the registration if it is still owed, then a beat."""
        if not self._alive():
            return
        try:
            self._register()
            self._send_beat("UP")
        except ForwardError as error:
            self._link.lost(error)
        else:
            self._link.works()

    def close(self) -> None:
        """Ends the thread and sends the beat `DOWN`; in a forked child nothing, the node is the parent's."""
        if os.getpid() != self._pid or self._stop.is_set():
            return
        self._stop.set()
        if self._thread:
            self._thread.join(STOP_WITHIN_S)
            if self._thread.is_alive():
                return  # it waits for an accumulator that does not answer; the connection is its own
        try:
            self._send_beat("DOWN")
        except ForwardError as error:
            self._link.lost(error)
        self._sender.close()

    def _run(self, interval_s: float) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self.beat()
            due = max(due + interval_s, time.monotonic())
            self._stop.wait(due - time.monotonic())

    def _register(self) -> None:
        if self._registered:
            return
        # Made once: only the same bytes under the same id are a resend to the accumulator.
        self._registration = self._registration or self._make_registration()
        self._sender.send(
            f"registrations.{self._identity.service}", [self._registration], chunk_id=self._registration_id
        )
        self._registered = True

    def _make_registration(self) -> tuple[int, dict[str, object]]:
        who, now = self._identity, self._clock()
        return now, {
            "node_id": who.node_id,
            "message_type": "REGISTRATION",
            "service_name": who.service,
            "timestamp": iso(now),
            "instance_id": who.instance_id,
        }

    def _send_beat(self, status: str) -> None:
        who, now = self._identity, self._clock()
        self._seq += 1
        record = {
            "node_id": who.node_id,
            "message_type": "HEARTBEAT",
            "status": status,
            "timestamp": iso(now),
            "service_name": who.service,
            "seq": self._seq,
            "instance_id": who.instance_id,
        }
        self._sender.send(f"heartbeats.{who.service}", [(now, record)])
