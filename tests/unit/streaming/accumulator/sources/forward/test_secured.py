"""The listener with TLS and handshake, and Vigil's own senders against it."""

from __future__ import annotations

import contextlib
import logging
import queue
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest
from structlog.testing import capture_logs

from microservices.client import vigil
from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import Security, User
from streaming.errors import ConfigError
from streaming.forward.access import Access, Tls, client_context
from streaming.forward.handshake import ClientHandshake, Credentials
from streaming.forward.sender import ForwardError, ForwardSender, PipelinedSender, make_chunk
from tests.support.certificates import Certificates
from tests.support.forward_receiver import WITHIN_S, Receiver, frame, read_ack, wait_for

KEY = "0123456789abcdef"
SECURITY = Security(Place(Path("x.conf"), 5), "server1", KEY, True, True, (User("ann", "secret of ann"),), ())
ANN = Credentials(KEY, "ann", "secret of ann")

MakeReceiver = Callable[..., Receiver]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextlib.contextmanager
def answering(receiver: Receiver) -> Iterator[None]:
    """Acknowledges whatever comes."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Empty):
                receiver.submitted.get(timeout=0.02).done(True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()


def send(receiver: Receiver, access: Access) -> None:
    """Two chunks, acknowledged."""
    sender = ForwardSender("127.0.0.1", receiver.port, timeout_s=WITHIN_S, access=access)
    try:
        for n in range(2):
            sender.send("app", [(n, {"n": n})])
    finally:
        sender.close()


@pytest.mark.parametrize(
    ("with_tls", "with_key"), [(True, False), (False, True), (True, True)], ids=["tls", "key", "tls and key"]
)
def test_a_sender_that_may_is_served(
    receivers: MakeReceiver, certificates: Certificates, with_tls: bool, with_key: bool
) -> None:
    receiver = receivers(tls=certificates.server() if with_tls else None, security=SECURITY if with_key else None)
    access = Access(certificates.client() if with_tls else None, ANN if with_key else None)
    with answering(receiver):
        send(receiver, access)
        pipelined = PipelinedSender("127.0.0.1", receiver.port, window=3, timeout_s=WITHIN_S, access=access)
        for n in range(20):
            pipelined.send_nowait(make_chunk("app", [(n, {"text": "x" * 50_000})]))
        pipelined.drain()
        assert pipelined.acknowledged == 20
        pipelined.close()


def test_a_client_certificate_is_asked_for(receivers: MakeReceiver, certificates: Certificates) -> None:
    receiver = receivers(tls=certificates.server(client_cert_auth=True))
    with answering(receiver), capture_logs() as logs:
        send(receiver, Access(certificates.client(with_certificate=True)))
        with pytest.raises(ForwardError):
            send(receiver, Access(certificates.client()))
        wait_for(lambda: bool(logs))
    assert logs[0]["reason"] == "tls-handshake: PEER_DID_NOT_RETURN_A_CERTIFICATE"


def test_a_sender_checks_the_certificate(receivers: MakeReceiver, certificates: Certificates) -> None:
    receiver = receivers(tls=certificates.server())
    with pytest.raises(ForwardError, match="certificate is not trusted"):
        send(receiver, Access(certificates.client(trusting=False)))
    with pytest.raises(ForwardError, match="certificate is not trusted: Hostname mismatch"):
        send(receiver, Access(replace(certificates.client(), server_name="elsewhere")))


@pytest.mark.parametrize(
    ("credentials", "told"),
    [
        (Credentials("a guess", "ann", "secret of ann"), "shared_key mismatch"),
        (Credentials(KEY, "ann", "a guess"), "username/password mismatch"),
        (Credentials(KEY), "asks for a user"),
        (None, "asks for a shared key"),
        (replace(ANN, hostname="server1"), "the sender's own name"),
    ],
)
def test_a_sender_that_may_not_is_told(receivers: MakeReceiver, credentials: Credentials | None, told: str) -> None:
    receiver = receivers(security=SECURITY)
    with pytest.raises(ForwardError, match=told) as caught, capture_logs() as logs:
        send(receiver, Access(credentials=credentials))
    for text in (str(caught.value), str(logs)):
        assert KEY not in text
        assert "secret of ann" not in text
    assert receiver.submitted.empty()


def test_a_sender_with_a_key_needs_a_receiver_that_asks(receivers: MakeReceiver) -> None:
    sender = ForwardSender("127.0.0.1", receivers().port, timeout_s=0.2, access=Access(credentials=ANN))
    with pytest.raises(ForwardError, match="no HELO"):
        sender.send("app", [(1, {})])


def test_plain_text_to_a_tls_port_is_named(receivers: MakeReceiver, certificates: Certificates) -> None:
    receiver = receivers(tls=certificates.server())
    with capture_logs() as logs, receiver.connect() as client:
        client.sendall(frame(1, "c"))
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
    assert "plain text" in logs[0]["reason"]


def test_tls_to_a_plain_port_is_named(receivers: MakeReceiver, certificates: Certificates) -> None:
    receiver = receivers()
    with capture_logs() as logs, pytest.raises(ForwardError):
        send(receiver, Access(certificates.client()))
    assert "it speaks TLS; this port does not" in logs[0]["reason"]


def test_a_tls_sender_is_told_of_a_server_without_tls(certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            link, _ = listener.accept()
            with link:
                link.sendall(b"220 hello\r\n")
                link.recv(1000)

        threading.Thread(target=answer, daemon=True).start()
        sender = ForwardSender("127.0.0.1", listener.getsockname()[1], access=Access(certificates.client()))
        with pytest.raises(ForwardError, match="does not speak TLS"):
            sender.send("app", [(1, {})])


@pytest.mark.parametrize("secured", ["tls", "key"])
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"])
def test_who_does_not_finish_the_handshake_is_put_out(
    receivers: MakeReceiver,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    secured: str,
    sent: bytes,
) -> None:
    monkeypatch.setattr("streaming.accumulator.sources.forward.connection.HANDSHAKE_WITHIN_S", 0.1)
    receiver = receivers(
        tls=certificates.server() if secured == "tls" else None, security=SECURITY if secured == "key" else None
    )
    if secured == "key" and sent:
        sent = b"\x96\xa4PING"
    with receiver.connect() as client:
        client.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            while client.recv(1000):
                pass
    wait_for(lambda: not receiver.server.connections)


def test_a_frame_that_comes_with_the_ping_is_taken(receivers: MakeReceiver) -> None:
    receiver = receivers(security=SECURITY)
    with receiver.connect() as client:
        handshake = ClientHandshake(ANN)
        client.sendall(handshake.answer(msgpack.unpackb(client.recv(1000))) + frame(1, "c1"))
        handshake.check(msgpack.unpackb(client.recv(1000)))
        receiver.next().done(True)
        assert read_ack(client) == {"ack": "c1"}


def test_a_tls_sender_that_says_that_it_ends_still_gets_its_answer(
    receivers: MakeReceiver, certificates: Certificates
) -> None:
    receiver = receivers(tls=certificates.server())
    plain, secret = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(certificates.client()).wrap_bio(plain, secret, server_hostname="localhost")
    with receiver.connect() as client:

        def step(work: Callable[[], object]) -> object:
            while True:
                try:
                    return work()
                except ssl.SSLWantReadError:
                    client.sendall(secret.read())
                    plain.write(client.recv(10_000))

        step(tls.do_handshake)
        tls.write(frame(1, "c1"))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        client.sendall(secret.read())
        receiver.next().done(True)
        answer = b""
        while part := client.recv(10_000):
            answer += part
    assert answer, "the acknowledgement, and the receiver's own end"


def test_a_service_reaches_a_secured_accumulator(receivers: MakeReceiver, certificates: Certificates) -> None:
    receiver = receivers(tls=certificates.server(client_cert_auth=True), security=SECURITY)
    access = Access(certificates.client(with_certificate=True), ANN)
    tags: set[str] = set()
    attachment = vigil.attach("order", receiver.port, access=access)
    try:
        logging.getLogger("order").warning("hello")
        while tags != {"logs.order", "registrations.order", "heartbeats.order"}:
            submitted = receiver.next()
            tags.add(submitted.chunk.tag)
            submitted.done(True)
    finally:
        with answering(receiver):
            vigil.detach()
    assert attachment.handler.waiting == 0


def test_renewed_certificates_are_taken_and_broken_ones_are_not(
    receivers: MakeReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.accumulator.sources.forward.certificates.LOOK_EVERY_S", 0.0)
    old = Certificates(tmp_path)
    trusting_old = Access(
        Tls(ca_path=str(shutil.copy(old.path("ca"), tmp_path / "old-ca.pem")), server_name="localhost")
    )
    receiver = receivers(tls=old.server())
    with answering(receiver):
        send(receiver, trusting_old)
        Path(old.path("server")).write_text("half a file")
        with capture_logs() as logs:
            send(receiver, trusting_old)
        assert "the old ones stay in force" in logs[0]["event"]
        new = Certificates(tmp_path)
        send(receiver, Access(new.client()))
        with pytest.raises(ForwardError, match="not trusted"):
            send(receiver, trusting_old)


def test_unusable_certificates_of_a_sender_are_named(tmp_path: Path, certificates: Certificates) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    broken = str(tmp_path / "broken.pem")
    for name, tls in {
        "ca_path": Tls(ca_path=broken),
        "cert_path": Tls(certificates.path("ca"), broken, broken),
        "private_key_path": Tls(private_key_path=certificates.path("client-key")),
    }.items():
        with pytest.raises(ConfigError, match=name):
            ForwardSender("127.0.0.1", 1, access=Access(tls))
