"""A real accumulator and a real indexer, and what a test sends, breaks and proves."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from confluent_kafka.admin import AdminClient

from streaming.elastic.connection import Connection
from streaming.forward.sender import PipelinedSender, make_chunk
from streaming.kafka.admin import ensure_topics
from streaming.kafka.ranges import RangeReader
from streaming.kafka.topics import DEAD_LETTERS, LEDGER, LOGS
from streaming.settings import CHECKOUT, Settings
from tests.support.groups import lag

if TYPE_CHECKING:
    from streaming.kafka.admin import TopicReport
    from tests.integration.conftest import Launch, WaitUntil

EVENT_NS = 1_700_000_000_123_456_789


def log_line(number: int, **more: object) -> dict[str, object]:
    """A canonical log."""
    return {
        "log_id": f"l{number}",
        "node_id": f"node-{number % 7}",
        "log_level": "INFO",
        "message_type": "LOG",
        "message": f"line {number}",
        "service_name": "payment",
        "timestamp": "2026-11-24T06:40:00.000Z",
    } | more


class Pipeline:
    """From a sender to Elasticsearch."""

    def __init__(self, settings: Settings, environment: dict[str, str], launch: Launch, wait: WaitUntil, logs: Path):
        self.settings, self._environment, self._launch, self.wait, self._logs = (
            settings,
            environment,
            launch,
            wait,
            logs,
        )
        self.elastic = Connection(settings.elastic)
        self.accumulator: subprocess.Popen[bytes] | None = None
        self.indexer: subprocess.Popen[bytes] | None = None

    def start_accumulator(self) -> None:
        """Returns when it is healthy."""
        conf = str(CHECKOUT / "fluentd" / "fluent2.conf")
        self.accumulator = self._launch(
            "streaming.accumulator", conf, environment=self._environment, log=self._logs / "accumulator.out"
        )
        port = self.settings.health_port("accumulator2")
        self.wait(lambda: _healthy(port), 60, "the accumulator is healthy")

    def start_indexer(self) -> None:
        """Returns at once."""
        self.indexer = self._launch("streaming.indexer", environment=self._environment, log=self._logs / "indexer.out")

    def kill(self) -> None:
        """Both at once, with SIGKILL."""
        for process in (self.accumulator, self.indexer):
            assert process is not None
            process.send_signal(signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """Both, in order."""
        for process in (self.accumulator, self.indexer):
            assert process is not None
            process.terminate()
            process.wait(20)

    def make_anew(self, topic: str) -> None:
        """Deletes a topic and makes it again."""
        admin = AdminClient({"bootstrap.servers": self.settings.bootstrap, "log_level": 0})
        admin.delete_topics([topic])[topic].result(10)
        self.wait(lambda: topic not in admin.list_topics(timeout=10).topics, 20, "the topic is deleted")
        ensure_topics(self.settings)

    def sender(self) -> PipelinedSender:
        """To the accumulator."""
        return PipelinedSender("127.0.0.1", self.settings.accumulator2_port, window=4)

    def send(self, *records: dict[str, object]) -> None:
        """One chunk, acknowledged."""
        sender = self.sender()
        sender.send_nowait(make_chunk("app", [(EVENT_NS, r) for r in records]))
        sender.drain()
        sender.close()

    def settled(self) -> None:
        """Waits until all that was acknowledged is in Kafka and all of that is committed by its indexers."""
        self.wait(self._is_settled, 90, "everything is indexed")

    def _is_settled(self) -> bool:
        page = self._last_page()
        if page["next"] != page["last"] + 1:
            return False
        return lag(self.settings, LOGS, "indexer") == 0 == lag(self.settings, DEAD_LETTERS, "dead-letter-indexer")

    def _last_page(self) -> dict[str, int]:
        ledger = self.settings.topic(LEDGER)
        with RangeReader(self.settings) as reader:
            end = reader.bounds_of(ledger)[0].end
            found = [page for batch in reader.read(ledger, {0: (max(0, end - 1), end)}) for page in batch]
        page: dict[str, int] = json.loads(found[-1].value() or b"") if found else {"next": 0, "last": 0}
        return page

    def one_document(self, kind: str, query: object) -> tuple[str, str, dict[str, object]]:
        """Index, id and document of the one that matches."""
        pattern = f"{self.settings.index_prefix}-{kind}-*"
        self.elastic.request("POST", f"/{pattern}/_refresh")
        answer = json.loads(self.elastic.json("POST", f"/{pattern}/_search", {"query": query}).body)
        (hit,) = answer["hits"]["hits"]
        return hit["_index"], hit["_id"], hit["_source"]

    def delete(self, index: str, name: str) -> None:
        """As a person does by hand."""
        assert self.elastic.request("DELETE", f"/{index}/_doc/{name}").status == 200

    def put_back(self, index: str, name: str, source: dict[str, object]) -> None:
        """As it was."""
        path = f"/{index}/_create/{name}"
        assert self.elastic.request("PUT", path, msgspec.json.encode(source)).status == 201


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def pipeline(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Launch,
    wait_until: WaitUntil,
    tmp_path: Path,
) -> Iterator[Pipeline]:
    """Accumulator and indexer, running."""
    made = Pipeline(settings, environment, launch, wait_until, tmp_path)
    made.start_indexer()
    made.start_accumulator()
    yield made
    made.elastic.close()
