"""What systemd is told of a worker: over a real socket, on a simulated clock."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.worker.health import Health
from streaming.worker.notify import Notifier, summary


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Systemd:
    """The end that systemd holds."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def told(self) -> list[str]:
        """What came in since the last look; a datagram is there when the call that sent it has returned."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        listening = Systemd("notify")
        yield listening
        listening.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}


def test_a_worker_that_moves_gives_signs_of_life_and_one_that_hangs_gives_none(
    systemd: Systemd, environment: dict[str, str]
) -> None:
    clock = Clock()
    notifier, healths = Notifier(environment, clock), [Health(name, clock=clock) for name in ("indexer", "letters")]
    notifier.ready()
    assert systemd.told() == ["READY=1"]

    def second(*moving: Health) -> list[str]:
        clock.now += 1
        for health in moving:
            health.came_round()
        notifier.look(healths)
        return [line for line in systemd.told() if not line.startswith("STATUS=")]

    for _ in range(4):
        assert [second(*healths) for _ in range(15)] == [*[[]] * 14, ["WATCHDOG=1"]]
    # One of the two hangs after its round: it moved since the last sign, so there is one more, and then none.
    second(*healths)
    assert [second(healths[0]) for _ in range(200)] == [*[[]] * 13, ["WATCHDOG=1"], *[[]] * 186]
    # It comes back: so do the signs.
    assert second(*healths) == ["WATCHDOG=1"]
    notifier.stopping()
    assert systemd.told() == ["STOPPING=1"]


def test_how_it_is_is_told_when_it_changes(systemd: Systemd, environment: dict[str, str]) -> None:
    clock = Clock()
    notifier, health = Notifier(environment, clock), Health("indexer", "kafka", clock=clock)
    health.set("kafka", False, "nothing answers\nREADY=1")

    def told() -> list[str]:
        clock.now += 0.2
        health.came_round()
        notifier.look([health])
        return [line for line in systemd.told() if line.startswith("STATUS=")]

    said = [line for _ in range(12) for line in told()]
    assert said == ["STATUS=not kafka (nothing answers READY=1)"]
    health.set("kafka", True)
    assert [line for _ in range(12) for line in told()] == ["STATUS=healthy"]


def test_a_socket_of_the_abstract_namespace() -> None:
    address = f"\0vigil-test-{os.getpid()}"
    listening = Systemd(address)
    Notifier({"NOTIFY_SOCKET": "@" + address[1:]}).ready()
    assert listening.told() == ["READY=1"]
    listening.close()


@pytest.mark.parametrize(
    "environment",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": "/nowhere/at-all"}],
)
def test_where_nobody_listens_nothing_happens(environment: dict[str, str]) -> None:
    clock = Clock()
    notifier = Notifier({**environment, "WATCHDOG_USEC": "1000000"}, clock)
    notifier.ready()
    clock.now = 10
    notifier.look([Health("indexer", clock=clock)])
    notifier.stopping()


@pytest.mark.parametrize(
    "watchdog", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}]
)
def test_a_watchdog_that_is_not_this_processs_gets_nothing(
    systemd: Systemd, environment: dict[str, str], watchdog: dict[str, str]
) -> None:
    clock = Clock()
    notifier = Notifier({"NOTIFY_SOCKET": environment["NOTIFY_SOCKET"], **watchdog}, clock)
    health = Health("indexer", clock=clock)
    clock.now = 1000
    health.came_round()
    notifier.look([health])
    assert systemd.told() == ["STATUS=healthy"]


def test_several_workers_are_told_apart() -> None:
    one, two = Health("matcher", "kafka"), Health("manager", "kafka")
    two.set("kafka", True)
    assert summary([one.answer(), two.answer()]) == "matcher: not kafka (not yet known)"
    assert len(summary([Health("x", *map(str, range(1000))).answer()])) == 500
