"""Grouping accuracy of message templates on real log files: `python -m benchmarks.grouping`.

The measure of Zhu et al., "Tools and Benchmarks for Automated Log Parsing" (ICSE-SEIP 2019): a message is right if
the messages of its group are exactly those of its true template; the accuracy is the part of messages that are right.
One configuration for all systems. That paper's Drain, with rules tuned for each system, reaches 0.88 on these eight.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from streaming.fingerprint.masking import mask
from streaming.templates.merging import merge
from tests.support.loghub import loghub_folder

PROMISED_MEAN = 0.92


@dataclass(frozen=True)
class Grouping:
    """How the messages of one system were grouped."""

    system: str
    messages: int
    fingerprints: int
    templates: int
    true_templates: int
    accuracy_of_fingerprints: float
    accuracy: float


def accuracy(groups: Sequence[str], truth: Sequence[str]) -> float:
    """Part of the messages whose group is exactly their true one; `groups[i]` is the group of message `i`."""
    sizes, true_sizes = Counter(groups), Counter(truth)
    together = Counter(zip(groups, truth, strict=True))
    right = sum(n for (group, true), n in together.items() if n == sizes[group] == true_sizes[true])
    return right / len(groups)


def measure(system: str, messages: Sequence[str], truth: Sequence[str]) -> Grouping:
    """Groups the messages of one system, with no knowledge of any other, and compares."""
    shapes = [mask(message) for message in messages]
    merged = merge(shapes)
    templates = [merged[shape] for shape in shapes]
    return Grouping(
        system,
        len(messages),
        len(set(shapes)),
        len(set(templates)),
        len(set(truth)),
        accuracy(shapes, truth),
        accuracy(templates, truth),
    )


def measure_folder(folder: Path) -> list[Grouping]:
    """Every `SYSTEM_2k.log_structured.csv` of a folder: its column Content against its column EventId."""
    found = []
    for file in sorted(folder.glob("*.log_structured.csv")):
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        system = file.name.removesuffix(".log_structured.csv").removesuffix("_2k")
        found.append(measure(system, [row["Content"] for row in rows], [row["EventId"] for row in rows]))
    return found


def mean(groupings: Sequence[Grouping]) -> float:
    """Mean accuracy, each system as heavy as the other."""
    return sum(g.accuracy for g in groupings) / len(groupings)


def table(groupings: Sequence[Grouping]) -> Table:
    """The figures, one line a system, and their mean."""
    shown = Table(title="Grouping accuracy of message templates")
    for column in ("system", "messages", "truth", "shapes", "alone", "templates", "accuracy"):
        shown.add_column(column, justify="left" if column == "system" else "right")
    for g in groupings:
        counts = (g.messages, g.true_templates, g.fingerprints)
        shown.add_row(
            g.system, *map(str, counts), f"{g.accuracy_of_fingerprints:.3f}", str(g.templates), f"{g.accuracy:.3f}"
        )
    alone = sum(g.accuracy_of_fingerprints for g in groupings) / len(groupings)
    shown.add_section()
    shown.add_row("mean", "", "", "", f"{alone:.3f}", "", f"{mean(groupings):.3f}")
    return shown


def main() -> int:
    """Prints the table; with `--check`, 1 if the mean is below what is promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grouping", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=loghub_folder(), help="default: VIGIL_LOGHUB")
    parser.add_argument("--json", action="store_true", help="one JSON array, for programs")
    parser.add_argument("--check", action="store_true", help=f"exit 1 if the mean is below {PROMISED_MEAN}")
    options = parser.parse_args()
    groupings = measure_folder(options.folder)
    if not groupings:
        sys.stderr.write(
            f"{options.folder}: no SYSTEM_2k.log_structured.csv here; name the folder, or set VIGIL_LOGHUB\n"
        )
        return 66  # EX_NOINPUT of sysexits.h
    if options.json:
        print(json.dumps([asdict(g) for g in groupings], indent=2))
    else:
        Console().print(table(groupings))
    return 1 if options.check and mean(groupings) < PROMISED_MEAN else 0


if __name__ == "__main__":
    sys.exit(main())
