"""The HTTP server by its wire: answers after the disk, limits, deadlines, trouble confined to its connection."""

from __future__ import annotations

import gzip
import http.client
import json
import queue
import socket
import ssl
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from email.message import Message
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.accumulator.configuration.plan import HttpSource, Tls
from streaming.accumulator.sources import loop, web
from streaming.accumulator.sources.forward import certificates
from streaming.accumulator.sources.http import HttpEndpoint
from streaming.accumulator.sources.network import NetworkSources
from streaming.accumulator.sources.otlp import OtlpEndpoint
from streaming.errors import Unavailable
from tests.support.listening import MIB, PLACE, WITHIN_S, Disk, http_source, listening, otlp_source, wait_for

SOURCE = http_source()
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[Disk]:
    """One server for the tests that leave it as they found it."""
    with listening(SOURCE) as disk:
        yield disk


@pytest.fixture
def disk(server: Disk) -> Iterator[Disk]:
    yield server
    server.durable, server.room = True, True
    while not server.submitted.empty():
        server.submitted.get()


def client(source: HttpSource = SOURCE) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", source.port, timeout=WITHIN_S)


class Answer(NamedTuple):
    status: int
    headers: Message
    text: str


def ask(body: bytes | str, headers: dict[str, str] = JSON, source: HttpSource = SOURCE) -> Answer:
    """One request on a connection of its own."""
    with closing(client(source)) as connection:
        answer = post(connection, body, headers)
        return Answer(answer.status, answer.headers, answer.read().decode())


def post(
    connection: http.client.HTTPConnection, body: bytes | str, headers: dict[str, str] = JSON, path: str = "/app"
) -> http.client.HTTPResponse:
    connection.request("POST", path, body, headers)
    return connection.getresponse()


def raw_client(source: HttpSource = SOURCE) -> socket.socket:
    return socket.create_connection(("127.0.0.1", source.port), timeout=WITHIN_S)


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_200_follows_the_disk(disk: Disk) -> None:
    disk.durable = None
    with raw_client() as connection:
        connection.sendall(b'POST /app HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
                           b'X-Vigil-Chunk: c-1\r\nContent-Length: 7\r\n\r\n{"a":1}')  # fmt: skip
        submitted = disk.next()
        assert (submitted.records, submitted.chunk.tag, submitted.chunk.chunk_id) == ([{"a": 1}], "app", b"http:c-1")
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        connection.settimeout(WITHIN_S)
        submitted.done(True)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 \r\n")


def test_a_disk_that_does_not_take_it_is_a_503(disk: Disk) -> None:
    disk.durable = False
    with closing(client()) as connection:
        answer = post(connection, '{"a":1}')
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        answer.read()
        disk.durable = True
        assert post(connection, '{"a":1}').status == 200  # on the same connection


def test_a_full_spool_is_a_503_before_the_body(disk: Disk) -> None:
    disk.room = False

    def status() -> int:
        answer = ask("{" + " " * 500_000 + "}")
        assert answer.status == 200 or answer.headers["Retry-After"] == "5"
        return answer.status

    wait_for(lambda: status() == 503)
    disk.room = True
    wait_for(lambda: status() == 200)


def test_one_connection_for_many_requests_also_pipelined(disk: Disk) -> None:
    with closing(client()) as connection:
        for number in range(3):
            answer = post(connection, json.dumps({"n": number}))
            assert (answer.status, answer.read()) == (200, b"")
    one = b'POST /app HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"n":%d}'
    disk.durable = None
    with raw_client() as raw:
        raw.sendall(b"".join(one % n for n in range(3, 6)))
        for _ in range(3):
            disk.next()
        for number in range(3):
            submitted = disk.next()
            assert submitted.records == [{"n": number + 3}]
            submitted.done(True)
            assert b" 200 " in raw.recv(1000)


def test_what_half_closes_still_gets_its_answer(disk: Disk) -> None:
    disk.durable = None
    with raw_client() as raw:
        raw.sendall(b'POST /app HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}')
        raw.shutdown(socket.SHUT_WR)
        disk.next().done(True)
        assert b" 200 " in read_all(raw)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes), ("GZIP", gzip.compress)],
)
def test_encodings(disk: Disk, encoding: str, pack: object) -> None:
    assert callable(pack)
    body = pack(b'{"a":1}')
    assert ask(body, JSON | {"Content-Encoding": encoding}).status == 200
    assert disk.next().records == [{"a": 1}]


