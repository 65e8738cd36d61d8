"""One run: the raw ceiling, the indexer, its peers, the whole path, latency idle and under load, memory."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson
from pydantic import SecretStr

from benchmarks.indexers import CHUNK, IndexingRun, fill_topic, indexed, measure_indexers
from benchmarks.latency import Latency, Load, measure
from benchmarks.peers import environment
from benchmarks.peers.run import PEERS, run_peer
from benchmarks.processes import cost
from benchmarks.raw_bulk import documents_per_second, fresh_index, prepared_requests
from benchmarks.receiver import Receiver
from benchmarks.workload import START_NS, events
from infra.local.isolated import isolated_settings
from infra.local.stack import bring_up, running
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.mapping import logs_pattern
from streaming.events.ecs import Provenance, encode
from streaming.events.model import LogEvent
from streaming.events.parse import parse
from streaming.forward.sender import PipelinedSender, make_chunk
from streaming.settings import Settings

Log = Callable[[str], None]

LOAD_PER_S = 5_000
ALL_INDEXED_WITHIN_S = 300.0
SERVERS = ("kafka", "elasticsearch")


@dataclass
class Figures:
    """What one run found. Rates are per second, CPU microseconds per document, memory megabytes (PSS)."""

    ceiling: float = 0.0
    indexer: IndexingRun | None = None
    with_fingerprints: IndexingRun | None = None
    two_indexers: IndexingRun | None = None
    peers: dict[str, IndexingRun] = field(default_factory=dict)
    end_to_end: float = 0.0
    idle: Latency | None = None
    loaded: Latency | None = None
    memory_mb: dict[str, float] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """What holds on any machine; of what was measured."""
        found: dict[str, float] = {}
        if self.indexer is not None:
            found["indexer_of_ceiling"] = self.indexer.per_s / self.ceiling
            for name, peer in self.peers.items():
                found[f"indexer_against_{name}"] = self.indexer.per_s / peer.per_s
        if self.with_fingerprints is not None:
            found["indexer_with_fingerprints_of_ceiling"] = self.with_fingerprints.per_s / self.ceiling
        if self.with_fingerprints is not None and self.two_indexers is not None:
            found["two_indexers_against_one"] = self.two_indexers.per_s / self.with_fingerprints.per_s
        if self.end_to_end:
            found["end_to_end_of_ceiling"] = self.end_to_end / self.ceiling
        return found

    def limits(self) -> dict[str, float]:
        """What must not be passed, in units of its own: CPU and memory of the indexer."""
        if self.indexer is None:
            return {}
        return {"indexer_cpu_us": self.indexer.cpu_us, "indexer_rss_mb": self.indexer.rss_mb}

    def rows(self) -> Iterator[tuple[str, float, str]]:
        """(what, figure, unit) for the table."""
        yield "raw bulk ceiling", self.ceiling, "documents/s"
        runs = {
            "indexer": self.indexer,
            "indexer with fingerprints": self.with_fingerprints,
            "two indexers with fingerprints": self.two_indexers,
        }
        for name, _, _ in PEERS:
            runs[name] = self.peers.get(_key(name))
        for name, run in runs.items():
            if run is not None:
                yield name, run.per_s, "documents/s"
                yield f"{name}, CPU", run.cpu_us, "us a document"
                yield f"{name}, memory", run.rss_mb, "MB resident"
        for name, ratio in self.ratios().items():
            yield name.replace("_", " "), ratio, ""
        if self.end_to_end:
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


def run_all(home: Path, count: int, warm_up_s: float, probes: int, log: Log, *, indexing_only: bool = False) -> Figures:
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
            _indexing(figures, settings, count, log)
            if indexing_only:
                return figures
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


def _indexing(figures: Figures, settings: Settings, count: int, log: Log) -> None:
    """The ceiling is measured before and after: the servers warm up, and the machine may have other work."""
    log("raw bulk ceiling")
    ceilings = [_ceiling(settings, count)]
    for name, processes, fingerprints in (
        ("indexer", 1, False),
        ("with_fingerprints", 1, True),
        ("two_indexers", 2, True),
    ):
        log(name.replace("_", " "))
        own = _apart(settings, name.replace("_", "-"), fingerprints=fingerprints)
        fill_topic(own, 2 * count, name)
        setattr(figures, name, measure_indexers(own, 2 * count, processes=processes))
        _delete_indices(own)
    ceilings.append(_ceiling(settings, count))
    figures.ceiling = statistics.mean(ceilings)
    log(f"raw bulk ceiling before and after: {ceilings[0]:,.0f} and {ceilings[1]:,.0f} documents/s")
    log("the peers' environment")
    python = environment.python()
    for name, program, part in PEERS:
        log(name)
        figures.peers[_key(name)] = run_peer(python, _apart(settings, "indexer"), program, max(100, int(count * part)))


def _key(name: str) -> str:
    return name.split(",")[0].split(" ")[0].replace("-", "_").replace(".", "_")


def _apart(settings: Settings, run: str, *, fingerprints: bool = False) -> Settings:
    """The same servers, with topics, groups and indices of this run's own."""
    return settings.model_copy(
        update={
            "topic_prefix": f"{run}-",
            "index_prefix": f"{settings.index_prefix}-{run}",
            "fingerprints": fingerprints,
        }
    )


def _ceiling(settings: Settings, count: int) -> float:
    """Two passes into indices with the very mapping of logs; the second, warm one counts."""
    documents = [_document(record) for _, record in events(count)]
    rates = []
    for number in (1, 2):
        with fresh_index(settings, f"raw{number}") as index:
            rates.append(documents_per_second(settings.elasticsearch, prepared_requests(index, documents), count))
    return rates[-1]


def _document(record: dict[str, object]) -> bytes:
    event = parse(orjson.dumps(record), received_ns=START_NS)
    if not isinstance(event, LogEvent):
        raise TypeError(f"the workload holds what is no log: {event}")
    return encode(event, Provenance(START_NS, "bench.0:1:0", "bench", 1, 0, "logs", 0, 0), ingested_ns=START_NS)


def _delete_indices(settings: Settings) -> None:
    connection = Connection(settings.elasticsearch, timeout_s=60.0)
    found = checked(connection.request("GET", f"/{logs_pattern(settings.index_prefix)}/_settings"), "listing indices")
    for index in orjson.loads(found.body):
        checked(connection.request("DELETE", f"/{index}"), f"deleting {index}")
    connection.close()


def _wait_for(settings: Settings, documents: int) -> None:
    deadline = time.monotonic() + ALL_INDEXED_WITHIN_S
    while indexed(settings) < documents:
        if time.monotonic() > deadline:
            raise RuntimeError(f"fewer than {documents} documents after {ALL_INDEXED_WITHIN_S:g} s")
        time.sleep(0.05)


def _end_to_end(settings: Settings, count: int) -> float:
    """Events a second from the first write to three sockets until the last document is made."""
    before = indexed(settings)
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
