"""`vigil backup`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer


def backup(
    file: Annotated[Path | None, typer.Argument(help="default: vigil-backup-TIME.zst here", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the summary as one JSON object")] = False,
) -> None:
    """Write what lives only in Kafka to a file: incidents, silences, rules, nodes, templates, dead letters and more.

    The platform may run meanwhile. `vigil restore FILE` puts it back into a Kafka that has lost its disk.

    Example: vigil backup /mnt/backups/vigil-$(date +%F).zst
    """
    from datetime import UTC, datetime

    from streaming.backup.dump import back_up
    from streaming.settings import load_settings

    path = file or Path(f"vigil-backup-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zst")
    summary = back_up(load_settings(), path, told)
    show(summary.file, summary.records, as_json, "written to")


def told(topic: str, count: int) -> None:
    """Progress: one line a topic, on a terminal."""
    if sys.stderr.isatty():
        print(f"  {count:>9,} of {topic}", file=sys.stderr)


def show(file: str, records: Mapping[str, int], as_json: bool, done: str) -> None:
    """The summary of a backup or a restore."""
    if as_json:
        print(json.dumps({"file": file, "records": records}))
        return
    held = ", ".join(f"{count:,} {topic}" for topic, count in records.items() if count)
    print(f"{sum(records.values()):,} records {done} {file}" + (f" ({held})" if held else ""))
