"""Dead letters in Kafka, their documents in Elasticsearch, and what stands between them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from confluent_kafka import Message
from typer.testing import CliRunner

from streaming.cli.dead_letters import dead_letters_app
from streaming.dead_letters.indexing import DeadLetterIndexer
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.events import coordinates
from streaming.events.coordinates import Coordinates
from streaming.kafka import clients
from streaming.kafka.ranges import RangeReader
from streaming.kafka.topics import DEAD_LETTERS, LOGS
from streaming.settings import Settings
from tests.support.groups import places

if TYPE_CHECKING:
    from streaming.kafka.admin import TopicReport
    from tests.integration.conftest import WaitUntil


RECEIVED_NS = time.time_ns()


class Command(Protocol):
    """Runs a command of `vigil dead-letters`; it must succeed."""

    def __call__(self, *arguments: str) -> tuple[str, str]: ...


class Morgue:
    """Puts letters into the topic as a worker does, indexes them, and shows the documents."""

    def __init__(self, settings: Settings, wait: WaitUntil) -> None:
        self.settings, self.wait = settings, wait
        self.elastic = Connection(settings.elastic)
        self.pattern = mapping.dead_letters_pattern(settings.index_prefix)
        self._producer = clients.producer(settings.kafka, message_max_bytes=8 * 1024 * 1024)
        self.put_so_far = 0

    def put(
        self, value: bytes, sequence: int, reason: str = "not-utf8", key: str | None = "node-1", flush: bool = True
    ) -> None:
        """One letter of the indexer about a log with these coordinates."""
        at = Coordinates("acc", "inc", sequence, 0, RECEIVED_NS + sequence, 0, "app")
        headers: list[tuple[str, str | bytes | None]] = [
            ("reason", reason.encode()),
            ("detail", b"it is so"),
            ("worker", b"indexer"),
            ("topic", self.settings.topic("logs").encode()),
            ("partition", b"5"),
            ("offset", str(sequence).encode()),
            (coordinates.HEADER, coordinates.encode(at)),
        ]
        self._producer.produce(self.settings.topic(DEAD_LETTERS), value, key, headers=headers)
        self.put_so_far += 1
        if flush:
            self.flush()

    def flush(self) -> None:
        """Waits until Kafka has all of them."""
        assert self._producer.flush(30) == 0

    def index(self) -> None:
        """Runs an indexer of dead letters until it has committed all that was put."""
        self.index_until(self.settings, lambda _: self._committed() == self.put_so_far)

    def index_until(self, settings: Settings, condition: Callable[[DeadLetterIndexer], bool]) -> None:
        """Runs rounds of an indexer of dead letters until the condition holds."""
        indexer = DeadLetterIndexer(settings)

        def look() -> bool:
            indexer.run_once()
            return condition(indexer)

        try:
            self.wait(look, 40, "dead letters indexed")
        finally:
            indexer.close()

    def documents(self) -> list[dict[str, Any]]:
        """All of them, by their place in Kafka."""
        self.elastic.request("POST", f"/{self.pattern}/_refresh")
        body = {"size": 1000, "sort": ["vigil.kafka.offset"]}
        return [
            hit["_source"]
            for hit in json.loads(self.elastic.json("POST", f"/{self.pattern}/_search", body).body)["hits"]["hits"]
        ]

    def logs(self) -> list[Message]:
        """All records of topic `logs`, each partition's in order."""
        name = self.settings.topic(LOGS)
        with RangeReader(self.settings) as reader:
            found = [message for batch in reader.read(name, reader.bounds_of(name)) for message in batch]
        return sorted(found, key=lambda message: message.partition() or 0)

    def _committed(self) -> int:
        return places(self.settings, DEAD_LETTERS, DeadLetterIndexer.name)[0].committed


@pytest.fixture
def command(environment: dict[str, str]) -> Command:
    """`command("list", ...)` runs `vigil dead-letters list ...` and gives what it wrote, on both ways out."""

    def run(*arguments: str) -> tuple[str, str]:
        done = CliRunner().invoke(dead_letters_app, arguments, env=environment, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout, done.stderr

    return run


@pytest.fixture
def morgue(settings: Settings, topics: TopicReport, wait_until: WaitUntil) -> Iterator[Morgue]:
    """Topics of this test's own; nothing dead yet."""
    made = Morgue(settings, wait_until)
    yield made
    made.elastic.close()
