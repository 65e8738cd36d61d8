"""Sends events to an accumulator by the Forward protocol and waits for its acknowledgement. Base install alone.

Source: fluent/fluentd wiki, "Forward Protocol Specification v1": PackedForward mode, options `chunk` and `size`,
and the response `{"ack": CHUNK}`. `access` says how the connection is secured and what the sender shows
(streaming/forward/access.py); without it, plain TCP.

Delivery is at least once: a chunk whose acknowledgement did not come may have been stored all the same. Sending
the same `Chunk` again (same id) lets the accumulator tell the resend from new events.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgpack

from streaming.forward import event_time
from streaming.forward.access import PLAIN, Access
from streaming.forward.link import ForwardError, Link

__all__ = ["Chunk", "ForwardError", "ForwardSender", "PipelinedSender", "chunk_of", "make_chunk", "pack_entry"]

RETRY_PAUSE_S = (0.1, 0.2, 0.5, 1.0)
"""Pauses between attempts to reach an accumulator that is away; the last one repeats."""


class Chunk(NamedTuple):
    """Events packed once, ready to be sent (and sent again) as they are."""

    id: str
    events: int
    frame: bytes


def new_chunk_id() -> str:
    """128 random bits in base64, as the specification wants a chunk's id."""
    return base64.b64encode(os.urandom(16)).decode("ascii")


def pack_entry(time_ns: int, record: Mapping[str, object]) -> bytes:
    """One entry of a PackedForward chunk.

    Lone surrogates, which UTF-8 cannot hold, are written as `\\udcXX`; text that is not UTF-8 should come as bytes.

    Raises:
        TypeError, OverflowError, ValueError: the record holds what msgpack cannot carry.
    """
    packed: bytes = msgpack.packb([event_time.encode(time_ns), record], unicode_errors="backslashreplace")
    return packed


def chunk_of(tag: str, packed: Sequence[bytes], chunk_id: str | None = None) -> Chunk:
    """A chunk of entries that `pack_entry` made. Without `chunk_id` it gets a random one."""
    name = chunk_id or new_chunk_id()
    frame: bytes = msgpack.packb([tag, b"".join(packed), {"chunk": name, "size": len(packed)}])
    return Chunk(name, len(packed), frame)


def make_chunk(tag: str, entries: Sequence[tuple[int, Mapping[str, object]]], *, chunk_id: str | None = None) -> Chunk:
    """A chunk of (time in nanoseconds, record) pairs."""
    return chunk_of(tag, [pack_entry(time_ns, record) for time_ns, record in entries], chunk_id)


class ForwardSender:
    """One chunk at a time: `send` returns when the accumulator has acknowledged. For one thread."""

    def __init__(self, host: str, port: int, *, timeout_s: float = 5.0, access: Access = PLAIN) -> None:
        """Connects at the first send. `timeout_s` bounds one send, from connecting to the acknowledgement.

        Raises:
            ConfigError: a certificate of `access` cannot be used.
        """
        self._link = Link(host, port, access)
        self._timeout_s = timeout_s

    def send(
        self, tag: str, entries: Sequence[tuple[int, Mapping[str, object]]], *, chunk_id: str | None = None
    ) -> None:
        """Sends events and waits for the acknowledgement; without events it does nothing.

        After an error the next call connects anew. To repeat a send whose outcome is unknown, give both calls
        the same `chunk_id` and the same entries.

        Raises:
            ForwardError: not acknowledged within the time-out.
        """
        if entries:
            self.send_chunk(make_chunk(tag, entries, chunk_id=chunk_id))

    def send_chunk(self, chunk: Chunk) -> None:
        """The same for a chunk that is packed already.

        Raises:
            ForwardError: not acknowledged within the time-out.
        """
        deadline = time.monotonic() + self._timeout_s
        self._link.open(deadline)
        self._link.write(chunk.frame, deadline)
        while self._link.read_ack(deadline) != chunk.id:
            pass  # the late answer to an earlier chunk, whose caller has given up

    def close(self) -> None:
        """Closes the connection; a later send opens a new one."""
        self._link.close()


class PipelinedSender:
    """Up to `window` chunks under way at once, for replay and benchmarks. For one thread.

    When the connection is lost, every chunk not yet acknowledged is sent again, in order and with its id, until
    the accumulator is back or `retry_for_s` have passed without progress. Within a connection order is kept.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        window: int = 8,
        timeout_s: float = 30.0,
        retry_for_s: float = 60.0,
        pause: Callable[[float], None] = time.sleep,
        access: Access = PLAIN,
    ) -> None:
        """`timeout_s` bounds the wait for one acknowledgement before the connection counts as lost.

        Raises:
            ConfigError: a certificate of `access` cannot be used.
        """
        self._link = Link(host, port, access)
        self._window, self._timeout_s, self._retry_for_s, self._pause = window, timeout_s, retry_for_s, pause
        self._under_way: dict[str, Chunk] = {}
        self.acknowledged = 0
        """Events acknowledged so far."""

    def connect(self) -> None:
        """Connects now, without retry, so that a wrong address is told at once.

        Raises:
            ForwardError: nobody answers there.
        """
        self._link.open(time.monotonic() + self._timeout_s)

    def send_nowait(self, chunk: Chunk) -> None:
        """Sends a chunk; waits only while `window` chunks are under way.

        Raises:
            ForwardError: the accumulator was away for longer than `retry_for_s`; chunks under way may be lost.
        """
        while len(self._under_way) >= self._window:
            self._await_one()
        self._under_way[chunk.id] = chunk
        try:
            fresh = self._link.open(self._deadline())
            # On a new connection nothing will answer for what went over the old one.
            for owed in list(self._under_way.values()) if fresh else [chunk]:
                self._link.write(owed.frame, self._deadline())
        except ForwardError:
            self._recover()
            return
        self._take_what_is_there()

    def drain(self) -> None:
        """Waits until every chunk is acknowledged.

        Raises:
            ForwardError: as `send_nowait`.
        """
        while self._under_way:
            self._await_one()

    def close(self) -> None:
        """Closes the connection without waiting; `drain` first."""
        self._link.close()

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout_s

    def _take_what_is_there(self) -> None:
        while self._under_way and self._link.has_input():
            self._await_one()

    def _await_one(self) -> None:
        try:
            self._settle(self._link.read_ack(self._deadline()))
        except ForwardError:
            self._recover()

    def _settle(self, chunk_id: str) -> None:
        chunk = self._under_way.pop(chunk_id, None)
        if chunk:
            self.acknowledged += chunk.events

    def _recover(self) -> None:
        """Sends everything under way again on a new connection, and returns when one chunk is acknowledged."""
        give_up = time.monotonic() + self._retry_for_s
        attempt = 0
        while True:
            try:
                self._link.close()
                self._link.open(self._deadline())
                self._send_again()
                return
            except ForwardError:
                pause = RETRY_PAUSE_S[min(attempt, len(RETRY_PAUSE_S) - 1)]
                attempt += 1
                if time.monotonic() + pause > give_up:
                    raise
                self._pause(pause)

    def _send_again(self) -> None:
        for chunk in list(self._under_way.values()):
            self._link.write(chunk.frame, self._deadline())
        # Only an acknowledgement shows that the new connection is good: a proxy accepts and then drops.
        self._settle(self._link.read_ack(self._deadline()))
