"""`vigil accumulator CONF` runs one; `vigil accumulator check CONF` only reads its configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import typer.core

if TYPE_CHECKING:
    from typer._click.core import Command, Context


class _RunByDefault(typer.core.TyperGroup):
    """`vigil accumulator FILE` is `vigil accumulator run FILE`."""

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["run", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="accumulator",
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Run an accumulator: vigil accumulator fluentd/fluent1.conf",
)

Configuration = Annotated[Path, typer.Argument(help="a Fluentd configuration, such as fluentd/fluent1.conf")]


@app.command()
def run(
    configuration: Configuration,
    name: Annotated[str | None, typer.Option(help="name of its spool; default: fluent1.conf is accumulator1")] = None,
    slot: Annotated[int, typer.Option(min=0, help="shifts its health port")] = 0,
) -> None:
    """Run an accumulator in the foreground until Ctrl-C.

    Example: vigil accumulator fluentd/fluent1.conf
    """
    from streaming.accumulator.__main__ import start

    start(configuration, name, slot)


@app.command()
def check(
    configuration: Configuration,
    as_json: Annotated[bool, typer.Option("--json", help="print what was understood as JSON")] = False,
) -> None:
    """Read a configuration as the accumulator would, and say what it does or what is wrong with it.

    Certificates that it names are read too; no port is opened and nothing is written.

    Example: vigil accumulator check fluentd/fluent1.conf --json
    """
    from streaming.accumulator.configuration.describe import describe, lines
    from streaming.accumulator.configuration.plan import TailSource
    from streaming.accumulator.configuration.planner import load_plan
    from streaming.accumulator.environment import environment
    from streaming.accumulator.sources.tls import server_context
    from streaming.settings import load_settings

    plan = load_plan(configuration, environment(load_settings()))
    for source in plan.sources:
        if not isinstance(source, TailSource) and source.tls:
            server_context(source.tls)
    said = describe(plan)
    if as_json:
        typer.echo(json.dumps({"file": str(configuration), **said}))
        return
    typer.echo(f"{configuration}: understood")
    for line in lines(said):
        typer.echo(line)
