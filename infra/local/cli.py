"""`vigil up`, `down`, `status` and `doctor`: the platform on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from infra.local.preflight import Check
    from infra.local.status import Line
    from infra.local.up import Place
    from streaming.alerting.messages import Receipt
    from streaming.settings import Settings

# Heavy imports are inside the functions: `vigil --help` and shell completion must answer at once.


def up(
    deploy: Annotated[bool, typer.Option(help="Deploy the services too; without it, Airflow alone.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds until it gives up.", min=1)] = 600.0,
) -> None:
    """Start the platform on this machine, or repair it, and wait for the first alert.

    Example: vigil up --timeout 300
    """
    from rich.console import Console

    from infra.local.progress import Progress
    from infra.local.up import up as bring_up
    from streaming.settings import load_settings

    settings, console = load_settings(), Console()
    try:
        place, alert = bring_up(settings, Progress(console), deploy, timeout)
    except KeyboardInterrupt:
        console.print("stopped waiting; what was started keeps running. `vigil status` shows it, `vigil down` ends it")
        raise
    _welcome(console, settings, place, alert)


def down() -> None:
    """Stop the platform on this machine, all of it, within 30 seconds. Data stays.

    Example: vigil down
    """
    import time

    from rich.console import Console

    from infra.intent import Intent, Order, intent_file, record_order
    from infra.local.down import down_for_good as bring_down
    from infra.local.progress import Progress
    from streaming.settings import load_settings

    settings = load_settings()
    progress = Progress(Console())
    if intent_file(settings.home).parent.exists():  # else nothing was ever started here
        record_order(settings.home, Order(intent=Intent.DOWN, since_ms=int(time.time() * 1000), by="vigil down"))
    with progress.phase("Stop"):
        forced = bring_down(settings, progress.note)
    for line in forced:
        progress.say(line)


def status(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show every service: state, process, health, port. Ends with 1 when one is not healthy.

    Example: vigil status --json | jq '.[] | select(.healthy | not)'
    """
    from infra.local.status import status as ask
    from streaming.settings import load_settings

    lines = ask(load_settings())
    if json:
        _print_json(lines)
    else:
        _status_table(lines)
    if not all(line.healthy for line in lines):
        raise typer.Exit(1)


def doctor(
    target: Annotated[str, typer.Option(help="local, virtualbox or inventory.")] = "local",
    deployment: Annotated[
        str | None,
        typer.Option("--deployment", "-d", help="Which deployment to machines; not needed where there is one."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check what the platform needs, and every service, and say what is wrong. Ends with 1 when something is.

    Of machines: from the outside in, the first broken link named with its remedy.

    Example: vigil doctor --target virtualbox
    """
    from infra.local import preflight
    from infra.local.layout import Layout
    from infra.local.status import status as ask
    from infra.local.supervisor import is_running
    from streaming.settings import load_settings

    settings = load_settings()
    if target != "local":
        from infra.machines.cli.doctor import doctor as of_machines

        of_machines(settings, target, deployment, as_json=json)
        return
    layout = Layout(settings.home)
    running = is_running(layout)
    checks = preflight.check(settings, layout, preflight.this_machine(layout), running)
    lines = ask(settings) if running else []
    if json:
        _print_json({"running": running, "checks": checks, "services": lines})
    else:
        _check_table(checks)
        if running:
            _status_table(lines)
        else:
            typer.echo("The platform is not running; `vigil up` starts it.")
    if preflight.failures(checks) or not all(line.healthy for line in lines):
        raise typer.Exit(1)


def restore(
    file: Annotated[Path, typer.Argument(help="what `vigil backup` wrote", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="write behind records that are there already")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the summary as one JSON object")] = False,
) -> None:
    """Put a backup back into a Kafka that has lost its disk. The platform must be down; Kafka is started for it.

    Example: vigil down; vigil restore vigil-backup-20261125T210000Z.zst; vigil up
    """
    from infra.local.restore import restore_here
    from streaming.cli.backup import show, told
    from streaming.settings import load_settings

    summary = restore_here(
        load_settings(), file, force=force, progress=told, note=lambda line: typer.echo(line, err=True)
    )
    show(summary.file, summary.records, as_json, "restored from")


def register(app: typer.Typer) -> None:
    """Adds these commands to the `vigil` command."""
    for command in (up, down, status, doctor, restore):
        app.command()(command)


def _print_json(value: object) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def _status_table(lines: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("service", "state", "pid", "health", "port", box=None, pad_edge=False)
    for line in lines:
        health = (
            Text("healthy", "green") if line.healthy else Text("-" if line.state == "stopped" else "not healthy", "red")
        )
        pid, port = ("" if n is None else str(n) for n in (line.pid, line.port))
        table.add_row(line.name, line.state, pid, health, port)
    console = Console()
    console.print(table)
    for line in lines:
        if line.detail:
            console.print(f"{line.name}: {line.detail}", markup=False, highlight=False, soft_wrap=True)


def _check_table(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "note": "yellow", "failed": "bold red"}
    table = Table("check", "result", "", box=None, pad_edge=False)
    for check in checks:
        table.add_row(check.name, Text(check.verdict.value, styles[check.verdict.value]), Text(check.text))
    Console().print(table)


def _welcome(console: Console, settings: Settings, place: Place, alert: Receipt | None) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    rows = [("Airflow", place.url), ("", f"user {place.user}, password {place.password}")]
    if alert:
        ports = settings.accumulator1_port, settings.accumulator2_port, settings.accumulator3_port
        rows += [
            ("Kafka", settings.bootstrap),
            ("Elasticsearch", settings.elasticsearch),
            ("Accumulators", f"{settings.bind_host}, ports {', '.join(map(str, ports))} (Forward protocol)"),
            ("Last alert", f"{alert.title} (to {alert.receiver})"),
        ]
    rows += [("Logs", str(settings.log_dir.resolve()))]
    if alert:
        rows += [("Try", "vigil search 'level:ERROR'"), ("", "vigil incidents"), ("", "vigil nodes")]
    for name, text in rows:
        table.add_row(Text(name, "bold"), Text("".join(c if c.isprintable() else " " for c in text)))
    console.print(Panel(table, title="Vigil is up" if alert else "Airflow is up", expand=False))