def test_a_bomb_is_refused() -> None:
    assert HttpEndpoint(http_source()).inflated_limit == OtlpEndpoint(otlp_source()).inflated_limit == 64 * MIB
    source = http_source(decompression_size_limit=4 * MIB)
    with listening(source):
        for bomb, encoding in [
            (gzip.compress(b" " * 5 * MIB), "gzip"),
            (zlib.compress(b" " * 5 * MIB), "deflate"),
        ]:
            assert len(bomb) < 10_000
            answer = ask(bomb, JSON | {"Content-Encoding": encoding}, source)
            assert (answer.status, "4194304" in answer.text) == (413, True)


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        (b"{", {}, 400, "not JSON"),
        (b"x", {"Content-Encoding": "gzip"}, 400, "gzip"),
        (gzip.compress(b"{}", mtime=0)[:-3], {"Content-Encoding": "gzip"}, 400, "too soon"),
        (zlib.compress(b"{}") + b"x", {"Content-Encoding": "deflate"}, 400, "follows"),
        (b"{}", {"Content-Encoding": "br"}, 415, "br; known are identity, gzip, deflate"),
        (b"{}", {"X-Vigil-Chunk": "x" * 257}, 400, "x-vigil-chunk"),
        (b" " * (MIB + 1), {}, 413, "more than 1048576 bytes"),
        (b"{}", {"Transfer-Encoding": "x"}, 501, "chunked"),
        (b"{}", {"X": "x" * 20_000}, 431, ""),
    ],
)
def test_refusals(disk: Disk, body: bytes, headers: dict[str, str], status: int, text: str) -> None:
    answer = ask(body, JSON | headers)
    assert answer.status == status
    assert text in answer.text
    assert ask("{}").status == 200


def test_a_body_in_chunks_is_measured_too(disk: Disk) -> None:
    with raw_client() as raw:
        raw.sendall(
            b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        raw.sendall(b"200000\r\n" + b" " * 2 * MIB)
        assert b" 413 " in read_all(raw)


def test_who_asks_first_need_not_send(disk: Disk) -> None:
    head = (
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        b"Content-Length: %d\r\n\r\n"
    )
    with raw_client() as raw:
        raw.sendall(head % 7)
        assert raw.recv(100).startswith(b"HTTP/1.1 100 ")
        raw.sendall(b'{"a":1}')
        assert b" 200 " in raw.recv(1000)
    with raw_client() as raw:
        raw.sendall(head % (2 * MIB))
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_head_gets_no_body(disk: Disk) -> None:
    with closing(client()) as connection:
        connection.request("HEAD", "/a")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Allow"], answer.read()) == (405, "POST", b"")


def test_a_broken_request_does_not_touch_another_connection(disk: Disk) -> None:
    with raw_client() as good, raw_client() as bad:
        good.sendall(b'POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a"')
        bad.sendall(b"\0\1\2\3\r\n\r\n")
        assert b" 400 " in read_all(bad)
        good.sendall(b":1}")
        assert b" 200 " in good.recv(1000)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, 200), max_size=5))
def test_how_the_bytes_were_cut_does_not_matter(disk: Disk, cuts: list[int]) -> None:
    request = (
        b"POST /a.b?time=5 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'5\r\n[{"a"\r\n9\r\n:1},{"a":\r\n3\r\n2}]\r\n0\r\n\r\n'
    )
    with raw_client() as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        places = [0, *sorted(min(cut, len(request)) for cut in cuts), len(request)]
        for begin, end in pairwise(places):
            raw.sendall(request[begin:end])
        assert b" 200 " in raw.recv(1000)
    submitted = disk.next()
    assert (submitted.chunk.tag, submitted.records) == ("a.b", [{"a": 1}, {"a": 2}])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=100), st.integers(0, 130))
def test_any_bytes_get_an_answer_or_an_end(disk: Disk, noise: bytes, at: int) -> None:
    request = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    with raw_client() as raw:
        raw.sendall(request[:at] + noise + request[at:])
        raw.shutdown(socket.SHUT_WR)
        answer = read_all(raw)
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert ask("{}").status == 200


def test_who_is_slow_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "HEAD_WITHIN_S", 0.2)
    monkeypatch.setattr(web, "SILENCE_S", 0.2)
    source = http_source(keepalive_timeout_s=0.3)
    with listening(source) as disk:
        with raw_client(source) as idle, raw_client(source) as head, raw_client(source) as body:
            head.sendall(b"POST /a HTTP/1.1\r\nHo")
            body.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{")
            assert b" 408 " in read_all(head)
            assert b" 408 " in read_all(body)
            assert read_all(idle) == b""
        disk.durable = None
        with raw_client(source) as waiting:  # for the disk, which is not its fault
            waiting.sendall(
                b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
            )
            submitted = disk.next()
            waiting.settimeout(0.5)
            with pytest.raises(TimeoutError):
                waiting.recv(10)
            waiting.settimeout(WITHIN_S)
            submitted.done(True)
            assert b" 200 " in waiting.recv(1000)


def test_trickling_does_not_hold_a_connection_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "REQUEST_WITHIN_S", 0.3)
    source = http_source()
    with listening(source), raw_client(source) as slow:
        slow.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n")
        slow.settimeout(0.02)
        answer = b""
        for _ in range(400):
            slow.sendall(b" ")
            try:
                answer = slow.recv(1000)
                break
            except TimeoutError:
                continue
        assert b" 408 " in answer


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CONNECTIONS_LIMIT", 2)
    source = http_source()
    with listening(source), closing(client(source)) as first, closing(client(source)) as second:
        assert post(first, "{}").status == post(second, "{}").status == 200
        assert _status(source) == 0
        first.close()
        wait_for(lambda: _status(source) == 200)


