"""`vigil rules`: what is wrong with alert rules, before a worker has to say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

rules_app = typer.Typer(help="Check alert rules.", no_args_is_help=True)


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
        rules = [rule.model_dump(mode="json") for rule in found.rules]
        print(json.dumps({"ok": True, "version": found.version, "rules": rules}))
        return
    for rule in found.rules:
        print(f"{rule.id:<24} {rule.kind:<12} {rule.severity.value:<9} {'' if rule.enabled else 'disabled'}".rstrip())
    files = len(rule_files(path))
    print(f"{len(found.rules)} rules in {files} {'file' if files == 1 else 'files'} are good; version {found.version}")
