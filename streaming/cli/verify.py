"""`vigil verify`."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from streaming.verify.report import Report

SHOWN = 100
"""Names on a terminal; `--json` has all."""


def verify(
    since: Annotated[str, typer.Option(help="only what came since: 30m, 1h, 2d ago, or a date")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="leave out what an earlier run has proven")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the whole report as one JSON object")] = False,
) -> None:
    """Prove that nothing was lost: received = spooled = in Kafka = in Elasticsearch or accounted for.

    Names every event and record that is missing. Ends with 0 where all is proven, 1 where anything is lost, 2 where
    it could not tell. Nothing has to be stopped: what is under way is shown as backlog and lag.

    Example: vigil verify --since 1h
    """
    from streaming.cli.terminal import progress_line
    from streaming.errors import VigilError
    from streaming.settings import load_settings
    from streaming.verify import Verdict
    from streaming.verify import verify as run

    try:
        settings = load_settings()
        since_ms = _since_ms(since) if since else None
        with progress_line(shown=not as_json and sys.stderr.isatty(), say=_said) as progress:
            report = run(settings, since_ms, resume=resume, progress=progress)
    except VigilError as error:
        print(f"vigil: cannot tell: {error}", file=sys.stderr)
        raise typer.Exit(Verdict.CANNOT_TELL) from error
    if as_json:
        print(json.dumps(report.as_json()))
    else:
        show(report)
    raise typer.Exit(report.verdict)


def _since_ms(text: str) -> int:
    from streaming.elastic.query import parse_time

    return parse_time(text, time.time_ns() // 1_000_000)


def show(report: Report) -> None:
    """Tables, then what is missing, then the verdict, on standard output."""
    from rich.console import Console

    from streaming.cli.terminal import WIDE
    from streaming.verify import Verdict

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    _show_accounts(console, report)
    _show_partitions(console, report)
    for note in report.notes:
        console.print(f"note: {note}", markup=False)
    for why in report.unsure:
        console.print(f"cannot tell: {why}", markup=False)
    _show_missing(console, report)
    rate = report.records_read / report.seconds if report.seconds else 0
    verdict = {
        Verdict.PROVEN: f"Nothing is lost{_under_way(report)}.",
        Verdict.LOST: f"LOST: {report.lost_events:,} events known by number; every name is above or in --json.",
        Verdict.CANNOT_TELL: "Nothing known to be lost; part of it could not be told.",
    }[report.verdict]
    console.print(f"{verdict} {report.records_read:,} records read in {report.seconds:.1f} s ({rate:,.0f}/s).")


def _under_way(report: Report) -> str:
    chunks, records = sum(a.backlog_chunks for a in report.accounts), sum(p.lag for p in report.partitions)
    waiting = [f"{chunks:,} chunks in spools"] if chunks else []
    waiting += [f"{records:,} records not yet indexed"] if records else []
    return f"; on their way: {' and '.join(waiting)}" if waiting else ""


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0)
    return table


def _show_accounts(console: Console, report: Report) -> None:
    table = _table("Accumulators", "incarnation", "chunks", "events", "in Kafka", "elsewhere", "missing", "backlog")
    for one in report.accounts:
        if not (one.chunks or one.backlog_chunks or one.too_old_chunks or one.missing_events):
            continue
        elsewhere = ", ".join(f"{count:,} {place}" for place, count in sorted(one.elsewhere.items()))
        table.add_row(
            one.key,
            f"{one.chunks:,}" + (f" (+{one.too_old_chunks:,} too old)" if one.too_old_chunks else ""),
            f"{one.events:,}",
            f"{sum(one.in_kafka.values()):,}",
            elsewhere or "0",
            f"{one.missing_events:,}",
            f"{one.backlog_chunks:,} chunks",
        )
    if table.row_count:
        console.print(table)


def _show_partitions(console: Console, report: Report) -> None:
    columns = ("offsets", "records", "indexed", "duplicates", "dead", "strays", "expired", "lost", "lag")
    table = _table("Records and documents", "partition", *columns)
    for one in report.partitions:
        table.add_row(
            f"{one.topic}-{one.partition}",
            f"{one.verified_from:,}-{one.verified_to:,}",
            *(
                f"{n:,}"
                for n in (
                    one.records,
                    one.indexed,
                    one.duplicates,
                    one.dead_lettered,
                    one.strays,
                    one.expired,
                    one.lost,
                    one.lag,
                )
            ),
        )
    console.print(table)


def _show_missing(console: Console, report: Report) -> None:
    lines = [f"not in {m.place}: {m} ({m.events:,} events)" for m in report.missing]
    lines += [f"{'lost' if g.lost else 'gone'} at its accumulator: {g}" for g in report.gaps]
    lines += [
        f"deleted unread: {p.deleted_unread:,} offsets of {p.topic}-{p.partition} before {p.log_start:,}"
        for p in report.partitions
        if p.deleted_unread
    ]
    lines += [f"not in Elasticsearch: {one.kind} {one}" for one in report.lost]
    lines += [f"not in Elasticsearch either: {more}" for more in report.lost_offsets]
    from streaming.cli.terminal import printable

    for line in lines[:SHOWN]:
        console.print(printable(line), soft_wrap=True)  # names of services are what their senders wrote
    if len(lines) > SHOWN:
        console.print(f"... and {len(lines) - SHOWN:,} more lines; --json has all")


def _said(what: str, done: int, of: int) -> str:
    return f"{what}: {done:,} of about {of:,}"