def test_nothing_is_read_while_the_disk_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PENDING_LIMIT", 100_000)
    source = http_source()
    request = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100010\r\n\r\n"
    request += b'{"a":"' + b"x" * 100_002 + b'"}'
    with listening(source) as disk, raw_client(source) as first, raw_client(source) as second:
        disk.durable = None
        first.sendall(request)
        submitted = disk.next()
        second.sendall(request)
        with pytest.raises(queue.Empty):
            disk.submitted.get(timeout=0.1)
        submitted.done(True)
        disk.next().done(True)
        for connection in (first, second):
            assert b" 200 " in connection.recv(1000)


def _status(source: HttpSource) -> int:
    try:
        return ask("{}", source=source).status
    except (ConnectionError, http.client.HTTPException):
        return 0


def test_the_longest_silent_goes_when_bodies_hold_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "UNFINISHED_LIMIT", 1_000_000)
    source = http_source(body_size_limit=400_000)
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 400000\r\n\r\n"
    with listening(source), raw_client(source) as first, raw_client(source) as second, raw_client(source) as third:
        for connection in (first, second, third):
            connection.sendall(head + b" " * 390_000)
        assert b" 503 " in read_all(first)
        for connection in (second, third):
            connection.sendall(b" " * 9_998 + b"{}")
            assert b" 200 " in connection.recv(1000)


def test_the_end_answers_what_was_read() -> None:
    source = http_source()
    disk = Disk()
    disk.durable = None
    server = NetworkSources("accumulator1", [source], disk.submit, lambda: True)
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    with raw_client(source) as waiting, raw_client(source) as partly, raw_client(source) as idle:
        waiting.sendall(head + b"{}")
        partly.sendall(head + b"{")
        submitted = disk.next()
        server.stop_accepting()
        for connection in (partly, idle):
            with suppress(ConnectionResetError):  # the end may meet bytes that were not read
                assert read_all(connection) == b""
        submitted.done(True)
        server.close()
        assert not server.alive
        answer = read_all(waiting)
    assert b" 200 " in answer
    assert b"connection: close" in answer.lower()


def test_a_port_that_is_taken() -> None:
    source = http_source()
    disk = Disk()
    with listening(source), pytest.raises(Unavailable, match="cannot listen"):
        NetworkSources("accumulator1", [http_source(), source], disk.submit, lambda: True)


def issue(authority: trustme.CA, folder: Path) -> Tls:
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    files = str(folder / "cert.pem"), str(folder / "key.pem")
    return Tls(PLACE, *files, None, None, False, ssl.TLSVersion.TLSv1_2)


def secured(authority: trustme.CA, source: HttpSource) -> http.client.HTTPSConnection:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return http.client.HTTPSConnection("127.0.0.1", source.port, timeout=WITHIN_S, context=trusting)


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    source = http_source(tls=issue(authority, tmp_path))
    with listening(source) as disk:
        with raw_client(source) as plain:
            plain.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\n\r\n")
            with suppress(ConnectionResetError):
                assert b"HTTP/1.1" not in read_all(plain)
        with closing(secured(authority, source)) as connection:
            for number in range(2):
                answer = post(connection, json.dumps({"n": number, "x": "x" * 300_000}))
                assert (answer.status, answer.read()) == (200, b"")
                assert disk.next().chunk.events == 1
            assert post(connection, " " * (MIB + 1)).status == 413


def test_a_renewed_certificate_counts_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "LOOK_EVERY_S", 0.0)
    before, after = trustme.CA(), trustme.CA()
    source = http_source(tls=issue(before, tmp_path))
    with listening(source):
        with closing(secured(before, source)) as connection:
            assert post(connection, "{}").status == 200
        issue(after, tmp_path)
        with closing(secured(after, source)) as connection:
            assert post(connection, "{}").status == 200
        with closing(secured(before, source)) as connection, pytest.raises(ssl.SSLCertVerificationError):
            post(connection, "{}")
