"""How long an error report takes, and how much memory: `python -m benchmarks.report --documents 5000000 --check`.

The day of the report has so many documents of the fixed workload, the day before and the same weekday a week before a
tenth of them each, all in a real Elasticsearch of its own; a real Kafka holds the map of templates, a history of
incidents and changes of nodes. Then `vigil reports build` runs as a process of its own, and what it took is what
counts: counting, comparing, HTML, PDF, picture and storing, on cold caches.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue

import msgspec
from rich.console import Console

from benchmarks.workload import events
from infra.local.isolated import as_environment, isolated_settings
from infra.local.stack import running
from streaming.alerting.messages import Happening, Severity
from streaming.elastic import bulk
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked, ensure_templates
from streaming.elastic.mapping import logs_pattern
from streaming.events.ecs import Provenance, encode
from streaming.events.model import LogEvent
from streaming.events.parse import parse
from streaming.heartbeat.states import State
from streaming.kafka import clients, topics
from streaming.kafka.admin import ensure_topics
from streaming.reports.incidents import HistoryEvent, HistoryIncident
from streaming.reports.nodes import Change, Known
from streaming.reports.period import HOUR_MS, Kind, Period, back, last_closed
from streaming.settings import Settings
from streaming.templates.messages import Placed

SERVERS = ("kafka", "elasticsearch")
RESULTS = Path(__file__).with_name("results")

MOST_S, MOST_MB = 60.0, 300.0
"""For five million documents."""
AIMED_AT = 5_000_000
BASE_S = 15.0
"""Of the 60 s, what a report of few documents may take: starting Python, reading Kafka, rendering."""

SHAPES = 2_000
INCIDENTS = 1_000
NODES = 50
BATCH = 5_000
WAITING = 4
"""Requests that are ready: 4 * 3 MB."""


@dataclass(frozen=True)
class Figures:
    """What one run found."""

    documents: int
    seconds: float
    cpu_s: float
    resident_mb: float
    html_kb: float
    pdf_kb: float
    errors: int
    loaded_s: float


def main() -> int:
    """Measures, prints and stores the figures; with `--check`, 1 if one is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--documents", type=int, default=500_000, metavar="N", help="of the day (default 500,000)")
    parser.add_argument("--check", action="store_true", help="exit 1 if it takes longer or more than is promised")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy the report's files there")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="vigil-bench-"))
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the servers end too
    try:
        figures = measure(home, options.documents, console, options.keep)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    console.print(
        f"a report of {figures.documents:,} documents: {figures.seconds:.1f} s ({figures.cpu_s:.1f} s of CPU), "
        f"{figures.resident_mb:.0f} MB resident at most; HTML {figures.html_kb:.0f} kB, PDF {figures.pdf_kb:.0f} kB"
    )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"report-{time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())}.json"
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    path.write_text(json.dumps({"machine": machine, **asdict(figures)}, indent=2) + "\n")
    console.print(f"written to {path}")
    return _check(figures, console) if options.check else 0


