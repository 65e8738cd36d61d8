"""`vigil rules`: what is wrong with alert rules, what they would do, and what they would have done."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.alerting.rehearsal.backtest import Report
    from streaming.alerting.rehearsal.summary import Summary

rules_app = typer.Typer(help="Check, test and backtest alert rules.", no_args_is_help=True)

SHOWN = 20
"""Incidents of a backtest in the table."""


@rules_app.command("check")
def check(
    path: Annotated[
        Path | None, typer.Argument(help="folder or file of rules (default: the configured one)", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for programs")] = False,
) -> None:
    """Read the rules as the workers would. Ends with 78 and the place of the first fault where there is one.

    Example: vigil rules check rules/default.yaml
    """
    from streaming.alerting.rules.loading import load_rules, rule_files
    from streaming.errors import ConfigError
    from streaming.settings import load_settings

    path = path or load_settings().rules_path
    try:
        found = load_rules(path)
    except ConfigError as error:
        if not as_json:
            raise
        fault = {"reason": error.reason, "line": error.line, "field": error.field, "remedy": error.remedy}
        print(json.dumps({"ok": False, "file": None if error.file is None else str(error.file), **fault}))
        raise typer.Exit(error.exit_code) from error
    if as_json:
        rules = [rule.model_dump(mode="json", by_alias=True) for rule in found.rules]
        print(json.dumps({"ok": True, "version": found.version, "rules": rules}))
        return
    for rule in found.rules:
        print(f"{rule.id:<24} {rule.kind:<15} {rule.severity.value:<9} {'' if rule.enabled else 'disabled'}".rstrip())
    files = len(rule_files(path))
    print(f"{len(found.rules)} rules in {files} {'file' if files == 1 else 'files'} are good; version {found.version}")
    if found.retention:
        kept = ", ".join(f"{one.name} ({one.days} d)" for one in found.retention)
        print(f"retention classes: {kept}; `vigil indices roll` declares them")


@rules_app.command("test")
def run_tests(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="files of tests (default: tests/*.yaml beside the rules)", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for programs")] = False,
) -> None:
    """Run tests of rules: logs go through the live engine with a simulated clock, without any server.

    Ends with 1 where one fails.

    Example: vigil rules test rules/tests/default.yaml
    """
    from streaming.alerting.rehearsal.cases import load_cases, run_case
    from streaming.alerting.rules.loading import load_rules
    from streaming.errors import ConfigError
    from streaming.settings import load_settings

    files = paths or sorted((load_settings().rules_path / "tests").glob("*.yaml"))
    if not files:
        folder = load_settings().rules_path / "tests"
        raise ConfigError("no tests here", file=folder, remedy="Write one; docs/rules.md shows how")
    results = []
    for file in files:
        content = load_cases(file)
        rules = load_rules((file.parent / content.rules).resolve())
        for case in content.tests:
            differences = run_case(rules, case)
            results.append({"file": str(file), "test": case.name, "ok": not differences, "differences": differences})
            if not as_json:
                print(f"{'ok  ' if not differences else 'FAIL'} {file.name}: {case.name}")
                for difference in differences:
                    print(f"     {difference}")
    failed = sum(not result["ok"] for result in results)
    if as_json:
        print(json.dumps({"ok": not failed, "tests": results}))
    else:
        print(f"{len(results) - failed} of {len(results)} tests passed")
    if failed:
        raise typer.Exit(1)


@rules_app.command("backtest")
def backtest(
    path: Annotated[
        Path | None, typer.Argument(help="folder or file of rules (default: the configured one)", show_default=False)
    ] = None,
    since: Annotated[str, typer.Option(help="from then on: 30m, 24h, 7d ago, or a date")] = "24h",
    until: Annotated[str, typer.Option(help="before then (default: now)", show_default=False)] = "",
    source: Annotated[
        str, typer.Option("--from", help="kafka, elasticsearch, or auto: Kafka where it still has all of that time")
    ] = "auto",
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="incidents to list")] = SHOWN,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for programs")] = False,
) -> None:
    """Tell what rules would have fired on the logs that are stored, with the live engine and the clock of that time.

    Example: vigil rules backtest --since 24h rules/checkout.yaml
    """
    import msgspec

    from streaming.alerting.rehearsal.backtest import From
    from streaming.alerting.rehearsal.backtest import backtest as run
    from streaming.alerting.rules.loading import load_rules
    from streaming.elastic.query import parse_time
    from streaming.settings import load_settings

    if source not in list(From):
        raise typer.BadParameter(f"{source!r}; write {', '.join(From)}", param_hint="--from")
    settings, now_ms = load_settings(), time.time_ns() // 1_000_000
    rules = load_rules(path or settings.rules_path)
    since_ms, until_ms = parse_time(since, now_ms), parse_time(until, now_ms) if until else now_ms
    if since_ms >= until_ms:
        raise typer.BadParameter("is not before --until", param_hint="--since")
    summary = run(settings, rules, since_ms, until_ms, source=From(source), report=_progress(since_ms, until_ms))
    if as_json:
        print(msgspec.json.encode(summary).decode())
    else:
        _show(summary, limit)


def _progress(since_ms: int, until_ms: int) -> Report:
    """One line on standard error that is written over, where that is a terminal."""
    import sys

    def report(logs: int, at_ms: int) -> None:
        if sys.stderr.isatty():
            share = (at_ms - since_ms) / (until_ms - since_ms)
            print(f"\r{logs:,} logs, {share:.0%} of the time", end="", file=sys.stderr, flush=True)
            if share >= 1:
                print(file=sys.stderr)

    return report


def _show(summary: Summary, limit: int) -> None:
    from streaming.cli.terminal import ago, one_line, one_line_table, show

    hours = ago(summary.until_ms - summary.since_ms)
    print(f"{summary.logs:,} logs of {hours} from {summary.source}, rule set {summary.rules_version}\n")
    table = one_line_table("incidents", "logs", "messages", "kind", "rule")
    for one in summary.rules:
        table.add_row(str(one.incidents), f"{one.logs:,}", str(one.interruptions), one.kind, one_line(one.rule_id))
    show(table)
    if not summary.incidents:
        print("\nNothing would have fired.")
        return
    print()
    listed = one_line_table("opened", "severity", "state", "count", "lasted", "rule", "title")
    for incident in summary.incidents[:limit]:
        ended = incident.resolved_ms or summary.until_ms
        listed.add_row(
            time.strftime("%m-%d %H:%M:%S", time.gmtime(incident.opened_ms / 1000)),
            incident.severity.value,
            incident.state.value,
            str(incident.count),
            ago(ended - incident.opened_ms),
            one_line(incident.rule_id),
            one_line(incident.title),
        )
    show(listed)
    if len(summary.incidents) > limit:
        print(f"{len(summary.incidents) - limit} more; -n shows more, --json all")
    receivers = ", ".join(f"{count} to {name or 'the default'}" for name, count in summary.interruptions.items())
    print(f"\nMessages that alert somebody: {receivers or 'none'}. Times are UTC.")
