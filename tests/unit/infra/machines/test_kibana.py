"""Kibana on machines: waited for until it says that it is available, and what it says meanwhile is told once."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from infra.kibana.access import KibanaAccess
from infra.machines import kibana
from infra.machines.gates import probe
from infra.machines.programs import Software
from infra.machines.services import services_of
from infra.machines.target import Machines
from streaming.errors import ConfigError, Unavailable
from streaming.settings import Settings
from tests.support.inventories import inventory, with_kibana

AVAILABLE = b'{"status":{"overall":{"level":"available","summary":"All services are available"}}}'


@pytest.fixture
def answers() -> Iterator[tuple[str, list[bytes]]]:
    said: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/api/status"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said.pop(0))

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", said
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_it_says_of_itself(answers: tuple[str, list[bytes]]) -> None:
    url, said = answers
    said += [AVAILABLE, b"Kibana server is not ready yet", b"{}"]
    access = KibanaAccess(url)
    assert [kibana.level(access) for _ in range(3)] == ["available", "", ""]
    with pytest.raises(Unavailable, match="does not answer"):
        kibana.level(KibanaAccess("http://127.0.0.1:9"))


def test_it_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels, told = ["", "", "degraded", "available"], list[str]()
    monkeypatch.setattr(kibana, "level", lambda _: levels.pop(0))
    monkeypatch.setattr(kibana, "ASKS_EVERY_S", 0.0)
    machines = Machines(Settings(), with_kibana(), tmp_path, Software.PACKAGES)
    kibana.await_available(machines, told.append)
    assert [line.rpartition(" ")[2] for line in told] == ["starting", "degraded", "available"]
    levels += ["degraded"] * 2
    with pytest.raises(Unavailable, match=r"degraded\. Its journal"):
        kibana.await_available(machines, told.append, within_s=-1.0)


def test_its_health_is_what_it_says_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(Settings(), with_kibana(), tmp_path, Software.PACKAGES)
    service = services_of(machines)["kibana"]
    assert not probe(machines, service).ok
    for said, ok in (("available", True), ("degraded", False), ("", False)):
        monkeypatch.setattr(kibana, "level", lambda _, said=said: said)
        assert probe(machines, service).ok is ok


def test_where_no_machine_has_it_that_is_said(tmp_path: Path) -> None:
    machines = Machines(Settings(), inventory(), tmp_path, Software.PACKAGES)
    with pytest.raises(ConfigError, match="role kibana"):
        kibana.await_available(machines, print)
