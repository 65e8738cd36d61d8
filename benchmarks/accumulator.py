"""The accumulator alone: `python -m benchmarks.accumulator`, as a table and, with `--json`, for a program.

A real Kafka, an accumulator of fluent2.conf as a process, and senders in this process. Beside it, in the same run, a
bare sketch of the same work (unpack, encode, spool, produce in one loop), which says what the machine has to give.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import msgpack
import orjson
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks.processes import cost
from benchmarks.rounds import Rounds, Run
from benchmarks.workload import events
from infra.local.isolated import as_environment, isolated_settings
from infra.local.stack import running
from streaming.events import coordinates
from streaming.forward.sender import ForwardSender, PipelinedSender, chunk_of, pack_entry
from streaming.kafka import clients, topics
from streaming.kafka.access import KafkaAccess
from streaming.kafka.admin import ensure_topics
from streaming.settings import CHECKOUT, Settings

Log = Callable[[str], None]

CHUNK = 1_000
CONNECTIONS = 4
WINDOW = 8
"""Chunks that a connection has under way, as Fluentd's out_forward with eight flush threads."""
SKETCH_SYNC_EVERY = 8
WITHIN_S = 120.0
WARM_UP = 20_000
ROUNDS = 5
QUIET_PER_S = 40
FLOOD_S = 4.0
"""Without fair shares much of what is sent in this time waits in the spool, and is waited for."""

SKETCH = "bare sketch"
ACCUMULATOR = "accumulator"
UNFAIR = "without fair shares"
REDACTING = "with five redaction rules"

# What `--check` insists on: ratios within one run. The sketch sends no headers and hears of no delivery, which alone is
# two of its six microseconds, and nobody sends to it, which takes the other core; so it is never reached.
LEAST = {
    "speed of the sketch": 0.45,
    "CPU of the sketch, to ours": 0.45,
    "speed with five redaction rules, of the sketch": 40_000 / 161_000,
    "speed with fair shares, of that without": 0.8,
}
MOST_RESIDENT_MB = 150.0


@dataclass
class Delays:
    """Of a quiet sender's events beside a flood, from receive to Kafka, milliseconds; and the flood's events a
    second."""

    p50_ms: float
    p99_ms: float
    flood_per_s: float


@dataclass
class Figures:
    """All of one run: events a second acknowledged, synced and in Kafka, CPU of the process, and the most it ever had
    resident; and what a flood does to others."""

    rounds: Rounds
    beside_flood: Delays
    beside_flood_unfair: Delays

    def ratios(self) -> dict[str, float]:
        """What holds on any machine, by the names of `LEAST`."""
        return {
            "speed of the sketch": self.rounds.speed_against(ACCUMULATOR, SKETCH),
            "CPU of the sketch, to ours": 1 / self.rounds.cost_against(ACCUMULATOR, SKETCH),
            "speed with five redaction rules, of the sketch": self.rounds.speed_against(REDACTING, SKETCH),
            "speed with fair shares, of that without": self.rounds.speed_against(ACCUMULATOR, UNFAIR),
        }

    def missed(self) -> list[str]:
        """What `--check` fails on."""
        found = [
            f"{name}: {ratio:.2f}, at least {LEAST[name]:.2f}"
            for name, ratio in self.ratios().items()
            if ratio < LEAST[name]
        ]
        resident = self.rounds.typical(ACCUMULATOR).rss_mb
        if resident > MOST_RESIDENT_MB:
            found.append(f"resident: {resident:.0f} MB, at most {MOST_RESIDENT_MB:.0f}")
        return found

    def rows(self) -> Iterator[tuple[str, float, str]]:
        """(what, figure, unit) for the table."""
        for name in self.rounds.runs:
            one, best = self.rounds.typical(name), self.rounds.best(name)
            yield f"{name}: acknowledged, synced, in Kafka", one.per_s, "events/s"
            yield f"{name}: the best round", best.per_s, "events/s"
            yield f"{name}: CPU", one.cpu_us, "us an event"
            yield f"{name}: CPU in the best round", best.cpu_us, "us an event"
            if one.rss_mb:
                yield f"{name}: most resident", one.rss_mb, "MB"
        for name, delays in (("fair", self.beside_flood), ("unfair", self.beside_flood_unfair)):
            yield f"quiet tag beside a flood, {name}: p50", delays.p50_ms, "ms"
            yield f"quiet tag beside a flood, {name}: p99", delays.p99_ms, "ms"
            yield f"the flood, {name}", delays.flood_per_s, "events/s"
        for name, ratio in self.ratios().items():
            yield name, ratio, ""


# ------------------------------------------------------------------------------------------------- one accumulator


