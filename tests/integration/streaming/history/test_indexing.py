"""Events of incidents and changes of nodes between a real Kafka and a real Elasticsearch: each one document, none lost;
and the last state is that of the last event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from streaming.alerting.messages import Happening, IncidentEvent, IncidentState
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import ensure_templates, find_drift
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import State
from streaming.history.indexing import HistoryIndexer
from streaming.kafka import clients
from streaming.kafka.topics import INCIDENT_EVENTS, NODE_STATUS
from streaming.rolling.reading import read_state
from streaming.settings import Settings
from tests.integration.streaming.indexer.conftest import Proxy
from tests.support.groups import lag
from tests.support.incidents import an_incident

if TYPE_CHECKING:
    from streaming.kafka.admin import TopicReport
    from tests.integration.conftest import Launch, WaitUntil

NOW_MS = 1_795_600_000_000  # 2026-11-25T09:46:40Z


def event(incident: str, step: int, state: IncidentState = IncidentState.FIRING) -> bytes:
    """The `step`-th event of an incident; also its version, and so many seconds after the beginning."""
    at_ms = NOW_MS + 1_000 * step
    resolved = {"resolved_ms": at_ms} if state is IncidentState.RESOLVED else {}
    about = an_incident(incident_id=incident, version=step, opened_ms=NOW_MS, state=state, **resolved)
    happening = Happening.RESOLVED if resolved else Happening.UPDATED
    return msgspec.json.encode(
        IncidentEvent(happening=happening, at_ms=at_ms, actor="gateway", reason="it is so", incident=about)
    )


def change(node: str, state: State, at_ms: int = NOW_MS) -> bytes:
    return msgspec.json.encode(
        NodeStatus(
            node_id=node, service="payment", state=state, at_ms=at_ms, last_beat_ms=at_ms, silent_for_ms=0, reason="so"
        )
    )


class Annals:
    """Puts events into the topics as their workers do, has them indexed, and shows the documents."""

    def __init__(self, settings: Settings, wait: WaitUntil) -> None:
        self.settings, self.wait = settings, wait
        self.elastic = Connection(settings.elastic)
        self._producer = clients.producer(settings.kafka)

    def put(self, topic: str, *values: bytes) -> None:
        for value in values:
            self._producer.produce(self.settings.topic(topic), value)
        assert self._producer.flush(30) == 0

    def lag(self) -> int:
        return sum(lag(self.settings, topic, HistoryIndexer.name) for topic in (INCIDENT_EVENTS, NODE_STATUS))

    def index(self) -> None:
        """Runs rounds of an indexer until it has committed all."""
        self.index_until(HistoryIndexer(self.settings), lambda: self.lag() == 0)

    def index_until(self, indexer: HistoryIndexer, condition: Callable[[], object]) -> None:
        def look() -> object:
            indexer.run_once()
            return condition()

        try:
            self.wait(look, 60, f"indexed ({indexer.health.answer()})")
        finally:
            indexer.close()

    def count(self, name: str) -> int:
        path = f"/{self.settings.index_prefix}-{name}"
        self.elastic.request("POST", f"{path}/_refresh")
        return int(json.loads(self.elastic.request("GET", f"{path}/_count").body).get("count", 0))

    def documents(self, name: str) -> list[dict[str, Any]]:
        path = f"/{self.settings.index_prefix}-{name}"
        self.elastic.request("POST", f"{path}/_refresh")
        body = {"size": 1000, "sort": ["vigil.kafka.offset"]}
        hits = json.loads(self.elastic.json("POST", f"{path}/_search", body).body)["hits"]["hits"]
        return [hit["_source"] for hit in hits]


@pytest.fixture
def annals(settings: Settings, topics: TopicReport, wait_until: WaitUntil) -> Iterator[Annals]:
    """Topics of this test's own; nothing happened yet."""
    made = Annals(settings, wait_until)
    yield made
    made.elastic.close()


def test_killed_in_the_middle_nothing_is_lost_doubled_or_brought_back(
    annals: Annals, environment: dict[str, str], launch: Launch
) -> None:
    incidents, steps = 20, 50
    annals.put(INCIDENT_EVENTS, *(event(f"I{n}", step) for step in range(1, steps) for n in range(incidents)))
    annals.put(INCIDENT_EVENTS, *(event(f"I{n}", steps, IncidentState.RESOLVED) for n in range(incidents)))
    process = launch("streaming.indexer", environment=environment)
    annals.wait(lambda: annals.count("incident-events-*") >= 100, 120, "100 documents")
    process.kill()
    process.wait()
    launch("streaming.indexer", environment=environment)
    annals.wait(lambda: annals.lag() == 0, 120, "everything committed")
    assert annals.count("incident-events-*") == incidents * steps
    last = annals.documents("incidents-*")
    assert {one["vigil"]["incident"]["id"]: one["vigil"]["incident"]["version"] for one in last} == {
        f"I{n}": steps for n in range(incidents)
    }
    assert {(one["vigil"]["incident"]["state"], one["event"]["duration"]) for one in last} == {
        ("resolved", steps * 10**9)
    }


