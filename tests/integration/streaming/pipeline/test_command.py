"""`vigil pipeline`, and the monitor where it runs: in the heartbeat monitor's process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from typing import Protocol

import pytest

from streaming.kafka import clients, topics
from streaming.kafka.admin import TopicReport
from streaming.pipeline.reading import latest_status
from streaming.settings import Settings

WITHIN_S = 40.0


class Wait(Protocol):
    def __call__(self, predicate: Callable[[], object], timeout_s: float, what: str) -> object: ...


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """Kafka is asked alone."""
    return ("kafka",)


@pytest.fixture
def made(topics: TopicReport) -> TopicReport:
    """The topics, under a name that leaves `topics` to the module."""
    return topics


def vigil(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cli", "pipeline", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_pipeline_is_measured_beside_the_heartbeats_and_shown(
    settings: Settings,
    made: TopicReport,
    environment: dict[str, str],
    launch: Callable[..., subprocess.Popen[bytes]],
    wait_until: Wait,
) -> None:
    nothing = vigil(environment)
    assert (nothing.returncode, nothing.stderr) == (0, "")
    assert nothing.stdout.startswith("Nothing measured")
    out = clients.producer(settings.kafka)
    for _ in range(3):
        out.produce(settings.topic(topics.LOGS), b"{}")
    assert out.flush(10) == 0
    launch("streaming.heartbeat", environment=environment | {"VIGIL_PIPELINE_INTERVAL_S": "0.2"})

    def stands_still() -> bool:
        status = latest_status(settings)
        return status is not None and status.workers["matcher"].still_ms > 100

    wait_until(stands_still, WITHIN_S, "the matcher, which does not run, stands still")
    with urllib.request.urlopen(
        f"http://127.0.0.1:{settings.health_port('heartbeat-monitor')}/health", timeout=10
    ) as answer:
        assert [worker["worker"] for worker in json.load(answer)["workers"]] == [
            "heartbeat-monitor",
            "pipeline-monitor",
        ]

    table = vigil(environment)
    assert (table.returncode, table.stderr) == (0, "")
    assert re.search(r"^matcher +3 +\d+\.\d s +\d+\.\d s *$", table.stdout, re.MULTILINE), table.stdout
    assert re.search(r"^notifier +0 +- +- *$", table.stdout, re.MULTILINE)
    assert "0 dead letters in the last minute" in table.stdout
    shown = json.loads(vigil(environment, "--json").stdout)
    assert shown["workers"]["indexer"]["lag"] == 3
