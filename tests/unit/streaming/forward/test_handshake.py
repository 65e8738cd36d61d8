"""HELO, PING and PONG as the specification has them, and what a sender makes of a receiver that is not right."""

from __future__ import annotations

import hashlib

import msgpack
import pytest

from streaming.forward import handshake
from streaming.forward.handshake import ClientHandshake, Credentials, HandshakeError

KEY = Credentials("the key", hostname="client1")
USER = Credentials("the key", "ann", "her password", hostname="client1")


def hello(nonce: object = b"nonce", auth: object = b"") -> list[object]:
    return ["HELO", {"nonce": nonce, "auth": auth, "keepalive": True}]


def pong_for(ping: list[object], key: bytes = b"the key", hostname: str = "server1") -> list[object]:
    salt = ping[2]
    assert isinstance(salt, bytes)
    return ["PONG", True, "", hostname, hashlib.sha512(salt + hostname.encode() + b"nonce" + key).hexdigest()]


@pytest.mark.parametrize("nonce", [b"nonce", "nonce"])
def test_ping_is_that_of_the_specification(nonce: object) -> None:
    ping = msgpack.unpackb(ClientHandshake(USER).answer(hello(nonce, "auth-salt")))
    assert ping == [
        "PING",
        "client1",
        ping[2],
        hashlib.sha512(ping[2] + b"client1" + b"nonce" + b"the key").hexdigest(),
        "ann",
        hashlib.sha512(b"auth-salt" + b"ann" + b"her password").hexdigest(),
    ]
    assert len(ping[2]) == handshake.SALT_BYTES


def test_a_user_is_named_only_where_one_is_asked_for() -> None:
    assert msgpack.unpackb(ClientHandshake(USER).answer(hello()))[4:] == ["", ""]
    with pytest.raises(HandshakeError, match="asks for a user"):
        ClientHandshake(KEY).answer(hello(auth=b"salt"))


def test_a_receiver_that_has_the_key_is_trusted() -> None:
    client = ClientHandshake(KEY)
    ping = msgpack.unpackb(client.answer(hello()))
    client.check(pong_for(ping))


@pytest.mark.parametrize(
    ("pong", "reason"),
    [
        (lambda ping: pong_for(ping, key=b"a guess"), "key-mismatch"),
        (lambda ping: pong_for(ping, hostname="client1"), "same-hostname"),
        (lambda _: ["PONG", False, "shared_key mismatch", "", ""], "refused: it refuses this sender: shared_key mism"),
        (lambda ping: ["PONG", 1, *pong_for(ping)[2:]], "refused"),
        (lambda _: ["PONG", True, "", "server1"], "no-pong"),
        (lambda _: {"ack": "x"}, "no-pong"),
        (lambda _: ["PONG", True, "", 5, 6], "malformed"),
    ],
)
def test_any_other_receiver_is_not(pong: object, reason: str) -> None:
    client = ClientHandshake(KEY)
    ping = msgpack.unpackb(client.answer(hello()))
    assert callable(pong)
    with pytest.raises(HandshakeError, match=reason):
        client.check(pong(ping))


@pytest.mark.parametrize("message", [["HELO"], ["PONG", True, "", "", ""], {"ack": "x"}, 5, hello(nonce=None)])
def test_what_is_no_helo_is_refused(message: object) -> None:
    with pytest.raises(HandshakeError):
        ClientHandshake(KEY).answer(message)


def test_secrets_are_not_shown() -> None:
    assert repr(USER) == "Credentials(username='ann', hostname='client1')"
