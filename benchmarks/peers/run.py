"""Runs a peer on a topic, and says what it reached."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.indexers import IndexingRun
from benchmarks.raw_bulk import fresh_index
from streaming.kafka import topics
from streaming.settings import Settings

PROGRAMS = Path(__file__).with_name("programs")

# Name, program, and the part of the workload it gets, so that each runs for about ten seconds on two cores.
PEERS: tuple[tuple[str, str, float], ...] = (
    ("helpers.streaming_bulk behind a poll loop", "streaming_bulk", 1.0),
    ("sentry-arroyo, batches and helpers.bulk", "arroyo_batches", 0.4),
    ("quixstreams with its sink", "quix_sink", 0.4),
    ("es.index for each message", "index_each", 0.005),
)
WITHIN_S = 180.0


def run_peer(python: Path, settings: Settings, program: str, count: int) -> IndexingRun:
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
    return IndexingRun(figures["per_s"], figures["cpu_us"], figures["rss_mb"])
