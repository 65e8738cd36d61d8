"""`vigil indices`: the indices by day and class, and what roll does with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.rolling.expiry import Expiry
    from streaming.rolling.run import Report
    from streaming.rolling.state import Index, State

indices_app = typer.Typer(help="List the indices of logs, or roll them.", invoke_without_command=True)

COLOURS = {"expired": "bold red", "write-blocked": "bold yellow", "being written": "green", "ahead": "cyan"}


@indices_app.callback()
def indices(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON array, for programs")] = False,
) -> None:
    """List the indices that are deleted when they are old, of logs, dead letters, audits, incidents, changes of nodes
    and Airflow's task logs: class, day, documents, size, shards, state, and when they expire. Then the disks.

    Example: vigil indices
    """
    if context.invoked_subcommand is not None:
        return
    from streaming.rolling.expiry import Expiry
    from streaming.rolling.planning import Policy
    from streaming.rolling.reading import read_state
    from streaming.settings import load_settings

    state, policy = read_state(load_settings()), Policy()
    expiry = Expiry(state.retention, state.today, policy.history_days)
    if as_json:
        print(json.dumps([_as_json(index, state, expiry) for index in state.indices], indent=2))
    else:
        _print_table(state, expiry, policy.measured_days)


@indices_app.command("roll")
def roll(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for programs")] = False,
    allow_deleting: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="share of all documents, or indices, that may be deleted at once, 0 to 1 (default 0.25)",
        ),
    ] = None,
) -> None:
    """Make the next days' indices, merge and finish those of days that are over, delete what is past its retention,
    repair templates, and look at the disks. The DAG roll_indices does the same every hour.

    Exits with 1 where something that is due was not done.

    Example: vigil indices roll --dry-run
    """
    from streaming.rolling.run import roll as run
    from streaming.settings import load_settings

    report = run(
        load_settings(),
        dry_run=dry_run,
        allow_deleting=allow_deleting,
        say=lambda line: None if as_json else _say(line),
    )
    if as_json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        _print_report(report)
    report.check()


def _say(line: str) -> None:
    from rich.console import Console

    from streaming.cli.terminal import printable

    Console(soft_wrap=True, highlight=False).print(printable(line))


def _print_report(report: Report) -> None:
    for line in report.lines():
        _say(line)
    for one in report.failed:
        _say(f"FAILED {one.action}: {one.failed}")
    for warning in report.plan.warnings:
        _say(f"WARNING {warning}")


def _print_table(state: State, expiry: Expiry, measured_days: int) -> None:
    from streaming.cli.terminal import one_line_table, printable, show
    from streaming.retention.classes import date_of
    from streaming.rolling.actions import human_bytes
    from streaming.rolling.disk import Outlook
    from streaming.rolling.state import MONTHLY

    table = one_line_table("day (UTC)", "class", "documents", "size", "shards", "state", "expires", "index")
    for column in (2, 3, 4):
        table.columns[column].justify = "right"
    for index in state.indices:
        on, how = expiry.on(index), _state(index, state, expiry)
        month = index.kind in MONTHLY
        table.add_row(
            f"{date_of(index.day):%Y-%m}" if month else str(date_of(index.day)),
            printable(index.retention_class or str(index.kind)),
            f"{index.docs:,}",
            human_bytes(index.total_bytes),
            str(index.shards),
            printable(how, COLOURS.get(how, "")),
            "never" if on is None else str(date_of(on)),
            printable(index.index),
        )
    show(table)
    outlook = Outlook(state, expiry, measured_days)
    docs, size = sum(index.docs for index in state.indices), sum(index.total_bytes for index in state.indices)
    _say(f"{len(state.indices)} indices, {docs:,} documents, {human_bytes(size)}")
    for node in state.nodes:
        _say(f"disk {outlook.line(node)}")


def _state(index: Index, state: State, expiry: Expiry) -> str:
    """In one or two words; the first that is so."""
    if expiry.is_over(index):
        return "expired"
    if not index.is_open:
        return "closed"
    if index.is_foreign_blocked:
        return "write-blocked"
    if index.is_finished:
        return "finished"
    if index.day > state.today:
        return "ahead"
    if index.last_day >= state.today:
        return "being written"
    return "merged" if index.segments <= index.shards else "day over"


def _as_json(index: Index, state: State, expiry: Expiry) -> dict[str, object]:
    from streaming.retention.classes import date_of

    on = expiry.on(index)
    return {
        "index": index.index,
        "name": index.name,
        "kind": index.kind,
        "class": index.retention_class,
        "first_day": str(date_of(index.day)),
        "last_day": str(date_of(index.last_day)),
        "documents": index.docs,
        "bytes": index.total_bytes,
        "shards": index.shards,
        "segments": index.segments,
        "state": _state(index, state, expiry),
        "expires": None if on is None else str(date_of(on)),
    }
