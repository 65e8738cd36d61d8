"""Fixtures that tests of several rooms need: a small Forward server that collects what it is sent."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import hypothesis
import msgpack
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from streaming.forward import event_time

# Time limits of hypothesis are of the wall clock, and fail where a busy machine stops a test for a while.
BUSY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
# The same examples each time: a test that passed fails by a change of what it tests, and by nothing else.
hypothesis.settings.register_profile("same", BUSY, derandomize=True)
# Others each time, which is how new faults are found: `make test-full`.
hypothesis.settings.register_profile("explore", BUSY, print_blob=True)
hypothesis.settings.load_profile("same")

TESTS = Path(__file__).parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What brings up whole platforms takes longest, so it begins, after the shuffle."""
    items.sort(key=lambda item: item.path.relative_to(TESTS).parts[0] != "platform")


def pytest_unconfigure() -> None:
    """Removes the home that Airflow had for these tests: processes of pytest-xdist end without a word to `atexit`."""
    home = os.environ.get("AIRFLOW_HOME", "")
    if Path(home).name.startswith("vigil-test-airflow-"):
        shutil.rmtree(home, ignore_errors=True)


class FileByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Where several processes run tests (`pytest -n 2 --dist loadfile`): those of a file stay together, which share
    what it starts, and so do all that bring up whole platforms, of which one at a time is enough for a machine."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/platform" if file.startswith("tests/platform/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileByFile | None:
    """xdist's own schedulers but for files."""
    return FileByFile(config, log) if config.getvalue("dist") == "loadfile" else None


class Received(NamedTuple):
    """One event as it came over the wire."""

    tag: str
    time_ns: int
    record: dict[str, object]


class ForwardServer:
    """A real TCP server of the Forward protocol that keeps what it gets in memory.

    `mode` says how it treats a chunk: "ack" takes and acknowledges it, "mute" takes it without a word,
    "cut" takes it and closes the connection, "refuse" closes without taking it, "noise" answers nonsense.
    `cuts` makes it cut that many times first, whatever the mode.
    """

    def __init__(self) -> None:
        self.mode = "ack"
        self.cuts = 0
        self.delay_s = 0.0
        self.events: list[Received] = []
        self.chunks: list[str] = []
        self.port = 0
        self._changed = threading.Condition()
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []

    def start(self) -> ForwardServer:
        """Listens; on the same port as before when it was stopped."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Goes away: the port is closed and every connection cut."""
        with self._changed:
            listener, self._listener = self._listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def cut(self) -> None:
        """Cuts the connections that are open."""
        with self._changed:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._connections.clear()

    def records(self, message_type: str | None = None) -> list[dict[str, object]]:
        """The records received so far, or those of one type."""
        with self._changed:
            records = [event.record for event in self.events]
        return [r for r in records if message_type is None or r.get("message_type") == message_type]

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Returns when the condition holds; looked at again whenever something came in."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not within {timeout_s} s; last events: {self.events[-5:]}")
                self._changed.wait(min(left, 0.05))

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                if self._listener is not listener:  # stopped meanwhile
                    connection.close()
                    return
                self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        unpacker = msgpack.Unpacker(max_buffer_size=1 << 28)
        try:
            with connection:
                while data := connection.recv(65536):
                    unpacker.feed(data)
                    for tag, packed, options in unpacker:
                        if not self._handle(connection, tag, packed, options):
                            return
        except OSError:
            return

    def _handle(self, connection: socket.socket, tag: str, packed: bytes, options: dict[str, object]) -> bool:
        time.sleep(self.delay_s)
        if self.mode == "refuse":
            return False
        entries = msgpack.Unpacker(strict_map_key=False, max_buffer_size=1 << 28)
        entries.feed(packed)
        with self._changed:
            if options["chunk"] not in self.chunks:
                self.events += [Received(tag, event_time.decode(when), record) for when, record in entries]
            self.chunks.append(str(options["chunk"]))
            cut = self.mode == "cut" or self.cuts > 0
            self.cuts -= self.cuts > 0
            self._changed.notify_all()
        if cut:
            return False
        if self.mode == "noise":
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif self.mode == "ack":
            connection.sendall(msgpack.packb({"ack": options["chunk"]}))
        return True


@pytest.fixture
def forward_servers() -> Iterator[list[ForwardServer]]:
    """Three Forward servers on free ports, running."""
    servers = [ForwardServer().start() for _ in range(3)]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def forward_server() -> Iterator[ForwardServer]:
    """A Forward server on a free port, running."""
    server = ForwardServer().start()
    yield server
    server.stop()
