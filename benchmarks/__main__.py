"""`python -m benchmarks`: the figures of one run, as a table and as JSON in a file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Figures, run_all

RESULTS = Path(__file__).with_name("results")

# What `make bench-check` insists on: ratios within one run, which hold on any machine, not absolute figures.
MINIMUM_RATIO = {"indexer_of_ceiling": 0.5, "end_to_end_of_ceiling": 0.2}


def main() -> int:
    """Runs everything, prints and stores the figures; with `--check`, 1 if a ratio is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="size of the workload (default 200,000)")
    parser.add_argument("--warm-up", type=float, default=60.0, metavar="S", help="seconds before latency under load")
    parser.add_argument("--probes", type=int, default=200, help="errors whose way is timed, idle and under load")
    parser.add_argument("--check", action="store_true", help="exit 1 if a ratio is missed")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="vigil-bench-"))
    console = Console()
    try:
        figures = run_all(home, options.events, options.warm_up, options.probes, console.log)
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
    missed = {name: r for name, least in MINIMUM_RATIO.items() if (r := figures.ratios()[name]) < least}
    for name, ratio in missed.items():
        console.print(f"[red]missed[/red] {name}: {ratio:.2f}, at least {MINIMUM_RATIO[name]} is promised")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
