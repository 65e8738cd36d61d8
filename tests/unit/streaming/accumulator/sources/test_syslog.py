"""The syslog listeners on their sockets."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trustme
from prometheus_client import REGISTRY

from streaming.accumulator.configuration.plan import SyslogSource, Tls
from streaming.accumulator.sources import syslog
from streaming.accumulator.sources.network import NetworkSources
from tests.support.listening import PLACE, WITHIN_S, Disk, Submitted, listening, syslog_source, wait_for

LINE = b"<11>Oct 11 22:14:15 web-1 nginx[17]: "


def send(source: SyslogSource, *datagrams: bytes) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, ("127.0.0.1", source.port))


def connect(source: SyslogSource) -> socket.socket:
    return socket.create_connection(("127.0.0.1", source.port), timeout=WITHIN_S)


def take(disk: Disk, count: int) -> list[Submitted]:
    """Chunks, until they hold so many events."""
    found: list[Submitted] = []
    while sum(submitted.chunk.events for submitted in found) < count:
        found.append(disk.next())
    return found


def messages(chunks: list[Submitted]) -> list[object]:
    return [event.record["message"] for submitted in chunks for event in submitted.events]


def test_udp_in_order_with_the_tag_of_each() -> None:
    source = syslog_source(severity_key="severity", facility_key="facility", source_address_key="from")
    with listening(source) as disk:
        send(source, LINE + b"one\n", LINE + b"two", b"", b"\n", b"<46>1 - h app - - - three", b"odd \xff")
        chunks = take(disk, 4)
    tags = [submitted.chunk.tag for submitted in chunks for _ in submitted.events]
    assert tags == ["sys.user.err", "sys.user.err", "sys.syslog.info", "sys.user.notice"]
    assert messages(chunks) == ["one", "two", "three", "odd \ufffd"]
    first = chunks[0].events[0].record
    assert (first["severity"], first["facility"], first["from"]) == ("err", "user", "127.0.0.1")
    assert {(submitted.chunk.chunk_id, submitted.chunk.flow) for submitted in chunks} == {(b"", "sys")}


def test_python_s_handler() -> None:
    source = syslog_source()
    handler = logging.handlers.SysLogHandler(("127.0.0.1", source.port))
    handler.ident = "app[17]: "
    with listening(source) as disk, closing(handler):
        handler.emit(logging.LogRecord("x", logging.ERROR, "x.py", 1, "no %s", ("disk",), None))
        (submitted,) = take(disk, 1)
    assert submitted.chunk.tag == "sys.user.err"
    assert submitted.records == [{"pri": 11, "ident": "app", "pid": "17", "message": "no disk", "node_id": "127.0.0.1"}]


@pytest.mark.skipif(shutil.which("logger") is None, reason="no logger (util-linux)")
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_logger_of_util_linux(tcp: bool) -> None:
    source = syslog_source(tcp=tcp, octet_count=tcp)
    way = ("-T", "--octet-count") if tcp else ("-d",)
    to = ("logger", "-n", "127.0.0.1", "-P", str(source.port), *way, "-t", "app", "-p", "local3.warn")
    with listening(source) as disk:
        data = ("--sd-id", "zoo@1", "--sd-param", 'tiger="hungry"', "--msgid", "M")
        for form in (("--rfc3164",), ("--rfc5424=notq", *data)):
            subprocess.run([*to, *form, "hello"], check=True, timeout=WITHIN_S)
        chunks = take(disk, 2)
    old, new = (event.record for submitted in chunks for event in submitted.events)
    assert {submitted.chunk.tag for submitted in chunks} == {"sys.local3.warn"}
    for record in (old, new):
        assert (record["ident"], record["message"], record["pri"]) == ("app", "hello", 156)
    assert (new["msgid"], new["structured_data"]) == ("M", {"zoo@1": {"tiger": "hungry"}})


def test_the_largest_datagram() -> None:
    source = syslog_source(message_length_limit=100)
    with listening(source) as disk:
        send(source, LINE + b"x" * (65_507 - len(LINE)))
        (message,) = messages(take(disk, 1))
    assert message == "x" * (65_507 - len(LINE))


def test_what_the_kernel_drops_is_counted() -> None:
    source = syslog_source()

    def lost() -> float:
        return REGISTRY.get_sample_value("vigil_accumulator_datagrams_lost_total", {"accumulator": "accumulator1"}) or 0

    before = lost()
    with listening(source) as disk:
        disk.room = False
        wait_for(lambda: _stopped(source, disk))
        send(source, *[LINE + b"x" * 60_000] * 500)  # 30 MB; a receive buffer of 8 MiB takes 16 at most
        disk.room = True

        def counted() -> bool:
            send(source, LINE + b"after")  # the count comes with a datagram
            return lost() > before

        wait_for(counted)


def _stopped(source: SyslogSource, disk: Disk) -> bool:
    """Whether the server has noticed that there is no room."""
    send(source, LINE + b"probe")
    try:
        disk.submitted.get(timeout=0.2)
    except queue.Empty:
        return True
    return False


def test_a_disk_that_takes_nothing_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "RETRY_S", 0.05)
    for source in (syslog_source(), syslog_source(tcp=True)):
        with listening(source) as disk:
            disk.durable = False
            if source.protocol == "udp":
                send(source, LINE + b"one", LINE + b"two")
            else:
                with connect(source) as sender:
                    sender.sendall(LINE + b"one\n" + LINE + b"two\n")
            disk.next()
            disk.next()
            disk.durable = True
            # What was refused comes again, whole and in order, behind whatever attempts failed meanwhile.
            seen: list[object] = []
            wait_for(lambda disk=disk, seen=seen: _last_two(disk, seen) == ["one", "two"])  # type: ignore[misc]


def _last_two(disk: Disk, seen: list[object]) -> list[object]:
    with suppress(queue.Empty):
        seen += messages([disk.submitted.get(timeout=0.01)])
    return seen[-2:]


def test_tcp_lines_pieces_and_the_connection_s_end() -> None:
    source = syslog_source(tcp=True, message_length_limit=60)
    with listening(source) as disk:
        with connect(source) as sender:
            sender.sendall(LINE + b"one\n\r\n" + LINE + b"x" * 60 + b"\n")
            sender.sendall(LINE + b"last")
        chunks = take(disk, 4)
    records = [event.record for submitted in chunks for event in submitted.events]
    cut = 60 - len(LINE)
    assert [r["message"] for r in records] == ["one", "x" * cut, "x" * (60 - cut), "last"]
    assert [r.get("continued") for r in records] == [None, None, True, None]
    assert {r["node_id"] for r in records} == {"web-1"}


def test_tcp_by_length() -> None:
    source = syslog_source(tcp=True, octet_count=True)
    message = LINE + b"two\nlines"
    with listening(source) as disk:
        with connect(source) as sender:
            sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"%d %s%d %s" % (len(message), message, len(LINE) + 1, LINE + b"x"):
                sender.sendall(bytes([byte]))
        assert messages(take(disk, 2)) == ["two\nlines", "x"]


def test_a_full_spool_makes_tcp_senders_wait() -> None:
    source = syslog_source(tcp=True)
    with listening(source) as disk, connect(source) as sender:
        sender.sendall(LINE + b"one\n")
        take(disk, 1)
        disk.room = False
        sender.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sender.sendall((LINE + b"x" * 1000 + b"\n") * 50_000)
        disk.room = True
        sender.settimeout(WITHIN_S)
        sender.sendall(b"\n")
        take(disk, 200)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "CONNECTIONS_LIMIT", 1)
    source = syslog_source(tcp=True)
    with listening(source) as disk, connect(source) as first:
        first.sendall(LINE + b"one\n")
        take(disk, 1)
        with connect(source) as second, suppress(ConnectionResetError):
            assert second.recv(1) == b""


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    files = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    source = syslog_source(tcp=True, tls=Tls(PLACE, *files, None, None, False, ssl.TLSVersion.TLSv1_2))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with listening(source) as disk:
        with connect(source) as noise:
            noise.sendall(LINE + b"not TLS\n")
        with trusting.wrap_socket(connect(source), server_hostname="127.0.0.1") as sender:
            sender.sendall(LINE + b"one\n" + LINE + b"two")
            sender.unwrap()
        assert messages(take(disk, 2)) == ["one", "two"]


def test_host_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def name_of(address: tuple[str, int], flags: int) -> tuple[str, str]:
        asked.wait(WITHIN_S)
        return "sender.example", "0"

    monkeypatch.setattr(socket, "getnameinfo", name_of)
    source = syslog_source(source_hostname_key="source_host")
    with listening(source) as disk:
        send(source, LINE + b"one")
        (first,) = take(disk, 1)
        assert first.events[0].record["source_host"] == "127.0.0.1"  # nobody waits for a name
        asked.set()

        def named() -> bool:
            send(source, LINE + b"more")
            return take(disk, 1)[0].events[0].record["source_host"] == "sender.example"

        wait_for(named)


def test_the_end_takes_what_has_come() -> None:
    source = syslog_source(tcp=True)
    disk = Disk()
    disk.durable = None
    server = NetworkSources("accumulator1", [source], disk.submit, lambda: True)
    with connect(source) as sender:
        sender.sendall(LINE + b"one\n")
        first = disk.next()
        sender.sendall(LINE + b"unfinished")
        server.stop_accepting()
        last = disk.next()
        assert messages([last]) == ["unfinished"]
        first.done(True)
        last.done(True)
        server.close()
    assert not server.alive
