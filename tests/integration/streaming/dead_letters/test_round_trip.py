"""From a refused document to its replay, through a real indexer process."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from streaming.elastic import mapping
from streaming.elastic.ensure import ensure_templates
from streaming.events import coordinates
from streaming.events.coordinates import Coordinates
from streaming.events.ecs import date_text
from streaming.indexer.identity import document_id
from streaming.kafka import clients
from streaming.kafka.topics import LOGS

if TYPE_CHECKING:
    from tests.integration.conftest import Launch
    from tests.integration.streaming.dead_letters.conftest import Command, Morgue

VALUES = [
    json.dumps({"message": "no id", "level": "ERROR"}).encode(),
    json.dumps({"message": "an id", "log_id": "l1", "node_id": "n1"}).encode(),
    b"{}",
]


def put(morgue: Morgue, *, with_coordinates: bool) -> None:
    """As an accumulator does, or as a real Fluentd does."""
    out = clients.producer(morgue.settings.kafka)
    for position, value in enumerate(VALUES):
        at = Coordinates("acc", "inc", 1, position, time.time_ns(), 0, "app")
        headers: list[tuple[str, str | bytes | None]] = [(coordinates.HEADER, coordinates.encode(at))]
        out.produce(morgue.settings.topic(LOGS), value, "n1", headers=headers if with_coordinates else [])
    assert out.flush(30) == 0


def search(morgue: Morgue, pattern: str) -> list[dict[str, Any]]:
    morgue.elastic.request("POST", f"/{pattern}/_refresh")
    answer = json.loads(morgue.elastic.json("POST", f"/{pattern}/_search", {"size": 100}).body)
    return list(answer.get("hits", {}).get("hits", []))


@pytest.mark.parametrize("with_coordinates", [True, False])
def test_what_an_index_refused_comes_back_under_its_first_name(
    morgue: Morgue, environment: dict[str, str], launch: Launch, command: Command, with_coordinates: bool
) -> None:
    """Somebody made today's index by hand, with `message` as a number."""
    ensure_templates(morgue.settings)
    logs = mapping.logs_pattern(morgue.settings.index_prefix)
    today = logs.replace("*", f"default-{date_text(time.time_ns())[:10].replace('-', '.')}")
    wrong = {"mappings": {"properties": {"message": {"type": "long"}}}}
    assert morgue.elastic.json("PUT", f"/{today}", wrong).status == 200
    put(morgue, with_coordinates=with_coordinates)
    launch("streaming.indexer", environment=environment)
    morgue.wait(lambda: len(search(morgue, morgue.pattern)) == 3, 60, "three dead letters")
    reasons = sorted(hit["_source"]["dead_letter"]["reason"] for hit in search(morgue, morgue.pattern))
    assert reasons == ["elasticsearch:document_parsing_exception"] * 2 + ["not-an-event"]
    assert search(morgue, logs) == []

    assert morgue.elastic.request("DELETE", f"/{today}").status == 200
    done = json.loads(command("replay", "--json")[0])
    assert (done["replayed"], done["left"]) == (3, {})
    morgue.wait(lambda: len(search(morgue, logs)) == 2, 60, "two documents")
    found = {hit["_id"]: hit["_source"] for hit in search(morgue, logs)}
    sources = {source["message"]: source["vigil"]["source"] for source in found.values()}
    first = "acc.inc:1:0" if with_coordinates else sources["no id"]
    assert first.rsplit("-", 1)[-1] in ("acc.inc:1:0", "0"), "the place in Kafka at the first time, not at the second"
    assert set(found) == {
        document_id(VALUES[0], first, None).decode(),
        document_id(VALUES[1], "", "l1").decode(),
    }
    # What failed again is a new letter, and the one that was replayed says so.
    morgue.wait(lambda: len(search(morgue, morgue.pattern)) == 4, 60, "a fourth dead letter")
    letters = [hit["_source"]["vigil"] for hit in search(morgue, morgue.pattern)]
    assert sorted(("replayed_at" in v, "replay" in v) for v in letters) == [(False, True)] + [(True, False)] * 3
    left = command("list")[1]
    assert "1 dead letters: not-an-event (1)" in left
