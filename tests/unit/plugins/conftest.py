"""Airflow for tests (a home of its own, set before anything imports Airflow), and a platform kept in memory."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile

if "vigil-test-airflow-" not in os.environ.get("AIRFLOW_HOME", ""):
    assert "airflow" not in sys.modules, "Airflow was imported before its home was set"
    home = tempfile.mkdtemp(prefix="vigil-test-airflow-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from vigil_airflow import hooks
from vigil_airflow.triggers import settling

from infra import gates
from infra.gates import Probe
from infra.local.layout import Layout
from infra.local.supervisor import last_words
from infra.service_manager import RunState, ServiceStatus
from infra.services import Service, Stage, catalogue
from infra.targets import Kind, Reference, Report
from streaming.errors import Unavailable
from streaming.settings import Settings

GATE_TIMEOUT_S = 0.6


class HealthServer:
    """What a started service is here: a real HTTP server that answers `/health` with 200, or 503 while `sick`."""

    def __init__(self) -> None:
        self.sick = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b'{"healthy":true}'
                if outer.sick:
                    body = b'{"workers":[{"worker":"w","checks":{"connected":{"ok":false,"detail":"no broker"}}}]}'
                self.send_response(503 if outer.sick else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Platform:
    """A target: services in memory that behave under a supervisor: STARTING for a while, then RUNNING, or FAILED.

    `looks_while_starting` is how often a status is STARTING first; `fails` names those that end by themselves;
    `sick` those whose health answers 503; `healed_by_restart` those that a restart cures of it.
    """

    reference = Reference(Kind.LOCAL)
    brokers: int | None = None

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.looks_while_starting = 1
        self.fails: set[str] = set()
        self.sick: set[str] = set()
        self.healed_by_restart: set[str] = set()
        self.away = False
        self.calls: list[tuple[str, str]] = []
        self._states: dict[str, RunState] = {}
        self._looks_left: dict[str, int] = {}
        self._servers = {s.name: HealthServer() for s in catalogue(settings) if s.stage is Stage.WORKERS}

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def manager(self) -> Platform:
        return self

    @property
    def services(self) -> dict[str, Service]:
        """The real ones, with short time-outs and the ports of this platform."""
        return {
            s.name: replace(s, timeout_s=GATE_TIMEOUT_S, port=self._servers[s.name].port)
            if s.name in self._servers
            else s
            for s in catalogue(self.settings)
        }

    def complete(self, stage: Stage, report: Report) -> None: ...

    def probe(self, service: Service, timeout_s: float) -> Probe:
        return gates.probe(service, self.settings, timeout_s)

    def last_words(self, name: str) -> tuple[str, list[str]]:
        file, lines = last_words(Layout(self.home), name)
        return str(file), lines

    @contextmanager
    def sending(self) -> Iterator[Settings]:
        yield self.settings

    def start(self, name: str, report: Report = print) -> None:
        self._call("start", name)
        if self._states.get(name) not in (RunState.RUNNING, RunState.STARTING):
            self._states[name] = RunState.STARTING
            self._looks_left[name] = self.looks_while_starting

    def stop(self, name: str) -> None:
        self._call("stop", name)
        self._states[name] = RunState.STOPPED

    def restart(self, name: str) -> None:
        self.stop(name)
        self.start(name)
        self.sick -= self.healed_by_restart

    def status(self, name: str) -> ServiceStatus:
        if self.away:
            raise Unavailable("the supervisor does not answer; `vigil up` starts it")
        if self._states.get(name) is RunState.STARTING:
            self._looks_left[name] -= 1
            if self._looks_left[name] < 0:
                self._states[name] = RunState.FAILED if name in self.fails else RunState.RUNNING
        if name in self._servers:
            self._servers[name].sick = name in self.sick
        state = self._states.get(name, RunState.STOPPED)
        detail = "exited with 78 three times" if state is RunState.FAILED else ""
        return ServiceStatus(name, state, 4711 if state is RunState.RUNNING else None, detail)

    def all(self) -> list[ServiceStatus]:
        return [self.status(s.name) for s in catalogue(self.settings)]

    def close(self) -> None: ...

    def end(self) -> None:
        """Ends its servers."""
        for server in self._servers.values():
            server.close()

    def _call(self, verb: str, name: str) -> None:
        if self.away:
            raise Unavailable("the supervisor does not answer; `vigil up` starts it")
        self.calls.append((verb, name))


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform in memory that every hook of the test reaches, whichever its target."""
    for variable in [v for v in os.environ if v.startswith("VIGIL_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("VIGIL_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setenv("VIGIL_HOME", str(tmp_path / "home"))
    memory = Platform(Settings())
    monkeypatch.setattr(hooks, "open_target", lambda target, settings: memory)
    yield memory
    memory.end()


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process of a deferred task is to end first here."""
    monkeypatch.setattr(settling, "SETTLE_S", 0.0)