def measure(home: Path, documents: int, console: Console, keep: Path | None = None) -> Figures:
    """Fills servers of its own in `home` and builds one report."""
    settings = isolated_settings(home)
    period = last_closed(Kind.DAILY, settings.report_zone, settings.report_late_h, time.time_ns() // 1_000_000)
    with running(settings, SERVERS, console.log):
        ensure_topics(settings)
        began = time.perf_counter()
        for day, share, what in (
            (period, 1, "the day"),
            (back(period, 1), 10, "before"),
            (back(period, 7), 10, "week"),
        ):
            console.log(f"{documents // share:,} documents of {what}")
            _fill(settings, day, documents // share, what)
        _fill_kafka(settings, period)
        loaded_s = time.perf_counter() - began
        console.log("building the report")
        return _build(settings, period, documents, loaded_s, keep)


def _build(settings: Settings, period: Period, documents: int, loaded_s: float, keep: Path | None) -> Figures:
    command = [sys.executable, "-m", "infra.cli", "reports", "build", "--day", period.first_day, "--json"]
    environment = {**os.environ, **as_environment(settings)}
    output = settings.home / "report.out"
    began = time.perf_counter()
    with output.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"vigil reports build ended with {process.returncode}")
    folder = settings.home / "reports" / period.name
    if keep is not None:
        shutil.copytree(folder, keep, dirs_exist_ok=True)
    told = json.loads(output.read_bytes())["total"]["now"]
    if told["documents"] != documents:
        raise RuntimeError(f"the report counts {told['documents']} documents, not {documents}")
    return Figures(
        documents=documents,
        seconds=seconds,
        cpu_s=used.ru_utime + used.ru_stime,
        resident_mb=used.ru_maxrss / 1024,
        html_kb=(folder / "report.html").stat().st_size / 1000,
        pdf_kb=(folder / "report.pdf").stat().st_size / 1000,
        errors=told["errors"],
        loaded_s=loaded_s,
    )


def _check(figures: Figures, console: Console) -> int:
    most_s = BASE_S + (MOST_S - BASE_S) * figures.documents / AIMED_AT
    missed = []
    if figures.seconds > most_s:
        missed.append(f"{figures.seconds:.1f} s, at most {most_s:.1f} are promised for so many documents")
    if figures.resident_mb > MOST_MB:
        missed.append(f"{figures.resident_mb:.0f} MB, at most {MOST_MB:.0f} are promised")
    for one in missed:
        console.print(f"[red]missed[/red] {one}")
    return int(bool(missed))


# ------------------------------------------------------------------------------------------ documents


def _fill(settings: Settings, period: Period, documents: int, run: str) -> None:
    """The workload over the whole of a day, in requests that two threads send."""
    waiting: Queue[bytes | None] = Queue(WAITING)
    failures: list[str] = []
    threads = [threading.Thread(target=_send, args=(settings, waiting, failures)) for _ in range(2)]
    with_templates = Connection(settings.elastic, timeout_s=60.0)
    ensure_templates(settings, with_templates)
    index = f"{settings.index_prefix}-logs-default-{period.first_day.replace('-', '.')}"
    checked(with_templates.request("PUT", f"/{index}"), f"making {index}")
    for thread in threads:
        thread.start()
    try:
        for body in _requests(index, period, documents, run):
            if failures:
                break
            waiting.put(body)
    finally:
        for _ in threads:
            waiting.put(None)
        for thread in threads:
            thread.join()
    if failures:
        raise RuntimeError(failures[0])
    checked(with_templates.request("POST", f"/{logs_pattern(settings.index_prefix)}/_refresh"), "refreshing")
    with_templates.close()


def _send(settings: Settings, waiting: Queue[bytes | None], failures: list[str]) -> None:
    connection = Connection(settings.elastic, timeout_s=120.0)
    while (body := waiting.get()) is not None:
        if failures:
            continue  # so that whoever fills the queue is not stuck
        answer = connection.request("POST", "/_bulk?filter_path=errors", body, "application/x-ndjson")
        if not answer.body.startswith(b'{"errors":false'):
            failures.append(answer.body[:300].decode("utf-8", "replace"))
    connection.close()


def _requests(index: str, period: Period, documents: int, run: str) -> Iterator[bytes]:
    line, items = bulk.create_line(index), _documents(period, documents, run)
    for batch in iter(lambda: list(itertools.islice(items, BATCH)), []):
        yield b"".join(bulk.item(line, name, document) for name, document in batch)


def _documents(period: Period, documents: int, run: str) -> Iterator[tuple[bytes, bytes]]:
    """(id, document): at even steps over the day, received at once, each of one of `SHAPES` shapes."""
    rnd = random.Random(11)
    begin_ns = period.start_ms * 1_000_000
    step_ns = (period.end_ms - period.start_ms) * 1_000_000 // max(documents, 1)
    for number, (_, record) in enumerate(events(documents, run)):
        event = parse(msgspec.json.encode(record), received_ns=begin_ns)
        assert isinstance(event, LogEvent)
        event.timestamp_ns = at_ns = begin_ns + number * step_ns
        # Few shapes make most of the logs, as in life.
        shape = _shape(min(int(rnd.expovariate(1 / 60)), SHAPES - 1))
        provenance = Provenance(at_ns + 40_000_000, f"a.i-{number}-0", "a", number, 0, "logs", 0, number)
        yield f"{run}-{number}".encode(), encode(event, provenance, ingested_ns=at_ns + 300_000_000, fingerprint=shape)


def _shape(number: int) -> str:
    return f"{number:016x}"


# ------------------------------------------------------------------------------------------ what lies in Kafka


def _fill_kafka(settings: Settings, period: Period) -> None:
    out = clients.producer(settings.kafka)
    for topic, key, value in (*_templates(period), *_incidents(period), *_nodes(period)):
        out.produce(settings.topic(topic), msgspec.json.encode(value), key.encode())
    if out.flush(60):
        raise RuntimeError("Kafka did not take all records within 60 s")


def _templates(period: Period) -> Iterator[tuple[str, str, object]]:
    for number in range(SHAPES):
        text = f"step {number} of the work on <*> took <*> ms, which is more than the <*> ms that were agreed upon"
        known = Placed(_shape(number), _shape(number), text, period.start_ms if number % 50 == 49 else 0, 1)
        yield topics.TEMPLATES, _shape(number), known


def _incidents(period: Period) -> Iterator[tuple[str, str, object]]:
    for number in range(INCIDENTS):
        at_ms = period.start_ms + number * (period.end_ms - period.start_ms) // INCIDENTS
        incident = HistoryIncident(f"i{number}", f"rule-{number % 40}", Severity.ERROR, f"title {number}", number)
        for happening, after_ms in (
            (Happening.OPENED, 0),
            (Happening.ACKNOWLEDGED, 90_000),
            (Happening.RESOLVED, 900_000),
        ):
            yield topics.INCIDENT_EVENTS, incident.incident_id, HistoryEvent(happening, at_ms + after_ms, incident)


def _nodes(period: Period) -> Iterator[tuple[str, str, object]]:
    for number in range(NODES):
        name = f"node-{number:03d}"
        yield topics.NODE_REGISTRY, name, Known(name, f"service-{number % 5}", State.UP, 0, 0)
        for at_ms in range(period.start_ms + number * 1_000, period.end_ms, 4 * HOUR_MS):
            yield topics.NODE_STATUS, name, Change(name, State.DOWN, at_ms)
            yield topics.NODE_STATUS, name, Change(name, State.UP, at_ms + 60_000)


if __name__ == "__main__":
    sys.exit(main())
