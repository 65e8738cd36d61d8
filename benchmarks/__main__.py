"""`python -m benchmarks`: the figures of one run, as a table and as JSON in a file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Figures, run_all

RESULTS = Path(__file__).with_name("results")

# What `make bench-check` insists on. Ratios within one run hold on any machine.
MINIMUM_RATIO = {
    "indexer_of_ceiling": 0.9,
    "indexer_with_fingerprints_of_ceiling": 0.7,
    "indexer_against_helpers_streaming_bulk": 2.0,
    "indexer_against_sentry_arroyo": 5.0,
    "indexer_against_quixstreams": 5.0,
    "end_to_end_of_ceiling": 0.2,
}
MAXIMUM = {"indexer_cpu_us": 6.0, "indexer_rss_mb": 250.0}


def main() -> int:
    """Runs everything, prints and stores the figures; with `--check`, 1 if a ratio is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="size of the workload (default 200,000)")
    parser.add_argument("--warm-up", type=float, default=60.0, metavar="S", help="seconds before latency under load")
    parser.add_argument("--probes", type=int, default=200, help="errors whose way is timed, idle and under load")
    parser.add_argument("--indexing-only", action="store_true", help="the indexer and its peers, nothing else")
    parser.add_argument("--check", action="store_true", help="exit 1 if a ratio is missed")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="vigil-bench-"))
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the servers end too
    try:
        figures = run_all(
            home, options.events, options.warm_up, options.probes, console.log, indexing_only=options.indexing_only
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)
    _print(console, figures)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())}.json"
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    path.write_text(json.dumps({"machine": machine, **figures.as_json()}, indent=2) + "\n")
    console.print(f"written to {path}")
    return _check(console, figures) if options.check else 0


def _print(console: Console, figures: Figures) -> None:
    table = Table("what", "figure", "unit", title="Vigil, one run")
    for what, figure, unit in figures.rows():
        table.add_row(what, f"{figure:,.2f}" if figure < 100 else f"{figure:,.0f}", unit)
    console.print(table)


def _check(console: Console, figures: Figures) -> int:
    """Only what was measured is checked."""
    missed = 0
    for name, ratio in figures.ratios().items():
        if ratio < MINIMUM_RATIO.get(name, 0.0):
            console.print(f"[red]missed[/red] {name}: {ratio:.2f}, at least {MINIMUM_RATIO[name]} is promised")
            missed = 1
    for name, figure in figures.limits().items():
        if figure > MAXIMUM[name]:
            console.print(f"[red]missed[/red] {name}: {figure:.1f}, at most {MAXIMUM[name]} is promised")
            missed = 1
    return missed


if __name__ == "__main__":
    sys.exit(main())
