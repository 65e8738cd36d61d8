"""Who may send: the accumulator's side of HELO, PING and PONG, for one connection. Pure.

Rules of `<security>` and `<client>` as in Fluentd's in_forward.rb: the first client section whose network holds the
sender's address decides its key and users; without one the sender is anonymous and has those of the section, unless
`allow_anonymous_source` is off.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgpack

from streaming.accumulator.configuration.plan import Client, Security, User
from streaming.forward.handshake import (
    FIELD_LIMIT,
    HandshakeError,
    Ping,
    accept,
    helo,
    password_digest,
    read_ping,
    refuse,
    same,
    shared_key_digest,
)

PING_LIMIT = 8 * FIELD_LIMIT
"""Most bytes held of a PING that is not whole: five fields and their headers take less."""


@dataclass(frozen=True)
class Welcome:
    """The sender may send. `pong` answers it; `rest` are the bytes that came behind its PING."""

    pong: bytes
    rest: bytes
    hostname: str


class ServerHandshake:
    """Waits for one PING. `nonce` and `auth_salt` must be fresh for each connection."""

    def __init__(self, security: Security, address: str, nonce: bytes, auth_salt: bytes) -> None:
        self._security, self._nonce = security, nonce
        self._auth_salt = auth_salt if security.user_auth else b""
        self._address = address
        self._client = _client_at(security, address)
        self._held = b""

    def hello(self) -> bytes:
        """What the sender is greeted with."""
        return helo(self._nonce, self._auth_salt)

    @property
    def unfinished(self) -> int:
        """Bytes held of a PING that is not whole."""
        return len(self._held)

    def receive(self, data: bytes) -> Welcome | None:
        """Takes bytes in; None while PING is not whole.

        Raises:
            HandshakeError: the sender is refused; `answer` says so to it.
        """
        held = self._held + data
        message, end = _first_message(held[:PING_LIMIT])
        if end == 0:
            if len(held) > PING_LIMIT:
                raise _no_ping()
            self._held = held
            return None
        self._held = b""
        try:
            ping = read_ping(message)
        except HandshakeError as error:
            error.answer = refuse("invalid ping message")
            raise
        key = self._admit(ping)
        pong = accept(ping, self._nonce, self._security.self_hostname, key)
        return Welcome(pong, held[end:], ping.hostname.decode("utf-8", "backslashreplace"))

    def _admit(self, ping: Ping) -> str:
        """The shared key that the sender has shown to have."""
        security, client = self._security, self._client
        if client is None and not security.allow_anonymous_source:
            raise _refusal("anonymous", "no <client> holds its address", f"anonymous source host '{self._address}'")
        key = security.shared_key if client is None or client.shared_key is None else client.shared_key
        expected = shared_key_digest(ping.salt, ping.hostname, self._nonce, key.encode())
        host = f"{ping.hostname.decode('utf-8', 'backslashreplace'):.80}"
        if not same(ping.shared_key_digest, expected):
            raise _refusal("key-mismatch", f"{host} has another shared key", "shared_key mismatch")
        if security.user_auth and not self._is_user(ping):
            user = f"{ping.username.decode('utf-8', 'backslashreplace'):.80}"
            raise _refusal("user-mismatch", f"{host}: user {user!r} or its password", "username/password mismatch")
        return key

    def _is_user(self, ping: Ping) -> bool:
        """Every user is compared, so that the time does not tell which names there are."""
        found = False
        for user in self._users():
            expected = password_digest(self._auth_salt, user.username.encode(), user.password.encode())
            named = same(ping.username, user.username.encode())
            found |= same(ping.password_digest, expected) & named
        return found

    def _users(self) -> list[User]:
        allowed = self._client.users if self._client else ()
        return [u for u in self._security.users if not allowed or u.username in allowed]


def _refusal(reason: str, detail: str, told: str) -> HandshakeError:
    return HandshakeError(reason, detail, refuse(told))


def _no_ping() -> HandshakeError:
    detail = f"it sent no PING of at most {PING_LIMIT} bytes; this port asks for a shared key (<security>)"
    return HandshakeError("no-handshake", detail, refuse("invalid ping message"))


def _first_message(data: bytes) -> tuple[object, int]:
    """The first message and the offset behind it; 0 while it is not whole."""
    # Texts stay bytes: the digests are made of them as they came.
    unpacker = msgpack.Unpacker(
        raw=True, strict_map_key=False, max_buffer_size=PING_LIMIT, max_array_len=16, max_map_len=16
    )
    unpacker.feed(data)
    try:
        message = unpacker.unpack()
    except msgpack.OutOfData:
        return None, 0
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        # A frame's options or records may pass the bounds above: then it is a frame, and no PING.
        raise _no_ping() from error
    return message, unpacker.tell()


def _client_at(security: Security, address: str) -> Client | None:
    found = _address(address)
    return next((c for c in security.clients if found is not None and found in c.network), None)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An IPv4 address that came over an IPv6 socket (`::ffff:10.0.0.1`) is that IPv4 address."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
