"""`vigil reindex`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer


def reindex(
    begin: Annotated[
        str,
        typer.Option("--from", help="earliest, a time (2h, 2026-11-25T10:00), an offset, or PARTITION:OFFSET,..."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="the report as one JSON object")] = False,
) -> None:
    """Make log indices anew from Kafka: after a change of the mapping, a fixed parser, or a lost index.

    Every day's index that holds records from then on is made again, with what only the old one has copied into it,
    and takes the old one's name in one step. Logs and searches go on meanwhile.

    Example: vigil reindex --from 6h
    """
    from streaming.cli.terminal import progress_line
    from streaming.reindex.begin import parse_begin
    from streaming.reindex.run import reindex as run
    from streaming.settings import load_settings

    with progress_line(shown=not as_json and sys.stderr.isatty(), say=_said) as progress:
        report = run(load_settings(), parse_begin(begin, int(time.time() * 1000)), progress)
    if as_json:
        print(json.dumps(asdict(report)))
        return
    print(f"{report.read:,} records read, {report.unreadable:,} unreadable, {report.expired:,} expired")
    for index in report.indices:
        print(f"{index.name}: now {index.index}, {index.from_kafka:,} documents from Kafka, {index.copied:,} copied")
    if not report.indices:
        print("no index was made anew: there are no logs from then on")


def _said(what: str, done: int, of: int) -> str:
    return f"{done:,}{f' of {of:,}' if of else ''} {what}"
