"""Settings of a platform of its own, and small HTTP servers to ask."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streaming.settings import Settings

Answers = dict[str, tuple[int, object]]
Serve = Callable[[Answers], int]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the developer's shell or checkout reaches a test."""
    for variable in list(os.environ):
        if variable.startswith(("VIGIL_", "SLACK_", "AIRFLOW")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("VIGIL_CONFIG", str(tmp_path / "no-vigil.toml"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers each path with a status and JSON (or the bytes given); gives its port."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: Answers) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, value = answers.get(self.path, (404, {}))
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
