"""Two heartbeat monitors on a real Kafka: the active one is killed, or stands still, while nodes beat."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGCONT, SIGSTOP
from threading import Event, Thread

import pytest

from streaming.heartbeat.states import State
from streaming.kafka.admin import TopicReport
from streaming.settings import Settings
from tests.support.heartbeats import Lab

DEADLINE_S = 4.0
WITHIN_S = 60.0
NODES = ("lives", "dies", "leaves", "leaves-later")


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Liveness never touches Elasticsearch."""
    return ("kafka",)


class Beating:
    """Nodes that beat, and an accumulator that does so with a node behind it; each until it is taken out."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self.living, self._seq = lab, set(NODES), 0

    def round(self) -> None:
        self._seq += 1
        for node in sorted(self.living):
            self._lab.beat(node, self._seq, node)
        self._lab.accumulator("accumulator1", self._seq)
        self._lab.carried("behind", self._seq, "accumulator1")

    def leave(self, node: str) -> None:
        """It says that it goes down."""
        self.living.discard(node)
        self._lab.beat(node, self._seq + 1_000, node, status="DOWN")


@contextmanager
def beating(lab: Lab) -> Iterator[Beating]:
    nodes, stop = Beating(lab), Event()

    def run() -> None:
        while not stop.wait(0.1):
            nodes.round()

    thread = Thread(target=run)
    thread.start()
    try:
        yield nodes
    finally:
        stop.set()
        thread.join()


def test_a_standby_takes_over_and_nobody_is_called_dead_for_it(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Callable[..., subprocess.Popen[bytes]],
    wait_until: Callable[[Callable[[], object], float, str], object],
) -> None:
    lab = Lab(settings, environment | {"VIGIL_MANAGER_SESSION_S": "2"}, launch, DEADLINE_S)

    def becomes(slot: int, role: str) -> float:
        since = time.monotonic()
        wait_until(lambda: lab.role(slot) == role, WITHIN_S, f"slot {slot} is {role}")
        return time.monotonic() - since

    def told_down() -> list[str]:
        return [node for node, state in lab.told() if state in (State.DOWN, State.UNKNOWN)]

    with beating(lab) as nodes:
        becomes(0, "active")
        lab.start(1)
        becomes(1, "standby")
        up = {*NODES, "accumulator1", "behind"}
        wait_until(lambda: all(lab.is_state(node, State.UP) for node in up), WITHIN_S, "all are up")

        nodes.living.discard("dies")
        lab.kill()
        nodes.leave("leaves")  # while nobody reads
        print(f"taken over {becomes(1, 'active'):.1f} s after the kill, of which a session is 2 s")
        wait_until(lambda: "dies" in told_down(), WITHIN_S, "who died meanwhile is found")
        assert told_down() == ["leaves", "dies"]

        lab.start(0)
        becomes(0, "standby")
        assert lab.role(1) == "active", "who comes back waits for its turn"
        lab.signal(SIGSTOP, 1)
        becomes(0, "active")
        lab.signal(SIGCONT, 1)
        nodes.leave("leaves-later")
        wait_until(lambda: "leaves-later" in told_down(), WITHIN_S, "the second successor reads on")
        zombie = lab.processes[1]
        wait_until(lambda: zombie.poll() or lab.role(1) == "standby", WITHIN_S, "the zombie ends or stands by")

    assert lab.role(0) == "active"
    assert told_down() == ["leaves", "dies", "leaves-later"], "each once, and nobody else"
