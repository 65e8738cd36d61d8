"""Who may send: keys, users, networks; and that nothing but `HandshakeError` comes of any bytes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import Client, Security, User
from streaming.accumulator.sources.forward.handshake import PING_LIMIT, ServerHandshake, Welcome
from streaming.forward.handshake import ClientHandshake, Credentials, HandshakeError

KEY = "0123456789abcdef"
ANN, BOB = User("ann", "secret of ann"), User("bob", "secret of bob")
OPEN = Security(Place(Path("x.conf"), 1), "server1", KEY, False, True, (ANN, BOB), ())
WITH_USERS = replace(OPEN, user_auth=True)


def shake(security: Security, credentials: Credentials, address: str = "10.0.0.7") -> ClientHandshake:
    """Both sides with each other. Raises what the server raises."""
    server, client = ServerHandshake(security, address, b"n" * 16, b"a" * 16), ClientHandshake(credentials)
    welcome = server.receive(client.answer(msgpack.unpackb(server.hello())))
    assert welcome is not None
    client.check(msgpack.unpackb(welcome.pong))
    return client


def refused(security: Security, credentials: Credentials, address: str = "10.0.0.7") -> str:
    """Why; and nothing told that is secret."""
    with pytest.raises(HandshakeError) as caught:
        shake(security, credentials, address)
    told = msgpack.unpackb(caught.value.answer)
    assert told[:2] == ["PONG", False]
    for secret in (KEY, "secret of", credentials.shared_key, credentials.password or "?"):
        assert secret not in str(caught.value)
        assert secret not in str(told)
    return caught.value.reason


def test_the_shared_key_lets_in() -> None:
    shake(OPEN, Credentials(KEY))
    assert refused(OPEN, Credentials("another one")) == "key-mismatch"


def test_users_are_asked_for_where_they_are_wanted() -> None:
    shake(WITH_USERS, Credentials(KEY, "ann", "secret of ann"))
    shake(WITH_USERS, Credentials(KEY, "bob", "secret of bob"))
    assert refused(WITH_USERS, Credentials(KEY, "ann", "secret of bob")) == "user-mismatch"
    assert refused(WITH_USERS, Credentials(KEY, "eve", "secret of ann")) == "user-mismatch"
    assert refused(WITH_USERS, Credentials("another one", "ann", "secret of ann")) == "key-mismatch"


def test_a_network_has_its_own_key_and_users() -> None:
    inner = Client(ip_network("10.0.0.0/8"), "inner key", ("bob",))
    shared = Client(ip_network("192.168.0.0/16"), None, ())
    security = replace(WITH_USERS, clients=(inner, shared))
    shake(security, Credentials("inner key", "bob", "secret of bob"))
    shake(security, Credentials("inner key", "bob", "secret of bob"), "::ffff:10.1.2.3")
    assert refused(security, Credentials(KEY, "bob", "secret of bob")) == "key-mismatch"
    assert refused(security, Credentials("inner key", "ann", "secret of ann")) == "user-mismatch"
    shake(security, Credentials(KEY, "ann", "secret of ann"), "192.168.3.4")
    shake(security, Credentials(KEY, "ann", "secret of ann"), "8.8.8.8")


def test_strangers_are_kept_out_where_they_are_not_allowed() -> None:
    security = replace(OPEN, allow_anonymous_source=False, clients=(Client(ip_network("10.0.0.0/8"), None, ()),))
    shake(security, Credentials(KEY))
    assert refused(security, Credentials(KEY), "8.8.8.8") == "anonymous"
    assert refused(security, Credentials(KEY), "::1") == "anonymous"


def test_a_ping_for_another_nonce_does_not_let_in() -> None:
    """Else whoever has read a handshake could repeat it."""
    first, second = (ServerHandshake(OPEN, "10.0.0.7", nonce * 16, b"a" * 16) for nonce in (b"1", b"2"))
    ping = ClientHandshake(Credentials(KEY)).answer(msgpack.unpackb(first.hello()))
    with pytest.raises(HandshakeError, match="key-mismatch"):
        second.receive(ping)


@given(cuts=st.lists(st.integers(0, 400), max_size=4), behind=st.binary(max_size=50))
def test_a_ping_comes_in_any_pieces_and_what_follows_is_kept(cuts: list[int], behind: bytes) -> None:
    server = ServerHandshake(OPEN, "10.0.0.7", b"n" * 16, b"a" * 16)
    ping = ClientHandshake(Credentials(KEY)).answer(msgpack.unpackb(server.hello()))
    places = [0, *sorted(min(c, len(ping)) for c in cuts), len(ping)]
    parts = [ping[a:b] for a, b in itertools.pairwise(places)]
    parts[-1] += behind
    found: list[Welcome] = []
    rest = b""
    for part in parts:
        if found:
            rest += part
        elif (welcome := server.receive(part)) is not None:
            found.append(welcome)
            rest = welcome.rest
        else:
            assert server.unfinished <= PING_LIMIT
    assert found
    assert rest == behind


FRAME = bytes(msgpack.packb(["app", 1, {"n": {str(k): k for k in range(50)}}]))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (FRAME, "no-handshake"),
        (msgpack.packb(["app", b"x" * 50_000]), "no-handshake"),
        (b"GET / HTTP/1.1\r\n\r\n", "no-handshake"),
        (b"\xc1", "no-handshake"),
        (b"\x91" * 3000, "no-handshake"),
        (msgpack.packb(["PING"]), "malformed-ping"),
        (msgpack.packb(["PING", "h", "s", "d", "u", 5]), "malformed-ping"),
        (msgpack.packb(["PING", "h" * 2000, "s", "d", "u", "p"]), "malformed-ping"),
        (msgpack.packb(["PING", "h" * 2000])[:-1] * 9, "malformed-ping"),
        (b"\x96\xa4PING\xda\xff\xff" + b"h" * 9000, "no-handshake"),
    ],
)
def test_what_is_no_ping_is_refused(sent: bytes, reason: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        ServerHandshake(OPEN, "10.0.0.7", b"n" * 16, b"a" * 16).receive(sent)
    assert caught.value.reason == reason


@given(edits=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=5), noise=st.binary(max_size=300))
def test_broken_pings_raise_nothing_else_and_never_let_in(edits: list[tuple[int, int]], noise: bytes) -> None:
    server = ServerHandshake(WITH_USERS, "10.0.0.7", b"n" * 16, b"a" * 16)
    good = ClientHandshake(Credentials(KEY, "ann", "secret of ann")).answer(msgpack.unpackb(server.hello()))
    raw = bytearray(good)
    for place, value in edits:
        raw[place % len(raw)] = value
    for sent in (bytes(raw), noise):
        try:
            welcome = ServerHandshake(WITH_USERS, "10.0.0.7", b"n" * 16, b"a" * 16).receive(sent)
        except HandshakeError:
            continue
        assert welcome is None or msgpack.unpackb(bytes(raw), raw=True)[3:] == msgpack.unpackb(good, raw=True)[3:]
