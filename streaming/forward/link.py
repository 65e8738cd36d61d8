"""A sender's connection: TCP, TLS and handshake, then frames out and acknowledgements in."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections import deque

import msgpack

from streaming.errors import Unavailable
from streaming.forward.access import Access, client_context
from streaming.forward.handshake import ClientHandshake, HandshakeError

READ_BYTES = 64 * 1024
RESPONSE_LIMIT = 1024 * 1024
"""An acknowledgement is 40 bytes; what sends a megabyte is no accumulator."""


class ForwardError(Unavailable):
    """The accumulator could not be reached or did not acknowledge. Whether it stored the events is not known."""


class Link:
    """One connection at a time; every failure closes it, and the next `open` makes another."""

    def __init__(self, host: str, port: int, access: Access) -> None:
        """Raises ConfigError where a certificate cannot be used."""
        self.name = f"{host}:{port}"
        self._address, self._credentials = (host, port), access.credentials
        self._tls = client_context(access.tls) if access.tls else None
        self._server_name = (access.tls and access.tls.server_name) or host
        self._socket: socket.socket | None = None
        self._forget()

    def open(self, deadline: float) -> bool:
        """Connects, unless a good connection is there; says whether it is a new one.

        Raises:
            ForwardError: nobody answers, or not one that is to be trusted, or it does not take this sender.
        """
        if self._socket and self._is_stale():
            self.close()
        if self._socket:
            return False
        self._forget()
        try:
            self._socket = socket.create_connection(self._address, timeout=_left(deadline))
        except OSError as error:
            raise ForwardError(f"accumulator {self.name} does not answer: {_reason(error)}") from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                self._socket.settimeout(_left(deadline))
                self._socket = self._tls.wrap_socket(self._socket, server_hostname=self._server_name)
        except OSError as error:
            raise self._lost(_tls_reason(error)) from error
        if self._credentials:
            self._shake_hands(ClientHandshake(self._credentials), deadline)
        return True

    def write(self, frame: bytes, deadline: float) -> None:
        """Writes the whole frame."""
        link = self._bounded(deadline)
        try:
            link.sendall(frame)
        except OSError as error:
            raise self._lost(_tls_reason(error)) from error

    def read_ack(self, deadline: float) -> str:
        """Waits for the next acknowledgement and returns its chunk id."""
        return self._ack_of(self._next_message(deadline))

    def has_input(self) -> bool:
        """Whether reading would not wait (also true at the end of the stream)."""
        with contextlib.suppress(ForwardError):  # it is closed then, which reading tells
            self._take_what_is_there()
        return bool(self._messages) or self._at_end or self._socket is None

    def close(self) -> None:
        """Closes it, if open."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _forget(self) -> None:
        """What the last connection left."""
        self._unpacker = msgpack.Unpacker(max_buffer_size=RESPONSE_LIMIT)
        self._messages: deque[object] = deque()
        self._at_end = False

    def _shake_hands(self, handshake: ClientHandshake, deadline: float) -> None:
        try:
            hello = self._next_message(deadline)
        except ForwardError as error:
            raise ForwardError(f"{error}; no HELO came, as from one with a shared key (<security>)") from error
        try:
            self.write(handshake.answer(hello), deadline)
            handshake.check(self._next_message(deadline))
        except HandshakeError as error:
            raise self._lost(str(error)) from error

    def _next_message(self, deadline: float) -> object:
        while not self._messages:
            link = self._bounded(deadline)
            try:
                data = b"" if self._at_end else link.recv(READ_BYTES)
            except OSError as error:
                raise self._lost(_tls_reason(error)) from error
            if not data:
                raise self._lost("it closed the connection")
            self._take(data)
        return self._messages.popleft()

    def _take(self, data: bytes) -> None:
        try:
            self._unpacker.feed(data)
            self._messages.extend(self._unpacker)
        except (ValueError, msgpack.exceptions.UnpackException) as error:
            raise self._lost("its answer is not the Forward protocol's") from error

    def _take_what_is_there(self) -> None:
        """Reads without waiting. A connection that was closed meanwhile is `_at_end`."""
        if not self._socket or self._at_end:
            return
        self._socket.setblocking(False)
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            data = b""
        if data:
            self._take(data)
        else:
            self._at_end = True

    def _is_stale(self) -> bool:
        """The accumulator closed an idle connection, for instance when it was started again."""
        with contextlib.suppress(ForwardError):
            self._take_what_is_there()
        return self._at_end or self._socket is None

    def _bounded(self, deadline: float) -> socket.socket:
        if not self._socket:
            raise ForwardError(f"accumulator {self.name}: not connected")
        if deadline <= time.monotonic():
            raise self._lost("no acknowledgement within the time-out")
        self._socket.settimeout(_left(deadline))
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


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)


def _reason(error: OSError) -> str:
    return "no answer within the time-out" if isinstance(error, TimeoutError) else error.strerror or str(error)


def _tls_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "it closed the connection"
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "it does not speak TLS"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return _reason(error)
