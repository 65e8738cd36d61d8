"""Sends events to an accumulator by the Forward protocol and waits for its acknowledgement. Base install alone.

Source: fluent/fluentd wiki, "Forward Protocol Specification v1": PackedForward mode, options `chunk` and `size`,
and the response `{"ack": CHUNK}`.

Delivery is at least once: a chunk whose acknowledgement did not come may have been stored all the same. Sending
the same `Chunk` again (same id) lets the accumulator tell the resend from new events.
"""

from __future__ import annotations

import base64
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgpack

from streaming.errors import Unavailable
from streaming.forward import event_time

RETRY_PAUSE_S = (0.1, 0.2, 0.5, 1.0)
"""Pauses between attempts to reach an accumulator that is away; the last one repeats."""

_READ_BYTES = 64 * 1024
_MAX_RESPONSE_BYTES = 1024 * 1024
"""An acknowledgement is 40 bytes; what sends a megabyte is no accumulator."""


class ForwardError(Unavailable):
    """The accumulator could not be reached or did not acknowledge. Whether it stored the events is not known."""


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

    def __init__(self, host: str, port: int, *, timeout_s: float = 5.0) -> None:
        """Connects at the first send. `timeout_s` bounds one send, from connecting to the acknowledgement."""
        self._link = _Link(host, port)
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
    ) -> None:
        """`timeout_s` bounds the wait for one acknowledgement before the connection counts as lost."""
        self._link = _Link(host, port)
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


class _Link:
    """A TCP connection that writes frames and reads acknowledgements; every failure closes it."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"{host}:{port}"
        self._address = (host, port)
        self._socket: socket.socket | None = None
        self._unpacker = _unpacker()

    def open(self, deadline: float) -> bool:
        """Connects, unless a good connection is there; says whether it is a new one."""
        if self._socket and self._is_stale():
            self.close()
        if self._socket:
            return False
        try:
            self._socket = socket.create_connection(self._address, timeout=max(deadline - time.monotonic(), 0.001))
        except OSError as error:
            raise ForwardError(f"accumulator {self.name} does not answer: {_reason(error)}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unpacker = _unpacker()
        return True

    def write(self, frame: bytes, deadline: float) -> None:
        """Writes the whole frame."""
        link = self._bounded(deadline)
        try:
            link.sendall(frame)
        except OSError as error:
            raise self._lost(_reason(error)) from error

    def read_ack(self, deadline: float) -> str:
        """Waits for the next acknowledgement and returns its chunk id."""
        while True:
            try:
                for message in self._unpacker:
                    return self._ack_of(message)
                self._unpacker.feed(self._receive(deadline))
            except (ValueError, msgpack.exceptions.UnpackException) as error:
                raise self._lost("its answer is not the Forward protocol's") from error

    def has_input(self) -> bool:
        """Whether reading would not wait (also true at the end of the stream)."""
        return self._peek() is not None

    def close(self) -> None:
        """Closes it, if open."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _receive(self, deadline: float) -> bytes:
        link = self._bounded(deadline)
        try:
            data = link.recv(_READ_BYTES)
        except OSError as error:
            raise self._lost(_reason(error)) from error
        if not data:
            raise self._lost("it closed the connection")
        return data

    def _is_stale(self) -> bool:
        """The accumulator closed an idle connection, for instance when it was started again."""
        return self._peek() == b""

    def _peek(self) -> bytes | None:
        """What could be read at once: a byte, nothing yet (None), or the end of the stream (empty)."""
        if not self._socket:
            return None
        self._socket.setblocking(False)
        try:
            return self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _bounded(self, deadline: float) -> socket.socket:
        if not self._socket:
            raise ForwardError(f"accumulator {self.name}: not connected")
        left = deadline - time.monotonic()
        if left <= 0:
            raise self._lost("no acknowledgement within the time-out")
        self._socket.settimeout(left)
        return self._socket

    def _ack_of(self, message: object) -> str:
        if isinstance(message, dict) and isinstance(message.get("ack"), str):
            return str(message["ack"])
        if isinstance(message, list) and message[:1] == ["HELO"]:
            raise self._lost("it asks for a shared key (<security>), which this sender does not have")
        raise self._lost("its answer is not the Forward protocol's")

    def _lost(self, reason: str) -> ForwardError:
        self.close()
        return ForwardError(f"accumulator {self.name}: {reason}")


def _unpacker() -> msgpack.Unpacker:
    return msgpack.Unpacker(max_buffer_size=_MAX_RESPONSE_BYTES)


def _reason(error: OSError) -> str:
    return "no answer within the time-out" if isinstance(error, TimeoutError) else error.strerror or str(error)
