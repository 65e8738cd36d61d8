"""`dead_letter_replay` on a real Kafka and Elasticsearch, with a real indexer."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from streaming.events import coordinates
from streaming.events.coordinates import Coordinates
from streaming.kafka import clients
from streaming.kafka.topics import DEAD_LETTERS
from streaming.settings import Settings
from tests.integration.conftest import Launch, WaitUntil
from tests.integration.dags.conftest import RunDag


def put(settings: Settings, *values: bytes) -> None:
    """Dead letters of an indexer that could not read these records; today's parser may."""
    out = clients.producer(settings.kafka)
    for sequence, value in enumerate(values):
        at = Coordinates("acc", "inc", sequence, 0, time.time_ns(), 0, "app")
        headers: list[tuple[str, str | bytes | None]] = [
            ("reason", b"json"),
            ("detail", b"the parser of before did not know this <b>dialect</b>"),
            ("worker", b"indexer"),
            ("topic", settings.topic("logs").encode()),
            ("partition", b"5"),
            ("offset", str(sequence).encode()),
            (coordinates.HEADER, coordinates.encode(at)),
        ]
        out.produce(settings.topic(DEAD_LETTERS), value, "node-1", headers=headers)
    assert out.flush(20) == 0


def documents(settings: Settings, kind: str) -> int:
    url = f"{settings.elasticsearch}/{settings.index_prefix}-{kind}-*"
    httpx.post(f"{url}/_refresh", timeout=30)
    answer = httpx.get(f"{url}/_count", timeout=30)
    # An index that was only just made answers 503 for a moment.
    return int(answer.json()["count"]) if answer.is_success else 0


@pytest.mark.usefixtures("meant_up")
def test_what_can_be_read_today_becomes_documents_and_the_rest_is_told(
    run_dag: RunDag, settings: Settings, launch: Launch, wait_until: WaitUntil, environment: dict[str, str]
) -> None:
    launch("streaming.indexer", environment=environment)
    record = {"node_id": "node-1", "log_level": "INFO", "message": "hello", "service_name": "order"}
    put(settings, *(json.dumps(record | {"log_id": f"l{n}"}).encode() for n in range(2)), b"   ")
    wait_until(lambda: documents(settings, "dead-letters") == 3, 60, "the letters are indexed")

    ran = run_dag("dead_letter_replay", {"reasons": ["js*"], "topics": ["logs"]}, approved="approve")
    assert ran.state == "success"
    assert ran.returned["preview"]["total"] == 3
    assert "<b>" in ran.returned["preview"]["body"], "as it is written, in a span of code"
    assert ran.returned["replay"]["replayed"] == 3
    assert ran.returned["report_left"]["left"] == {}
    assert ran.returned["report_left"]["indexed"]
    assert sum(ran.returned["report_left"]["failed_again"].values()) == 1
    assert documents(settings, "logs") == 2

    again = run_dag("dead_letter_replay", {"reasons": ["js*"], "topics": ["logs"]}, approved="approve")
    assert again.tasks["preview"] == "skipped"
    assert again.tasks["replay"] == "skipped"


@pytest.mark.usefixtures("meant_up")
def test_a_time_that_is_none_is_named_before_anybody_is_asked(run_dag: RunDag) -> None:
    ran = run_dag("dead_letter_replay", {"since": "yesterday-ish"}, approved="approve")
    assert ran.tasks["preview"] == "failed"
    assert ran.tasks["approve"] == "upstream_failed"
