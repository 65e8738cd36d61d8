"""The indexer and its peers on one topic, into indices of one mapping, beside what Elasticsearch takes at most."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson
from confluent_kafka.admin import AdminClient

from benchmarks.indexers import CHUNK, fill_topic, measure_indexers
from benchmarks.peers import environment
from benchmarks.peers.run import PEERS, run_peer
from benchmarks.raw_bulk import documents_per_second, fresh_index, prepared_requests
from benchmarks.rounds import Rounds, Run
from benchmarks.workload import START_NS, events
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.mapping import logs_pattern
from streaming.events.ecs import Provenance, encode
from streaming.events.model import LogEvent
from streaming.events.parse import parse
from streaming.kafka import topics
from streaming.settings import Settings

Log = Callable[[str], None]

CEILING = "raw bulk ceiling"
INDEXER = "indexer"
FINGERPRINTS = "indexer with fingerprints"
TWO = "two indexers"

ROUNDS = 4
WARM_UP_PASSES = 10
SLOWER_PASSES = 2
"""The server's compiler takes most of a minute until it has compiled what indexing runs through; passes become faster
for as long, and the warming up ends when two did not."""


def measure_indexing(settings: Settings, count: int, log: Log, rounds: int = ROUNDS) -> Rounds:
    """All of them in turns, `rounds` times, on a topic of `count` records."""
    log("the peers' environment")
    python = environment.python()
    own = _apart(settings, fingerprints=False)
    fill_topic(own, count, "bench")
    bodies = _bodies(settings, count // 2)
    log("warming up")
    _warm_up(settings, bodies)
    found = Rounds()
    for number in range(1, rounds + 1):
        log(f"round {number} of {rounds}")
        found.add(CEILING, Run(_ceiling(settings, bodies)))
        for name, processes, fingerprints in ((INDEXER, 1, False), (FINGERPRINTS, 1, True), (TWO, 2, False)):
            found.add(name, _indexers(_apart(settings, fingerprints=fingerprints), count, processes))
        for name, program, part in PEERS:
            found.add(name, run_peer(python, own, program, max(100, int(count * part))))
    return found


def _apart(settings: Settings, *, fingerprints: bool) -> Settings:
    """The same servers, with topics, groups and indices apart from those of the platform that follows."""
    return settings.model_copy(
        update={
            "topic_prefix": "indexing-",
            "index_prefix": f"{settings.index_prefix}-indexing",
            "fingerprints": fingerprints,
        }
    )


def _indexers(settings: Settings, count: int, processes: int) -> Run:
    """From the topic's beginning into indices that are not there yet; nothing of it is left."""
    try:
        return measure_indexers(settings, count, processes=processes)
    finally:
        _delete_indices(settings)
        _delete_group(settings)


def _warm_up(settings: Settings, bodies: list[bytes]) -> None:
    best = 0.0
    slower = 0
    for _ in range(WARM_UP_PASSES):
        rate = _ceiling(settings, bodies)
        slower += rate < best
        if slower == SLOWER_PASSES:
            return
        best = max(best, rate)


def _ceiling(settings: Settings, bodies: list[bytes]) -> float:
    with fresh_index(settings, "raw") as index:
        requests = prepared_requests(index, bodies)
        return documents_per_second(settings.elasticsearch, requests, len(bodies))


def _bodies(settings: Settings, count: int) -> list[bytes]:
    """The very documents that the indexer would make: each is of another place, as its field `vigil.source` says."""
    topic, received = settings.topic(topics.LOGS), time.time_ns()
    return [
        _document(record, Provenance(
            received, f"bench.bench:{number // CHUNK + 1}:{number % CHUNK}", "bench",
            number // CHUNK + 1, number % CHUNK, topic, number % 6, number // 6,
        ))
        for number, (_, record) in enumerate(events(count))
    ]  # fmt: skip


def _document(record: dict[str, object], provenance: Provenance) -> bytes:
    event = parse(orjson.dumps(record), received_ns=START_NS)
    if not isinstance(event, LogEvent):
        raise TypeError(f"the workload holds what is no log: {event}")
    return encode(event, provenance, ingested_ns=provenance.received_ns)


def _delete_indices(settings: Settings) -> None:
    connection = Connection(settings.elastic, timeout_s=60.0)
    found = checked(connection.request("GET", f"/{logs_pattern(settings.index_prefix)}/_settings"), "listing indices")
    for index in orjson.loads(found.body):
        checked(connection.request("DELETE", f"/{index}"), f"deleting {index}")
    connection.close()


def _delete_group(settings: Settings) -> None:
    """So that the next indexer reads the topic from its beginning."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap, "log_level": 0})
    for deleted in admin.delete_consumer_groups([settings.group("indexer")]).values():
        deleted.result(30)
