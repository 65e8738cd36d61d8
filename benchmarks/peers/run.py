"""Runs a peer on a topic, and says what it reached."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.raw_bulk import fresh_index
from benchmarks.rounds import Run
from streaming.kafka import topics
from streaming.settings import Settings

PROGRAMS = Path(__file__).with_name("programs")

SKETCH = "bare sketch"
POLL_LOOP = "helpers.streaming_bulk behind a poll loop"
ARROYO = "sentry-arroyo, batches and helpers.bulk"
QUIXSTREAMS = "quixstreams with its sink"
EACH = "es.index for each message"

# Name, program, and the part of the workload it gets, so that each runs for some five seconds on two cores.
PEERS: tuple[tuple[str, str, float], ...] = (
    (SKETCH, "sketch", 1.0),
    (POLL_LOOP, "streaming_bulk", 0.25),
    (ARROYO, "arroyo_batches", 0.25),
    (QUIXSTREAMS, "quix_sink", 0.2),
    (EACH, "index_each", 0.0025),
)
WITHIN_S = 180.0


def run_peer(python: Path, settings: Settings, program: str, count: int) -> Run:
    """Indexes `count` records of the topic of logs, which must hold as many, into an index of its own.

    Raises:
        RuntimeError: it failed; with its last words.
    """
    with fresh_index(settings, f"peer-{program.replace('_', '-')}") as index:
        done = subprocess.run(
            [
                str(python),
                str(PROGRAMS / f"{program}.py"),
                *("--bootstrap", settings.bootstrap, "--topic", settings.topic(topics.LOGS)),
                *("--url", settings.elasticsearch, "--index", index, "--count", str(count)),
            ],
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr[-1000:]}")
    figures = json.loads(done.stdout.splitlines()[-1])
    return Run(figures["per_s"], figures["cpu_us"], figures["rss_mb"])
