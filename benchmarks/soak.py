"""`python -m benchmarks.soak`: ten million documents through one indexer, and whether its memory stays where it was."""

from __future__ import annotations

import argparse
import itertools
import shutil
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.indexers import CHUNK, indexed, indexer_process
from benchmarks.processes import cost
from benchmarks.workload import events
from infra.local.isolated import isolated_settings
from infra.local.stack import running
from streaming.events import coordinates
from streaming.events.coordinates import Coordinates
from streaming.kafka import clients, topics
from streaming.settings import Settings

RECORDS = 100_000
"""Distinct records; each round gives them log ids of its own, so that every document is new."""
AHEAD = 300_000
"""Records that Kafka holds before the indexer: enough to keep it busy, and far below retention by size."""
LOOK_EVERY = 20_000
"""Records between two looks at how far the indexer is, each of which costs it 2 to 3 ms."""
SAMPLE_EVERY_S = 2.0
RSS_LIMIT_MB = 250.0
GROWTH_LIMIT = 1.10
"""Mean of the last quarter beside that of the second one (the first one warms up)."""
_MARK = "soak-000-000000000"


@dataclass(frozen=True)
class Sample:
    """One look: seconds since the begin, documents made, megabytes resident."""

    seconds: float
    documents: int
    rss_mb: float


class Filler(threading.Thread):
    """Keeps `AHEAD` records before the indexer until `count` are written."""

    def __init__(self, settings: Settings, count: int) -> None:
        super().__init__(name="fill", daemon=True)
        self._settings, self._count = settings, count
        self.written = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        """Ends when all are written, or when stopped."""
        producer = clients.producer(self._settings.kafka, queue_buffering_max_messages=200_000)
        topic = self._settings.topic(topics.LOGS)
        templates = [(str(r["node_id"]), orjson.dumps({**r, "log_id": _MARK}), ns) for ns, r in events(RECORDS)]
        for number, (key, value, ns) in enumerate(itertools.islice(itertools.cycle(templates), self._count)):
            if number % LOOK_EVERY == 0:
                self._wait_for_room(number)
            if number % CHUNK == 0:
                if self.stopped.is_set():
                    return
                producer.poll(0)
            own = value.replace(_MARK.encode(), b"soak-%012d" % number, 1)
            place = Coordinates("soak", "0", number // CHUNK + 1, number % CHUNK, time.time_ns(), ns, "soak")
            while True:
                try:
                    producer.produce(topic, own, key, headers=[(coordinates.HEADER, coordinates.encode(place))])
                    break
                except BufferError:
                    producer.poll(0.1)
            self.written = number + 1
        if producer.flush(60):
            raise RuntimeError("Kafka did not take the records within a minute")

    def _wait_for_room(self, number: int) -> None:
        while number - indexed(self._settings) > AHEAD and not self.stopped.wait(0.5):
            pass


def soak(home: Path, count: int, console: Console) -> list[Sample]:
    """Runs it, and prints a line now and then."""
    settings = isolated_settings(home)
    samples: list[Sample] = []
    with running(settings, ("kafka", "elasticsearch"), console.log), indexer_process(settings) as process:
        filler = Filler(settings, count)
        filler.start()
        began = time.monotonic()
        try:
            while not samples or samples[-1].documents < count:
                time.sleep(SAMPLE_EVERY_S)
                if process.poll() is not None:
                    last = (settings.log_dir / "indexer-0.jsonl").read_text(encoding="utf-8").splitlines()[-1:]
                    raise RuntimeError(f"the indexer ended with {process.returncode}: {''.join(last)}")
                sample = Sample(time.monotonic() - began, indexed(settings), cost(process.pid).rss_mb)
                samples.append(sample)
                if len(samples) % 30 == 0:
                    console.log(f"{sample.documents:,} documents, {sample.rss_mb:.0f} MB, {sample.seconds:.0f} s")
        finally:
            filler.stopped.set()
            filler.join(10)
    return samples


def report(samples: list[Sample], console: Console) -> int:
    """The table by quarters of the documents; 1 if memory grew or is too much."""
    total = samples[-1].documents
    quarters: list[list[Sample]] = [[], [], [], []]
    for sample in samples:
        quarters[min(3, sample.documents * 4 // total)].append(sample)
    table = Table("quarter", "mean RSS", "most", title=f"{total:,} documents in {samples[-1].seconds:.0f} s")
    means = []
    for number, quarter in enumerate(quarters, 1):
        sizes = [sample.rss_mb for sample in quarter] or [0.0]
        means.append(sum(sizes) / len(sizes))
        table.add_row(str(number), f"{means[-1]:.0f} MB", f"{max(sizes):.0f} MB")
    console.print(table)
    most = max(sample.rss_mb for sample in samples)
    growth = means[3] / means[1] if means[1] else 1.0
    failed = most > RSS_LIMIT_MB or growth > GROWTH_LIMIT
    console.print(
        f"most {most:.0f} MB (at most {RSS_LIMIT_MB:.0f}); last quarter {growth:.2f} times the second "
        f"(at most {GROWTH_LIMIT}): {'[red]missed[/red]' if failed else 'kept'}"
    )
    return int(failed)


def main() -> int:
    """Exit code 1 if a limit is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000_000, help="how many (default 10,000,000)")
    options = parser.parse_args()
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the servers end too
    home = Path(tempfile.mkdtemp(prefix="vigil-soak-"))
    try:
        return report(soak(home, options.documents, console), console)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
