"""`vigil machines status`: every service on every machine."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.machines.cli.chosen import Deployment


def status(
    deployment: Deployment = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Show every service of a deployment: state, health, machines. Ends with 1 when one is not healthy.

    Example: vigil machines status --json | jq 'select(.healthy | not)'
    """
    import msgspec
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from infra.machines.as_target import target_of
    from infra.machines.cli.chosen import chosen
    from infra.machines.status import status as ask
    from streaming.settings import load_settings

    settings = load_settings()
    name = chosen(settings, deployment)
    target = target_of(settings, name)
    try:
        lines = ask(target)
    finally:
        target.close()
    table = Table("service", "state", "healthy", "machines", "detail", box=None)
    for line in lines:
        if as_json:
            typer.echo(msgspec.json.encode(line))
        table.add_row(
            line.name, line.state, "yes" if line.healthy else "no", ", ".join(line.machines), Text(line.detail)
        )
    if not as_json:
        Console().print(table)
    if not all(line.healthy for line in lines):
        raise typer.Exit(1)
