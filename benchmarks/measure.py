"""One run: the raw ceiling, the indexer, the whole path, latency idle and under load, memory."""

from __future__ import annotations

import http.client
import itertools
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson
from pydantic import SecretStr

from benchmarks.latency import Latency, Load, measure
from benchmarks.processes import cost
from benchmarks.raw_bulk import documents_per_second, prepared_requests
from benchmarks.receiver import Receiver
from benchmarks.workload import START_NS, events
from infra.local.isolated import isolated_settings
from infra.local.stack import bring_up, running
from infra.local.supervisor import SupervisorManager
from streaming.events import coordinates
from streaming.events.coordinates import Coordinates
from streaming.events.ecs import Provenance, encode
from streaming.events.model import LogEvent
from streaming.events.parse import parse
from streaming.forward.sender import PipelinedSender, make_chunk
from streaming.kafka import clients, topics
from streaming.settings import Settings

Log = Callable[[str], None]

LOAD_PER_S = 5_000
CHUNK = 1_000
ALL_INDEXED_WITHIN_S = 300.0
SERVERS = ("kafka", "elasticsearch")


@dataclass
class Figures:
    """What one run found. Rates are per second, CPU microseconds per document, memory megabytes (PSS)."""

    ceiling: float = 0.0
    indexer: float = 0.0
    indexer_cpu_us: float = 0.0
    end_to_end: float = 0.0
    idle: Latency | None = None
    loaded: Latency | None = None
    memory_mb: dict[str, float] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """What holds on any machine."""
        return {
            "indexer_of_ceiling": self.indexer / self.ceiling,
            "end_to_end_of_ceiling": self.end_to_end / self.ceiling,
        }

    def rows(self) -> Iterator[tuple[str, float, str]]:
        """(what, figure, unit) for the table."""
        yield "raw bulk ceiling", self.ceiling, "documents/s"
        yield "indexer", self.indexer, "documents/s"
        yield "indexer, of the ceiling", self.ratios()["indexer_of_ceiling"], ""
        yield "indexer CPU", self.indexer_cpu_us, "us a document"
        yield "end to end (three sockets to searchable)", self.end_to_end, "events/s"
        for name, latency in (("idle", self.idle), (f"at {LOAD_PER_S:,} logs/s", self.loaded)):
            if latency:
                yield f"log to alert, {name}, p50", latency.p50_ms, "ms"
                yield f"log to alert, {name}, p99", latency.p99_ms, "ms"
                yield f"log to alert, {name}, maximum", latency.max_ms, "ms"
        for name, megabytes in self.memory_mb.items():
            yield f"memory of {name}", megabytes, "MB PSS"

    def as_json(self) -> dict[str, object]:
        """For the file."""
        return {**asdict(self), "ratios": self.ratios()}


def run_all(home: Path, count: int, warm_up_s: float, probes: int, log: Log) -> Figures:
    """Measures on a platform of its own in `home`; everything it started has ended when it returns."""
    receiver = Receiver()
    settings = isolated_settings(home).model_copy(
        update={
            "slack_bot_token": SecretStr("xoxb-benchmark"),
            "slack_channel": "C0BENCH",
            "slack_api_url": receiver.url,
            # The receiver takes any rate; what is measured is Vigil's way, not the channel's pace.
            "slack_messages_per_s": 1_000.0,
        }
    )
    figures = Figures()
    try:
        with running(settings, SERVERS, log) as manager:
            log("raw bulk ceiling")
            figures.ceiling = _ceiling(settings, count)
            log("indexer")
            figures.indexer, figures.indexer_cpu_us = _indexer(settings, manager, count, log)
            bring_up(manager, settings, [s.name for s in manager.all() if s.name != "loadgen"], log)
            log("end to end")
            figures.end_to_end = _end_to_end(settings, count)
            _latencies(figures, settings, receiver, warm_up_s, probes, log)
            for status in manager.all():
                if status.pid:
                    figures.memory_mb[status.name] = round(cost(status.pid).pss_mb, 1)
    finally:
        receiver.close()
    return figures