def test_elasticsearch_away_and_back(annals: Annals, proxy: Proxy) -> None:
    annals.put(INCIDENT_EVENTS, event("I1", 1))
    behind = annals.settings.model_copy(update={"elasticsearch_url": proxy.url})
    indexer = HistoryIndexer(behind)

    def done() -> bool:
        indexer.run_once()
        return annals.lag() == 0

    try:
        annals.wait(done, 60, "the first event")
        proxy.cut()
        annals.put(INCIDENT_EVENTS, event("I1", 2))
        annals.put(NODE_STATUS, change("n1", State.DOWN))

        def waits() -> bool:
            indexer.run_once()
            return "events of incidents and nodes wait" in indexer.health.answer()["checks"]["elasticsearch"]["detail"]

        annals.wait(waits, 60, "it waits, and says so")
        assert annals.lag() > 0, "nothing is committed before it is indexed"
        proxy.mend()
        annals.wait(done, 60, "the rest")
        assert indexer.health.answer()["checks"]["elasticsearch"]["ok"]
    finally:
        indexer.close()
    assert (annals.count("incident-events-*"), annals.count("node-status-*")) == (2, 1)
    (incident,), (node,) = annals.documents("incidents-*"), annals.documents("nodes")
    assert incident["vigil"]["incident"]["version"] == 2
    assert node["vigil"]["node"]["state"] == "DOWN"


def test_what_a_restore_brings_back_changes_nothing_and_what_follows_it_counts(annals: Annals) -> None:
    """In a topic that begins anew the offsets are low again; here the events are simply written a second time."""
    history = [event("I1", step) for step in (1, 2, 3)]
    annals.put(INCIDENT_EVENTS, *history)
    annals.put(NODE_STATUS, change("n1", State.UP), change("n1", State.DOWN), b"not one of ours")
    annals.index()
    annals.put(INCIDENT_EVENTS, *history[:2])
    annals.index()
    assert annals.count("incident-events-*") == 3
    (node,) = annals.documents("nodes")
    assert node["vigil"]["node"]["state"] == "DOWN", "the later of two changes of one millisecond"
    # The manager was put back to version 2, and goes on from there.
    lower = msgspec.json.decode(event("I1", 60, IncidentState.RESOLVED))
    lower["incident"]["version"] = 3
    annals.put(INCIDENT_EVENTS, msgspec.json.encode(lower))
    annals.index()
    assert annals.count("incident-events-*") == 4
    (incident,) = annals.documents("incidents-*")
    assert (incident["vigil"]["incident"]["state"], incident["vigil"]["incident"]["version"]) == ("resolved", 3)


def test_a_server_that_came_back_empty_and_an_index_of_another_mapping(annals: Annals) -> None:
    annals.put(INCIDENT_EVENTS, event("I1", 1))
    annals.index()
    prefix = annals.settings.index_prefix
    for name in ("incident-events-2026.11", "incidents-2026.11"):
        assert annals.elastic.request("DELETE", f"/{prefix}-{name}").status == 200
    assert annals.elastic.request("DELETE", f"/_index_template/{prefix}-incidents").status == 200
    wrong = {"mappings": {"properties": {"vigil": {"properties": {"node": {"type": "long"}}}}}}
    assert annals.elastic.json("PUT", f"/{prefix}-node-status-2026.11", wrong).status == 200
    annals.put(INCIDENT_EVENTS, event("I1", 2))
    annals.put(NODE_STATUS, change("n1", State.DOWN))
    annals.index()
    assert [d["vigil"]["incident"]["version"] for d in annals.documents("incident-events-*")] == [2]
    assert (annals.count("node-status-*"), annals.count("nodes")) == (0, 1), "what is refused keeps nothing up"


def test_roll_knows_the_indices_and_finds_no_drift(annals: Annals) -> None:
    annals.put(INCIDENT_EVENTS, event("I1", 1))
    annals.put(NODE_STATUS, change("n1", State.DOWN))
    annals.index()
    assert find_drift(annals.settings, annals.elastic).drift == []
    assert not ensure_templates(annals.settings, annals.elastic).changed
    state = read_state(annals.settings, annals.elastic)
    prefix = annals.settings.index_prefix
    assert {index.index.removeprefix(f"{prefix}-") for index in state.indices} == {
        "incident-events-2026.11",
        "incidents-2026.11",
        "node-status-2026.11",
    }
    assert state.strange == ()


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    """A proxy before Elasticsearch."""
    host, _, port = settings.elasticsearch.removeprefix("http://").rpartition(":")
    made = Proxy(host, int(port))
    yield made
    made.cut()
