"""The life of a worker process: real processes, real signals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import sys
from streaming.errors import ConfigError
from streaming.settings import load_settings
from streaming.worker.health import Health
from streaming.worker.run import exit_readably, run

class Toy:
    name = "toy"
    def __init__(self):
        if sys.argv[2] == "misconfigured":
            raise ConfigError("no such level", file="rules.yaml", line=3, field="level", remedy="Did you mean ERROR?")
        self.health = Health("toy", "ready")
        self.health.set("ready", True)
        self.rounds = 0
    def run_once(self):
        import time
        time.sleep(0.01)
        self.rounds += 1
        if self.rounds == 3 and sys.argv[2] == "broken":
            raise RuntimeError("boom")
        if self.rounds == 3:
            print("running", flush=True)
    def close(self):
        print("closed", flush=True)

exit_readably(lambda: run("toy", load_settings(), [Toy], int(sys.argv[1])))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def start(tmp_path: Path, mode: str, port: int) -> Iterator[subprocess.Popen[str]]:
    program = tmp_path / "toy.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program), str(port), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_serves_health_and_metrics_and_stops_cleanly_on_term(tmp_path: Path) -> None:
    port = free_port()
    with start(tmp_path, "good", port) as process:
        assert process.stdout
        assert process.stdout.readline() == "running\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            answer = json.load(response)
        assert answer["healthy"]
        assert answer["workers"][0]["worker"] == "toy"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            assert b"process_resident_memory_bytes" in response.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/nothing", timeout=5)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert out == "closed\n"
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["message"] for line in lines] == ["started", "stopping", "stopped"]
    assert {line["service_name"] for line in lines} == {"vigil-toy"}
    assert len({line["log_id"] for line in lines}) == 3
    assert {line["log_level"] for line in lines} == {"INFO"}


def test_a_worker_that_fails_closes_and_ends_the_process_with_an_error(tmp_path: Path) -> None:
    with start(tmp_path, "broken", free_port()) as process:
        out, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert out.endswith("closed\n")
    failed = next(json.loads(line) for line in err.splitlines() if '"failed"' in line)
    assert failed["log_level"] == "ERROR"
    assert failed["error"] == "RuntimeError: boom"


def test_a_misconfigured_worker_says_so_in_one_line(tmp_path: Path) -> None:
    with start(tmp_path, "misconfigured", free_port()) as process:
        _, err = process.communicate(timeout=10)
    assert process.returncode == 78
    assert err == "vigil: rules.yaml:3: level: no such level. Did you mean ERROR?\n"


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with start(tmp_path, "good", port) as process:
            _, err = process.communicate(timeout=10)
    assert process.returncode == 69
    assert f"port {port} on 127.0.0.1 is taken" in err


def test_systemd_is_told_of_start_state_and_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        monkeypatch.chdir(tmp_path)
        systemd.bind("notify")
        systemd.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        with start(tmp_path, "good", free_port()) as process:
            assert systemd.recv(100) == b"READY=1"
            assert {systemd.recv(100) for _ in range(4)} == {b"WATCHDOG=1", b"STATUS=healthy"}
            process.send_signal(signal.SIGTERM)
            while systemd.recv(100) != b"STOPPING=1":
                """Another sign of life."""
            process.communicate(timeout=10)
        assert process.returncode == 0
