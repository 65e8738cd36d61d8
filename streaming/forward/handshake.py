"""HELO, PING and PONG: how a sender and a receiver of the Forward protocol show each other their shared key.

Pure: bytes and texts in, messages out. Source: fluent/fluentd wiki, "Forward Protocol Specification v1", section
"Handshake messages"; for what it leaves open, in_forward.rb and out_forward.rb of Fluentd 1.16.

Neither side ever sends the key or a password, only SHA-512 digests that hold a salt of the other side. The digests can
be tried against guesses by whoever reads them: without TLS a shared key should be long and random.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field

import msgpack

SALT_BYTES = 16
"""As Fluentd's."""
FIELD_LIMIT = 1024
"""Most bytes of any one field of a message: a host name has 255, a digest 128."""


class HandshakeError(Exception):
    """The other side is not who it should be, or does not speak the handshake.

    `reason` is a short constant that metrics select by; the text is for people and holds no secret. `answer` is what
    the other side should still be sent before the connection is closed; empty for nothing.
    """

    def __init__(self, reason: str, detail: str, answer: bytes = b"") -> None:
        self.reason, self.answer = reason, answer
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class Credentials:
    """What a sender shows: the accumulator's shared key, and a user's name and password where it asks for a user.

    `hostname` is the sender's name of itself; it must not be that of the accumulator.
    """

    shared_key: str = field(repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    hostname: str = "vigil-client"


def salt() -> bytes:
    """Fresh random bytes, for a nonce or a salt."""
    return os.urandom(SALT_BYTES)


def shared_key_digest(shared_key_salt: bytes, hostname: bytes, nonce: bytes, shared_key: bytes) -> bytes:
    """Shows that `hostname` has the key. The salt is the sender's, the nonce the receiver's; lower-case hex."""
    return hashlib.sha512(shared_key_salt + hostname + nonce + shared_key).hexdigest().encode()


def password_digest(auth_salt: bytes, username: bytes, password: bytes) -> bytes:
    """Shows that a user has the password."""
    return hashlib.sha512(auth_salt + username + password).hexdigest().encode()


def same(given: bytes, expected: bytes) -> bool:
    """Compares digests in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given, expected)


# -------------------------------------------------------------------------------------------- messages


@dataclass(frozen=True)
class Ping:
    """What a sender shows. Fields are the bytes that came: the digests are made of just these."""

    hostname: bytes
    salt: bytes
    shared_key_digest: bytes
    username: bytes
    password_digest: bytes


def helo(nonce: bytes, auth_salt: bytes) -> bytes:
    """The receiver's first message. An empty `auth_salt` asks for no user."""
    return _packed(["HELO", {"nonce": nonce, "auth": auth_salt, "keepalive": True}])


def read_ping(message: object) -> Ping:
    """A PING that was unpacked with `raw=True`.

    Raises:
        HandshakeError: it is none.
    """
    if not isinstance(message, list) or message[:1] != [b"PING"]:
        raise HandshakeError("no-handshake", "it sent no PING; this port asks for a shared key (<security>)")
    fields = message[1:]
    if len(fields) != 5 or not all(isinstance(f, bytes) and len(f) <= FIELD_LIMIT for f in fields):
        raise HandshakeError("malformed-ping", f"PING has five texts of at most {FIELD_LIMIT} bytes")
    return Ping(*fields)


def accept(ping: Ping, nonce: bytes, hostname: str, shared_key: str) -> bytes:
    """PONG: shows the sender that the receiver has the key too."""
    digest = shared_key_digest(ping.salt, hostname.encode(), nonce, shared_key.encode())
    return _packed(["PONG", True, "", hostname, digest.decode()])


def refuse(reason: str) -> bytes:
    """PONG: the sender may not send."""
    return _packed(["PONG", False, reason, "", ""])


class ClientHandshake:
    """The sender's side: `answer` to HELO with what to send, then `check` PONG."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials, self._salt, self._nonce = credentials, salt(), b""

    def answer(self, message: object) -> bytes:
        """PING, for the HELO that came.

        Raises:
            HandshakeError: it is no HELO.
        """
        if not (isinstance(message, list) and len(message) == 2 and message[0] == "HELO"):
            raise HandshakeError("no-helo", "it did not begin with HELO")
        options = message[1] if isinstance(message[1], dict) else {}
        nonce, auth_salt = _bytes(options.get("nonce")), _bytes(options.get("auth") or b"")
        mine = self._credentials
        if auth_salt and not mine.username:
            raise HandshakeError("no-user", "it asks for a user (user_auth), which this sender was not given")
        self._nonce, host, user = nonce, mine.hostname.encode(), mine.username.encode()
        key = shared_key_digest(self._salt, host, nonce, mine.shared_key.encode())
        password = password_digest(auth_salt, user, mine.password.encode()) if auth_salt else b""
        username = mine.username if auth_salt else ""
        return _packed(["PING", mine.hostname, self._salt, key.decode(), username, password.decode()])

    def check(self, message: object) -> None:
        """Takes PONG in.

        Raises:
            HandshakeError: the receiver refuses, or does not have the key itself.
        """
        if not (isinstance(message, list) and len(message) == 5 and message[0] == "PONG"):
            raise HandshakeError("no-pong", "it did not answer with PONG")
        _, accepted, reason, hostname, digest = message
        if accepted is not True:
            raise HandshakeError("refused", f"it refuses this sender: {reason!s:.200}")
        host = _bytes(hostname)
        if host == self._credentials.hostname.encode():
            raise HandshakeError("same-hostname", f"it has the sender's own name, {hostname!s:.80}")
        expected = shared_key_digest(self._salt, host, self._nonce, self._credentials.shared_key.encode())
        if not same(_bytes(digest), expected):
            raise HandshakeError("key-mismatch", "it does not have the shared key itself")


def _bytes(value: object) -> bytes:
    """A text or binary of a message, of which implementations send either."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if not isinstance(value, bytes) or len(value) > FIELD_LIMIT:
        raise HandshakeError("malformed", "its handshake is not the Forward protocol's")
    return value


def _packed(message: list[object]) -> bytes:
    packed: bytes = msgpack.packb(message)
    return packed
