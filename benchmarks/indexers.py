"""Indexers over a full topic: their rate, what they cost, and whether their memory stays."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import orjson

from benchmarks.processes import cost
from benchmarks.rounds import Run
from benchmarks.workload import events
from infra.local.isolated import as_environment
from infra.local.layout import Layout
from infra.local.programs import environment as program_environment
from infra.local.programs import inherited
from streaming.events import coordinates
from streaming.events.coordinates import Coordinates
from streaming.kafka import clients, topics
from streaming.kafka.admin import ensure_topics
from streaming.settings import Settings

CHUNK = 1_000
ALL_INDEXED_WITHIN_S = 300.0
LOOK_EVERY_S = 0.25
"""Each look at the metrics costs the process that is measured 2 to 3 ms."""

ENDED_WITHIN_S = 15.0


def fill_topic(settings: Settings, count: int, run: str) -> None:
    """Puts the workload into the topic of logs, in chunks as an accumulator numbers them."""
    ensure_topics(settings)
    producer = clients.producer(settings.kafka, queue_buffering_max_messages=500_000)
    topic, received = settings.topic(topics.LOGS), time.time_ns()
    for number, (time_ns, record) in enumerate(events(count, run)):
        place = Coordinates("bench", run, number // CHUNK + 1, number % CHUNK, received, time_ns, "bench")
        producer.produce(
            topic,
            orjson.dumps(record),
            str(record["node_id"]),
            headers=[(coordinates.HEADER, coordinates.encode(place))],
        )
        if number % CHUNK == 0:
            producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("Kafka did not take the workload within a minute")


def measure_indexers(settings: Settings, count: int, *, processes: int = 1) -> Run:
    """Lets so many indexers read the topic of logs, which holds `count` records, from its beginning.

    What counts is from the first tenth, where it has started, to 95 %, where no indexer has run dry yet.
    """
    with contextlib.ExitStack() as started:
        members = [started.enter_context(indexer_process(settings, slot)) for slot in range(processes)]
        first = _wait_for(settings, processes, count // 10)
        began, cpu = time.perf_counter(), sum(cost(member.pid).cpu_s for member in members)
        last = _wait_for(settings, processes, count * 95 // 100)
        seconds = time.perf_counter() - began
        costs = [cost(member.pid) for member in members]
    made = last - first
    return Run(made / seconds, (sum(c.cpu_s for c in costs) - cpu) * 1e6 / made, sum(c.rss_mb for c in costs))


@contextlib.contextmanager
def indexer_process(settings: Settings, slot: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """An indexer that runs until the block ends."""
    # As its supervisor starts it: inherited of all, and what is every program's.
    layout = Layout(settings.home)
    environment = inherited(layout, settings) | program_environment(layout, settings) | as_environment(settings)
    command = [sys.executable, "-m", "streaming.indexer", "--slot", str(slot)]
    with (settings.log_dir / f"indexer-{slot}.jsonl").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(ENDED_WITHIN_S)


def _wait_for(settings: Settings, processes: int, documents: int) -> int:
    """Waits until the indexers have made so many documents; how many they were then."""
    deadline = time.monotonic() + ALL_INDEXED_WITHIN_S
    while time.monotonic() < deadline:
        made = sum(indexed(settings, slot) for slot in range(processes))
        if made >= documents:
            return made
        time.sleep(LOOK_EVERY_S)
    raise RuntimeError(f"fewer than {documents} documents after {ALL_INDEXED_WITHIN_S:g} s")


def indexed(settings: Settings, slot: int = 0) -> int:
    """Documents that an indexer has made; 0 while it is starting."""
    url = f"http://{settings.bind_host}:{settings.health_port('indexer', slot)}/metrics"
    with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("vigil_indexer_indexed_total "):
                return int(float(line.split()[1]))
    return 0