class Accumulator:
    """fluent2.conf (or another) as a process, healthy; it ends with the block."""

    def __init__(self, settings: Settings, configuration: Path, **more: str) -> None:
        self.settings = settings
        self._log = settings.home / "accumulator.jsonl"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VIGIL_")}
        environment |= as_environment(settings) | more
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streaming.accumulator", str(configuration), "--name", "accumulator2"],
                env=environment,
                cwd=CHECKOUT,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Accumulator:
        self.wait_for(lambda: self._get("/health") is not None, "healthy")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def port(self) -> int:
        """Of the Forward protocol."""
        return self.settings.accumulator2_port

    @property
    def cpu_s(self) -> float:
        """Of the process, so far."""
        return cost(self._process.pid).cpu_s

    @property
    def resident_mb(self) -> float:
        """The most it ever had."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
        return 0.0

    def produced(self) -> int:
        """Events that Kafka has confirmed."""
        total = 0.0
        for line in (self._get("/metrics") or "").splitlines():
            if line.startswith("vigil_accumulator_produced_total{"):
                total += float(line.rsplit(" ", 1)[1])
        return int(total)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Looks often."""
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the accumulator is not {what}: {self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def _get(self, path: str) -> str | None:
        url = f"http://{self.settings.bind_host}:{self.settings.health_port('accumulator2')}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return None


def _send(port: int, tag: str, packed: Sequence[Sequence[bytes]]) -> None:
    """All chunks over a few connections; returns when all are acknowledged."""

    def over_one(mine: Sequence[Sequence[bytes]]) -> None:
        sender = PipelinedSender("127.0.0.1", port, window=WINDOW)
        for entries in mine:
            sender.send_nowait(chunk_of(tag, entries))
        sender.drain()
        sender.close()

    threads = [threading.Thread(target=over_one, args=(packed[n::CONNECTIONS],)) for n in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _pass(settings: Settings, packed: Sequence[Sequence[bytes]], configuration: Path, **more: str) -> Run:
    count = sum(map(len, packed))
    with Accumulator(settings, configuration, **more) as accumulator:
        _send(accumulator.port, "bench", packed[: WARM_UP // CHUNK])
        accumulator.wait_for(lambda: accumulator.produced() >= WARM_UP, "done with the first events")
        before = accumulator.produced()
        began, cpu = time.perf_counter(), accumulator.cpu_s
        _send(accumulator.port, "bench", packed)
        accumulator.wait_for(lambda: accumulator.produced() >= before + count, "done")
        seconds = time.perf_counter() - began
        return Run(count / seconds, (accumulator.cpu_s - cpu) * 1e6 / count, accumulator.resident_mb)


def _beside_flood(settings: Settings, packed: Sequence[Sequence[bytes]], configuration: Path, **more: str) -> Delays:
    """One tag floods at full speed while another sends 40 events a second."""
    key = f"quiet-{time.time_ns()}"
    stop = threading.Event()
    sent = [0] * CONNECTIONS

    def flood(number: int, port: int) -> None:
        sender = PipelinedSender("127.0.0.1", port, window=WINDOW)
        for entries in cycle(packed[number::CONNECTIONS]):
            if stop.is_set():
                break
            sender.send_nowait(chunk_of("loud", entries))
            sent[number] += len(entries)
        sender.drain()
        sender.close()

    with Accumulator(settings, configuration, **more) as accumulator:
        threads = [threading.Thread(target=flood, args=(n, accumulator.port)) for n in range(CONNECTIONS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        quiet, count = ForwardSender("127.0.0.1", accumulator.port, timeout_s=60), 0
        while time.perf_counter() - began < FLOOD_S:
            quiet.send("quiet", [(time.time_ns(), {"node_id": key, "message_type": "LOG", "n": count})])
            count += 1
            time.sleep(1 / QUIET_PER_S)
        stop.set()
        for thread in threads:
            thread.join()
        flooded = sum(sent)
        accumulator.wait_for(lambda: accumulator.produced() >= flooded + count, "done")
        seconds = time.perf_counter() - began
        quiet.close()
    delays = sorted(_delays(settings, key.encode(), count))
    return Delays(delays[len(delays) // 2], delays[int(len(delays) * 0.99)], flooded / seconds)


def _delays(settings: Settings, key: bytes, count: int) -> Iterator[float]:
    """Milliseconds from an event's receive time to Kafka's append time, of the records with this key."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": "none", "log_level": 0})
    name = settings.topic(topics.LOGS)
    try:
        parts = consumer.list_topics(name, timeout=10).topics[name].partitions
        consumer.assign([TopicPartition(name, p, 0) for p in parts])
        deadline = time.monotonic() + WITHIN_S
        while count and time.monotonic() < deadline:
            for message in consumer.consume(10_000, 0.5):
                if message.key() == key:
                    header = dict(message.headers() or [])[coordinates.HEADER]
                    assert isinstance(header, bytes)
                    yield message.timestamp()[1] - coordinates.decode(header).received_ns / 1e6
                    count -= 1
    finally:
        consumer.close()


# ------------------------------------------------------------------------------------------------------ the sketch


def _sketch(settings: Settings, packed: Sequence[Sequence[bytes]]) -> Run:
    """In a process of its own, as the accumulator is."""
    source = settings.home / "sketch.msgpack"
    source.write_bytes(msgpack.packb([b"".join(entries) for entries in packed]))
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.accumulator",
            "--sketch",
            str(source),
            settings.bootstrap,
            settings.topic(topics.LOGS),
        ],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    return Run(**json.loads(answer.stdout))


def sketch(source: Path, bootstrap: str, topic: str) -> Run:
    """Unpack, encode, spool raw (fdatasync every 8 chunks of 1,000), produce; then all confirmed. No acknowledgement,
    no checks, no routes, no coordinates, no resends."""
    bodies: list[bytes] = msgpack.unpackb(source.read_bytes())
    producer = clients.producer(KafkaAccess(bootstrap), linger_ms=20, queue_buffering_max_messages=500_000)
    producer.list_topics(topic, timeout=10)
    count = 0
    began, cpu = time.perf_counter(), time.process_time()
    with source.with_suffix(".spool").open("wb", buffering=0) as file:
        for number, body in enumerate(bodies, 1):
            file.write(body)
            if number % SKETCH_SYNC_EVERY == 0:
                os.fdatasync(file.fileno())
            unpacker = msgpack.Unpacker(max_buffer_size=0, ext_hook=lambda _code, data: data)
            unpacker.feed(body)
            batch = [{"value": orjson.dumps(record), "key": record["node_id"]} for _, record in unpacker]
            producer.produce_batch(topic, batch)
            count += len(batch)
            producer.poll(0)
        os.fdatasync(file.fileno())
    if producer.flush(60):
        raise RuntimeError("Kafka did not take the sketch's events within a minute")
    seconds = time.perf_counter() - began
    return Run(count / seconds, (time.process_time() - cpu) * 1e6 / count)


# --------------------------------------------------------------------------------------------------------- one run


def measure(settings: Settings, count: int, log: Log) -> Figures:
    """All passes against the Kafka of these settings, whose topics exist. A minute for 200,000 events."""
    fluent = CHECKOUT / "fluentd"
    plain = fluent / "fluent2.conf"
    redacting = settings.home / "redacting.conf"
    includes = "".join(f"@include {fluent}/common/{name}.conf\n" for name in ("redaction", "routes"))
    redacting.write_text(plain.read_text().replace("@include common/routes.conf", includes))
    source = (pack_entry(time_ns, record) for time_ns, record in events(count))
    packed = list(iter(lambda: list(islice(source, CHUNK)), []))
    off = {"VIGIL_ACCUMULATOR_LATENCY_TARGET_S": "0"}
    rounds = Rounds()
    for number in range(1, ROUNDS + 1):
        log(f"round {number} of {ROUNDS}: bare sketch, accumulator, five redaction rules, no fair shares")
        rounds.add(SKETCH, _sketch(settings, packed))
        rounds.add(ACCUMULATOR, _pass(settings, packed, plain))
        rounds.add(REDACTING, _pass(settings, packed[: max(WARM_UP // CHUNK, len(packed) // 2)], redacting))
        rounds.add(UNFAIR, _pass(settings, packed, plain, **off))
    log("beside a flood")
    beside = _beside_flood(settings, packed, plain)
    beside_unfair = _beside_flood(settings, packed, plain, **off)
    return Figures(rounds, beside, beside_unfair)


@contextlib.contextmanager
def _prepared(bootstrap: str, log: Log) -> Iterator[Settings]:
    """Settings in a home of their own with topics in a Kafka: that at `bootstrap`, or (empty) one of its own."""
    home = Path(tempfile.mkdtemp(prefix="vigil-bench-"))
    prefix = f"bench-{os.getpid()}-{time.time_ns():x}-"
    try:
        if bootstrap:
            settings = isolated_settings(home, topic_prefix=prefix, kafka_bootstrap=bootstrap)
            ensure_topics(settings)
            yield settings
            _delete_topics(settings)
        else:
            settings = isolated_settings(home)
            with running(settings, ("kafka",), log):
                ensure_topics(settings)
                yield settings
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _delete_topics(settings: Settings) -> None:
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": settings.bootstrap, "log_level": 0})
    for deleted in admin.delete_topics([settings.topic(t.name) for t in topics.CATALOGUE]).values():
        deleted.result(30)


def main() -> int:
    """Prints the figures; with `--check`, 1 if a ratio is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accumulator",
        description=__doc__,
        epilog="example: python -m benchmarks.accumulator --events 400000 --check",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=200_000, help="size of the workload (default 200,000)")
    parser.add_argument("--bootstrap", default="", help="a Kafka to use; without it one is started")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 if a ratio is missed")
    parser.add_argument("--sketch", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sketch:
        print(json.dumps(asdict(sketch(Path(options.sketch[0]), *options.sketch[1:]))))
        return 0
    console = Console(stderr=True)
    with _prepared(options.bootstrap, console.log) as settings:
        figures = measure(settings, options.events, console.log)
    if options.json:
        print(json.dumps({**asdict(figures), "ratios": figures.ratios()}, indent=2))
    else:
        table = Table("what", "figure", "unit", title="The accumulator, one run")
        for what, figure, unit in figures.rows():
            table.add_row(what, f"{figure:,.2f}" if figure < 100 else f"{figure:,.0f}", unit)
        Console().print(table)
    missed = figures.missed() if options.check else []
    for one in missed:
        console.print(f"[red]missed[/red] {one}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
