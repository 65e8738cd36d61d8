"""TLS between a connection's bytes and its data, in memory: asyncio's own closes a failed handshake without a word."""

from __future__ import annotations

import contextlib
import ssl

READ_AT_ONCE = 256 * 1024
_HANDSHAKE_RECORD = 22
"""First byte of a TLS connection: content type "handshake" (RFC 8446, 5.1). No frame of the Forward protocol begins
with it."""


class TlsError(Exception):
    """The connection cannot go on. `reason` is a short constant that metrics select by; the text is for people."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}: {detail}")


def begins_as_tls(data: bytes) -> bool:
    """Whether a connection that begins with these bytes speaks TLS."""
    return data[:1] == bytes([_HANDSHAKE_RECORD])


class TlsLayer:
    """The server's side of one connection. Holds no more than one record that has not come whole (16 KiB)."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._begun = False
        self.established = False
        """The handshake is over, and the client's certificate, where one is asked for, is good."""
        self.ended = False
        """The client has said that it sends no more."""

    def receive(self, data: bytes) -> bytes:
        """Takes bytes of the connection in, and gives what they say.

        `outgoing` may have something to send afterwards, also where this raises.

        Raises:
            TlsError: no TLS, or one that is refused.
        """
        if not self._begun and data:
            if not begins_as_tls(data):
                raise TlsError("no-tls", "it speaks plain text; this port wants TLS (<transport tls>)")
            self._begun = True
        self._incoming.write(data)
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            return self._read()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            reason = "tls-broken" if self.established else "tls-handshake"
            raise TlsError(reason, error.reason or str(error)) from error

    def _read(self) -> bytes:
        parts: list[bytes] = []
        try:
            while part := self._tls.read(READ_AT_ONCE):
                parts.append(part)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return b"".join(parts)

    def send(self, data: bytes) -> None:
        """Says something; `outgoing` then has the bytes."""
        self._tls.write(data)

    def close(self) -> None:
        """Says that no more comes; `outgoing` then has the bytes."""
        if self.established:
            # It raises to tell that the other side has not said so yet, which nobody waits for here.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()

    def outgoing(self) -> bytes:
        """What the connection must carry to the client now."""
        return self._outgoing.read()
