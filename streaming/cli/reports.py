"""`vigil reports`: lists, shows and builds the error reports of days and weeks."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from streaming.reports.making import Made
    from streaming.reports.model import Report
    from streaming.reports.period import Kind

reports_app = typer.Typer(no_args_is_help=True, help="Error reports of days and weeks: list, show, build.")

Weekly = Annotated[bool, typer.Option("--weekly", help="the week (Monday to Sunday) instead of the day")]
Day = Annotated[
    str, typer.Option("--day", help="2026-11-25, yesterday; a week is that of the day. Default: the last closed one")
]
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]


@reports_app.command("list")
def list_reports(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="at most so many of each kind")] = 30,
    as_json: AsJson = False,
) -> None:
    """List the reports that are stored on this machine, the latest first."""
    from streaming.reports.period import Kind, local_text
    from streaming.reports.store import ReportStore
    from streaming.settings import load_settings

    store = ReportStore(load_settings())
    found: list[Report] = []
    for kind in Kind:
        for day in store.days(kind)[:limit]:
            if (report := store.load(kind, day)) is not None:
                found.append(report)
    if as_json:
        for report in found:
            folder = store.folder(report.period.kind, report.period.day)
            print(json.dumps(_brief(report, folder), ensure_ascii=True))
        return
    if not found:
        print("No reports yet; `vigil reports build` builds the last one", file=sys.stderr)
        return
    from streaming.cli.terminal import one_line, one_line_table, show

    table = one_line_table("kind", "day", "errors", "logs", "incidents", "came later", "built", "files")
    for report in found:
        table.add_row(
            report.period.kind,
            report.period.first_day,
            f"{report.total.now.errors:,}",
            f"{report.total.now.documents:,}",
            f"{report.incidents.opened:,}",
            f"{_came_later(report):,}",
            local_text(report.shown_ms, report.period.zone),
            one_line(str(store.folder(report.period.kind, report.period.day))),
        )
    show(table)


@reports_app.command("show")
def show_report(day: Day = "", weekly: Weekly = False, as_json: AsJson = False) -> None:
    """Show a report's figures; --json gives all of its numbers, from Elasticsearch where there is no file here."""
    from streaming.reports import making
    from streaming.reports.store import ReportStore
    from streaming.settings import load_settings

    settings = load_settings()
    period = making.wanted_period(settings, _kind(weekly), day, _now_ms())
    report = ReportStore(settings).load(period.kind, period.day)
    if report is None:
        command = f"vigil reports build{' --weekly' if weekly else ''} --day {period.first_day}"
        print(f"vigil: there is no {period.kind} report of {period.title}; `{command}` builds it", file=sys.stderr)
        raise typer.Exit(1)
    _print(report, as_json=as_json)


@reports_app.command("build")
def build_report(
    day: Day = "",
    weekly: Weekly = False,
    afresh: Annotated[
        bool, typer.Option("--afresh", help="count all anew, also if it was built before, and forget what was told")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build a report and store it. One that was built before keeps its numbers; what came since is its correction.

    Example: vigil reports build --day 2026-11-25
    """
    from streaming.reports import making
    from streaming.settings import load_settings

    settings, now_ms = load_settings(), _now_ms()
    period = making.wanted_period(settings, _kind(weekly), day, now_ms)
    made = making.make(settings, period, now_ms, afresh=afresh)
    _print(made.report, as_json=as_json)
    if not as_json:
        _print_files(made)


def _print(report: Report, *, as_json: bool) -> None:
    from streaming.reports.model import encode
    from streaming.reports.view import summary

    if as_json:
        print(encode(report).decode())
        return
    from streaming.cli.terminal import printable

    for line in summary(report).splitlines():
        print(printable(line).plain)


def _print_files(made: Made) -> None:
    from streaming.reports.store import HTML, PDF

    for name in (HTML, PDF):
        print(made.folder / name)


def _brief(report: Report, folder: Path) -> dict[str, object]:
    return {
        "kind": str(report.period.kind),
        "day": report.period.first_day,
        "zone": report.period.zone,
        "errors": report.total.now.errors,
        "documents": report.total.now.documents,
        "incidents": report.incidents.opened,
        "came_later": _came_later(report),
        "built_ms": report.built_ms,
        "shown_ms": report.shown_ms,
        "folder": str(folder),
    }


def _came_later(report: Report) -> int:
    found = report.correction
    return 0 if found is None else found.late.documents + found.indexed_late.documents


def _kind(weekly: bool) -> Kind:
    from streaming.reports.period import Kind

    return Kind.WEEKLY if weekly else Kind.DAILY


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