def _ceiling(settings: Settings, count: int) -> float:
    """Two passes into indices with the very mapping of logs; the second, warm one counts."""
    documents = [_document(record) for _, record in events(count)]
    rates = []
    for number in (1, 2):
        index = f"{settings.index_prefix}-logs-raw{number}-2023.11.14"
        _put(settings, f"/{index}")
        rates.append(documents_per_second(settings.elasticsearch, prepared_requests(index, documents), count))
        _request(settings, "DELETE", f"/{index}")
    return rates[-1]


def _document(record: dict[str, object]) -> bytes:
    event = parse(orjson.dumps(record), received_ns=START_NS)
    if not isinstance(event, LogEvent):
        raise TypeError(f"the workload holds what is no log: {event}")
    return encode(event, Provenance(START_NS, "bench.0:1:0", "bench", 1, 0, "logs", 0, 0), ingested_ns=START_NS)


def _indexer(settings: Settings, manager: SupervisorManager, count: int, log: Log) -> tuple[float, float]:
    """Rate and CPU over the second of two passes, as for the ceiling: the first one warms both ends."""
    for run in ("indexer-1", "indexer-2"):
        _fill_topic(settings, count, run)
    bring_up(manager, settings, ["indexer"], log)
    pid = manager.status("indexer").pid
    if pid is None:
        raise RuntimeError("the indexer has no process")
    first = _wait_for(settings, count)
    began, cpu = time.perf_counter(), cost(pid).cpu_s
    done = _wait_for(settings, 2 * count)
    return (done - first) / (time.perf_counter() - began), (cost(pid).cpu_s - cpu) * 1e6 / (done - first)


def _fill_topic(settings: Settings, count: int, run: str) -> None:
    producer = clients.producer(settings.bootstrap, queue_buffering_max_messages=500_000)
    topic, received = settings.topic(topics.LOGS), time.time_ns()
    for number, (time_ns, record) in enumerate(events(count, run)):
        place = Coordinates("bench", "0", number // CHUNK + 1, number % CHUNK, received, time_ns, "bench")
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


def _wait_for(settings: Settings, documents: int) -> int:
    """Waits until the indexer has made so many documents; how many they were then."""
    deadline = time.monotonic() + ALL_INDEXED_WITHIN_S
    while time.monotonic() < deadline:
        made = int(_metric(settings, "indexer", "vigil_indexer_indexed_total"))
        if made >= documents:
            return made
        time.sleep(0.05)
    raise RuntimeError(f"fewer than {documents} documents after {ALL_INDEXED_WITHIN_S:g} s")


def _metric(settings: Settings, worker: str, name: str) -> float:
    url = f"http://{settings.bind_host}:{settings.health_port(worker)}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
    return 0.0


def _end_to_end(settings: Settings, count: int) -> float:
    """Events a second from the first write to three sockets until the last document is made."""
    before = int(_metric(settings, "indexer", "vigil_indexer_indexed_total"))
    senders = [PipelinedSender(settings.bind_host, port) for port in _accumulator_ports(settings)]
    source = events(count, "end-to-end")
    began = time.perf_counter()
    for number, batch in enumerate(iter(lambda: list(itertools.islice(source, CHUNK)), [])):
        senders[number % len(senders)].send_nowait(make_chunk("bench.load", batch))
    for sender in senders:
        sender.drain()
        sender.close()
    _wait_for(settings, before + count)
    return count / (time.perf_counter() - began)


def _latencies(
    figures: Figures, settings: Settings, receiver: Receiver, warm_up_s: float, probes: int, log: Log
) -> None:
    ports = _accumulator_ports(settings)
    log("latency, idle")
    measure(ports, receiver, 10, 0.05, "warm")
    figures.idle = measure(ports, receiver, probes, 0.05, "idle")
    log(f"latency at {LOAD_PER_S:,} logs/s, after {warm_up_s:g} s")
    load = Load(ports, LOAD_PER_S, "load")
    try:
        time.sleep(warm_up_s)
        figures.loaded = measure(ports, receiver, probes, 0.1, "loaded")
    finally:
        load.stop()


def _accumulator_ports(settings: Settings) -> list[int]:
    return [settings.accumulator1_port, settings.accumulator2_port, settings.accumulator3_port]


def _put(settings: Settings, path: str) -> None:
    _request(settings, "PUT", path)


def _request(settings: Settings, method: str, path: str) -> None:
    connection = http.client.HTTPConnection(settings.bind_host, settings.elasticsearch_port, timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{method} {path}: {answer.status} {body[:200]!r}")
