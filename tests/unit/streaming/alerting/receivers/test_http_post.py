"""Posting: what each answer means, what is known after a fault, and what never shows."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from streaming.alerting.receivers import http_post
from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.receivers.http_post import ANSWER_LIMIT, Endpoint
from tests.support.certificates import Certificates
from tests.support.fake_http import FakeHttp, Reply

SECRET_PATH = "/services/T000/SECRETPATH?token=SECRETQUERY"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeHttp]:
    with FakeHttp.running() as fake:
        yield fake


@pytest.fixture(autouse=True)
def clean(server: FakeHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    server.reset()
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def endpoint(server: FakeHttp, path: str = SECRET_PATH) -> Endpoint:
    return Endpoint(SecretStr(server.url + path))


def failure(endpoint: Endpoint) -> Undelivered:
    with pytest.raises(Undelivered) as error:
        endpoint.deliver(b"{}", {})
    shown = f"{error.value} {error.value.args} {error.value.__cause__}"
    assert "SECRET" not in shown
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return error.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, "misconfigured") for status in (301, 302, 303, 307, 308, 401, 403, 404, 405, 410)),
        *((status, "later") for status in (408, 409, 425, 429)),
        *((status, "only_this") for status in (400, 402, 406, 411, 413, 415, 422, 431, 451)),
        *((status, "unknown") for status in (500, 501, 502, 503, 504, 599)),
    ],
)
def test_what_a_status_means(server: FakeHttp, status: int, kind: str) -> None:
    server.faults.replies = [Reply(status, {"Location": "http://127.0.0.1:1/elsewhere"})]
    found = failure(endpoint(server))
    assert found.reason == f"http_{status}"
    assert {name for name in ("misconfigured", "only_this", "unknown") if getattr(found, name)} == {kind} - {"later"}
    assert found.wait_s is None
    assert len(server.requests) == 1, "nothing is tried again here, and no redirect is followed"


@pytest.mark.parametrize(("status", "waits"), [(429, True), (503, True), (400, False), (401, False)])
def test_retry_after(server: FakeHttp, status: int, waits: bool) -> None:
    server.faults.replies = [Reply(status, {"Retry-After": "17"})]
    assert failure(endpoint(server)).wait_s == (17.0 if waits else None)


def test_what_is_posted(server: FakeHttp) -> None:
    endpoint(server).deliver(b'{"a":1}', {"Content-Type": "application/json"})
    (request,) = server.taken
    assert request.path == SECRET_PATH
    assert request.body == b'{"a":1}'
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] is None


def test_the_user_of_an_address_logs_in_and_never_shows(server: FakeHttp) -> None:
    place = Endpoint(SecretStr(f"http://bob:SECRET%40word@127.0.0.1:{server.port}/x#SECRET"))
    place.deliver(b"{}", {})
    (request,) = server.taken
    assert request.headers["Authorization"] == "Basic Ym9iOlNFQ1JFVEB3b3Jk"
    assert request.path == "/x"
    server.faults.replies = [Reply(500)]
    assert "bob" not in str(failure(place))


def test_a_cut_connection_leaves_it_open_whether_it_arrived(server: FakeHttp) -> None:
    for faults in ("cut_before", "cut_after"):
        setattr(server.faults, faults, 1)
        found = failure(endpoint(server))
        assert (found.reason, found.unknown, found.misconfigured) == ("no_answer", True, False)
    endpoint(server).deliver(b"{}", {})


def test_no_answer_in_time(server: FakeHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_post, "READ_S", 0.05)
    server.faults.delay_s = 0.3
    assert failure(endpoint(server)).unknown


def test_a_server_that_is_not_there(server: FakeHttp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = Endpoint(SecretStr(f"http://127.0.0.1:{port}{SECRET_PATH}"))
    found = failure(place)
    assert (found.reason, found.unknown) == ("unreachable", False)
    with pytest.raises(Undelivered, match="unreachable: 127"):
        place.reach()


def test_no_such_host() -> None:
    place = Endpoint(SecretStr(f"https://no-such-host.invalid{SECRET_PATH}"))
    assert str(failure(place)) == "unreachable: no-such-host.invalid: no such host"
    with pytest.raises(Undelivered, match="no such host"):
        place.reach()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("https://SECRET:SECRET:SECRET@[::1/x", "bad_address"),
        ("https://host:99999/SECRET", "bad_address"),
        ("ftp://host/SECRET", "bad_address"),
        ("SECRET", "bad_address"),
        ("", "bad_address"),
        ("https://" + "a" * 300 + ".example/SECRET", "unreachable"),
        ("http://hooks.example/SECRET", "plain_http"),
        ("http://127.0.0.1.example/SECRET", "plain_http"),
    ],
)
def test_an_address_that_cannot_be_used(address: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = failure(Endpoint(SecretStr(address)))
    assert found.reason in (reason, "bad_address")
    assert found.misconfigured or reason == "unreachable"
    assert not found.unknown


def test_an_answer_without_end_is_cut_off(server: FakeHttp) -> None:
    place = endpoint(server)
    server.faults.replies = [Reply(200, body=b"x" * 1_000_000)]
    assert len(place.deliver(b"{}", {}).body) <= ANSWER_LIMIT
    server.faults.replies = [Reply(200, {"Content-Length": "500"}, b"only this")]
    server.faults.replies.append(Reply(200, body=b"after"))
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr(http_post, "READ_S", 0.05)
        assert endpoint(server).deliver(b"{}", {}).body == b"only this", "the status holds without the whole body"
    assert place.deliver(b"{}", {}).body == b"after", "what was left unread is not taken for the next answer"


def test_bytes_that_are_no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 smtp.SECRET.example ESMTP\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        found = failure(Endpoint(SecretStr(f"http://127.0.0.1:{listener.getsockname()[1]}{SECRET_PATH}")))
        thread.join(5)
    assert found.unknown


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = Certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.path("server"), certificates.path("server-key"))
    fake = FakeHttp(context)
    try:
        good = f"https://localhost:{fake.port}{SECRET_PATH}"
        found = failure(Endpoint(SecretStr(good)))
        assert (found.reason, found.misconfigured, found.unknown) == ("bad_certificate", True, False)
        with pytest.raises(Undelivered, match="bad_certificate"):
            Endpoint(SecretStr(good)).reach()
        monkeypatch.setenv("SSL_CERT_FILE", certificates.path("ca"))
        Endpoint(SecretStr(good)).deliver(b"{}", {})
        Endpoint(SecretStr(good)).reach()
        found = failure(Endpoint(SecretStr(f"https://127.0.0.1:{fake.port}/")))
        assert found.reason == "bad_certificate", "the certificate is another host's"
    finally:
        fake.close()


def test_a_proxy_is_heeded_for_others_than_this_machine(server: FakeHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://user:SECRET@127.0.0.1:{server.port}")
    found = failure(Endpoint(SecretStr(f"https://hooks.example{SECRET_PATH}")))
    # It does not know CONNECT: the request is not on its way yet.
    assert (found.reason, found.unknown) == ("unreachable", False)
    endpoint(server).deliver(b"{}", {})
    monkeypatch.setenv("no_proxy", "no-such-host.invalid")
    assert "no such host" in str(failure(Endpoint(SecretStr(f"https://no-such-host.invalid{SECRET_PATH}"))))
    monkeypatch.setenv("https_proxy", "nonsense://SECRET")
    assert failure(Endpoint(SecretStr(f"https://hooks.example{SECRET_PATH}"))).reason == "bad_proxy"
