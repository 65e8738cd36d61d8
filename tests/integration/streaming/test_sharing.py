"""Three accumulators and three indexers share six partitions, and come and go without a gap."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streaming.kafka import topics as catalogue
from streaming.kafka.admin import TopicReport
from streaming.settings import CHECKOUT, Settings
from tests.support.chaos.evidence import in_elasticsearch, in_kafka
from tests.support.chaos.producers import producers

if TYPE_CHECKING:
    from tests.integration.conftest import Launch, WaitUntil

NODES, EVENTS, SECONDS = 30, 90_000, 150.0
"""600 a second, until all who went have come back: a busy machine takes its time."""

INDEXERS = (0, 1, 2)
_COUNTER = re.compile(r"^vigil_indexer_indexed_total (\S+)$", re.MULTILINE)


class Fleet:
    """Starts and stops them by number."""

    def __init__(self, settings: Settings, environment: dict[str, str], launch: Launch, wait: WaitUntil) -> None:
        self._settings, self._environment, self._launch, self.wait = settings, environment, launch, wait

    def accumulator(self, number: int) -> subprocess.Popen[bytes]:
        """Started, and healthy."""
        conf = str(CHECKOUT / "fluentd" / f"fluent{number}.conf")
        process = self._launch("streaming.accumulator", conf, environment=self._environment)
        self._await_healthy(self._settings.health_port(f"accumulator{number}"), f"accumulator{number}")
        return process

    def indexer(self, slot: int) -> subprocess.Popen[bytes]:
        """Started, and healthy."""
        process = self._launch("streaming.indexer", "--slot", str(slot), environment=self._environment)
        self._await_healthy(self._settings.health_port("indexer", slot), f"indexer {slot}")
        return process

    def indexed(self, slot: int) -> float:
        """How many documents this indexer has made since it started."""
        found = _COUNTER.search(self._get(self._settings.health_port("indexer", slot), "metrics"))
        return float(found[1]) if found else 0.0

    def _await_healthy(self, port: int, what: str) -> None:
        self.wait(lambda: self._get(port, "health"), 40, f"{what} is healthy")

    @staticmethod
    def _get(port: int, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:  # also an answer that says it is not healthy
            return ""


@pytest.mark.timeout(180)
def test_the_work_is_shared_and_members_come_and_go(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Launch,
    wait_until: WaitUntil,
    tmp_path: Path,
) -> None:
    # fluent1.conf follows the platform's own logs, which are not this test's.
    fleet = Fleet(settings, environment | {"VIGIL_LOG_DIR": str(tmp_path / "no-logs")}, launch, wait_until)
    accumulators = {number: fleet.accumulator(number) for number in (1, 2, 3)}
    indexers = {slot: fleet.indexer(slot) for slot in INDEXERS}
    ports = [settings.accumulator1_port, settings.accumulator2_port, settings.accumulator3_port]
    nodes = producers(NODES, ports, EVENTS, SECONDS)
    for node in nodes:
        node.start()
    wait_until(lambda: all(fleet.indexed(slot) > 0 for slot in INDEXERS), 30, "every indexer has its share")

    indexers[1].terminate()
    indexers[1].wait(15)
    others = fleet.indexed(0) + fleet.indexed(2)
    wait_until(lambda: fleet.indexed(0) + fleet.indexed(2) > others + 200, 20, "the others go on")
    accumulators[2].terminate()
    accumulators[2].wait(15)
    fleet.accumulator(2)
    fleet.indexer(1)
    wait_until(lambda: fleet.indexed(1) > 0, 90, "the one that came back has a share again")

    for node in nodes:
        node.stop()
    assert all(node.join(60) for node in nodes)
    sent = {node.node: node.acknowledged for node in nodes}
    wait_until(lambda: sum(in_elasticsearch(settings)[0].values()) >= sum(sent.values()), 60, "all is indexed")
    documents, doubled = in_elasticsearch(settings)
    assert (documents, doubled) == (sent, [])
    found = in_kafka(settings, settings.topic(catalogue.LOGS))
    assert {name: (node.seen, node.gaps) for name, node in found.items()} == {name: (n, []) for name, n in sent.items()}
