"""The telemetry server and its worst clients."""

from __future__ import annotations

import socket

import pytest

from streaming.errors import ConfigError
from streaming.worker import telemetry
from streaming.worker.telemetry import TelemetryServer


def test_a_client_that_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "SILENCE_ALLOWED_S", 0.05)
    server = TelemetryServer("127.0.0.1", 0, [])
    try:
        with socket.create_connection(("127.0.0.1", server.port), 10) as silent:
            assert silent.recv(1) == b""
    finally:
        server.close()


def test_a_slot_beyond_the_last_port_is_named() -> None:
    with pytest.raises(ConfigError, match="70000 is no port"):
        TelemetryServer("127.0.0.1", 70_000, [])
