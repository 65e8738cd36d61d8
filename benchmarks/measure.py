"""One run: the raw ceiling, the indexer, its peers, the whole path, latency idle and under load, memory."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import SecretStr

from benchmarks import hundred_rules
from benchmarks.indexers import CHUNK, indexed
from benchmarks.indexing import CEILING, FINGERPRINTS, INDEXER, TWO, measure_indexing
from benchmarks.latency import Latency, Load, measure
from benchmarks.peers.run import ARROYO, POLL_LOOP, QUIXSTREAMS, SKETCH
from benchmarks.processes import cost
from benchmarks.receiver import Receiver
from benchmarks.rounds import Rounds
from benchmarks.workload import events
from infra.bringing_up import bring_up
from infra.local.isolated import isolated_settings
from infra.local.stack import running
from infra.local.target import LocalTarget
from streaming.forward.sender import PipelinedSender, make_chunk
from streaming.settings import Settings

Log = Callable[[str], None]

LOAD_PER_S = 5_000
ALL_INDEXED_WITHIN_S = 300.0
SERVERS = ("kafka", "elasticsearch")


@dataclass
class Figures:
    """What one run found. Rates are per second, CPU microseconds per document, memory megabytes (PSS)."""

    indexing: Rounds = field(default_factory=Rounds)
    end_to_end: float = 0.0
    idle: Latency | None = None
    loaded: Latency | None = None
    load_per_s: int = LOAD_PER_S
    loop_ms: float = 0.0
    """What a million additions in a loop of Python took at the beginning (median): the machine's speed."""
    memory_mb: dict[str, float] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """What holds on any machine; of what was measured."""
        found = {} if self.idle is None else {"log to alert, idle, p99 to p50": self.idle.p99_ms / self.idle.p50_ms}
        if not self.indexing.runs:
            return found
        speed, cost_ = self.indexing.speed_against, self.indexing.cost_against
        found |= {
            "indexer, of the ceiling": speed(INDEXER, CEILING),
            "indexer with fingerprints, of the ceiling": speed(FINGERPRINTS, CEILING),
            "two indexers against one": speed(TWO, INDEXER),
            "indexer against the poll loop": speed(INDEXER, POLL_LOOP),
            "indexer against sentry-arroyo": speed(INDEXER, ARROYO),
            "indexer against quixstreams": speed(INDEXER, QUIXSTREAMS),
            "the ceiling against sentry-arroyo": speed(CEILING, ARROYO),
            "the ceiling against quixstreams": speed(CEILING, QUIXSTREAMS),
            "CPU of the indexer, to the sketch's": cost_(INDEXER, SKETCH),
            "CPU of the indexer with fingerprints, to the sketch's": cost_(FINGERPRINTS, SKETCH),
            "CPU of the poll loop, to the indexer's": cost_(POLL_LOOP, INDEXER),
            "CPU of sentry-arroyo, to the indexer's": cost_(ARROYO, INDEXER),
            "CPU of quixstreams, to the indexer's": cost_(QUIXSTREAMS, INDEXER),
        }
        if self.end_to_end:
            found["end to end, of the ceiling"] = self.end_to_end / self.indexing.typical(CEILING).per_s
        return found

    @property
    def resident_mb(self) -> float:
        """The most that the indexer had."""
        return self.indexing.typical(INDEXER).rss_mb

    def rows(self) -> Iterator[tuple[str, float, str]]:
        """(what, figure, unit) for the table."""
        for name in self.indexing.runs:
            run, best = self.indexing.typical(name), self.indexing.best(name)
            yield name, run.per_s, "documents/s"
            yield f"{name}, the best round", best.per_s, "documents/s"
            if run.cpu_us:
                yield f"{name}, CPU", run.cpu_us, "us a document"
                yield f"{name}, CPU in the best round", best.cpu_us, "us a document"
                yield f"{name}, memory", run.rss_mb, "MB resident"
        for name, ratio in self.ratios().items():
            yield name, ratio, ""
        if self.end_to_end:
            yield "end to end (three sockets to searchable)", self.end_to_end, "events/s"
        for name, latency in (("idle", self.idle), (f"at {self.load_per_s:,} logs/s", self.loaded)):
            if latency:
                yield f"log to alert, {name}, p50", latency.p50_ms, "ms"
                yield f"log to alert, {name}, p99", latency.p99_ms, "ms"
                yield f"log to alert, {name}, maximum", latency.max_ms, "ms"
        yield "a million additions in Python", self.loop_ms, "ms"
        for name, megabytes in self.memory_mb.items():
            yield f"memory of {name}", megabytes, "MB PSS"

    def as_json(self) -> dict[str, object]:
        """For the file."""
        return {**asdict(self), "ratios": self.ratios()}


def run_all(
    home: Path,
    count: int,
    warm_up_s: float,
    probes: int,
    log: Log,
    *,
    load_per_s: int = LOAD_PER_S,
    indexing_only: bool = False,
    alerting_only: bool = False,
) -> Figures:
    """Measures on a platform of its own in `home`, with a hundred rules; everything it started has ended when it
    returns."""
    receiver = Receiver()
    settings = isolated_settings(home).model_copy(
        update={
            "slack_bot_token": SecretStr("xoxb-benchmark"),
            "slack_channel": "C0BENCH",
            "slack_api_url": receiver.url,
            # The receiver takes any rate; what is measured is Vigil's way, not the channel's pace.
            "slack_messages_per_s": 1_000.0,
            "rules_path": hundred_rules.write(home / "rules"),
        }
    )
    figures = Figures(load_per_s=load_per_s, loop_ms=_loop_ms())
    try:
        with running(settings, SERVERS, log) as manager:
            if not alerting_only:
                figures.indexing = measure_indexing(settings, count, log)
            if indexing_only:
                return figures
            bring_up(LocalTarget(settings), log, [s.name for s in manager.all() if s.name != "loadgen"])
            if not alerting_only:
                log("end to end")
                figures.end_to_end = _end_to_end(settings, count)
            _latencies(figures, settings, receiver, warm_up_s, probes, log)
            for status in manager.all():
                if status.pid:
                    figures.memory_mb[status.name] = round(cost(status.pid).pss_mb, 1)
    finally:
        receiver.close()
    return figures


def _loop_ms() -> float:
    def once() -> float:
        began, total = time.perf_counter(), 0
        for number in range(1_000_000):
            total += number
        return (time.perf_counter() - began) * 1000

    return round(statistics.median(once() for _ in range(9)), 1)


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
    log(f"latency at {figures.load_per_s:,} logs/s, after {warm_up_s:g} s")
    load = Load(ports, figures.load_per_s, "load")
    try:
        time.sleep(warm_up_s)
        figures.loaded = measure(ports, receiver, probes, 0.1, "loaded")
    finally:
        load.stop()


def _accumulator_ports(settings: Settings) -> list[int]:
    return [settings.accumulator1_port, settings.accumulator2_port, settings.accumulator3_port]
