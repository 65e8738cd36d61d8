"""`vigil doctor --target virtualbox` and `--target inventory`: the way from here to a deployment's machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from streaming.settings import Settings


def doctor(settings: Settings, target: str, deployment: str | None, *, as_json: bool) -> None:
    """Asks from the outside in, prints what was found, and ends with 1 when something is broken.

    Raises:
        ConfigError: no such target or deployment, or its secrets cannot be read.
    """
    import msgspec
    from rich.console import Console

    from infra.machines import known
    from infra.machines.cli.chosen import chosen
    from infra.machines.doctor.asking import ask
    from infra.machines.doctor.judging import judge
    from infra.machines.doctor.showing import show
    from infra.machines.known import Origin
    from infra.targets import TARGETS
    from streaming.errors import ConfigError

    if target not in TARGETS:
        raise ConfigError(f"no target {target!r}", field="--target", remedy=f"There is: {', '.join(TARGETS)}")
    name = chosen(settings, deployment)
    how = known.deployed(settings, name)
    if target != how.origin:
        raise ConfigError(
            f"{name} was deployed with the target {how.origin}", field="--target", remedy=f"--target {how.origin}"
        )
    machines = known.machines(settings, name)
    console = Console()
    if not as_json:
        with console.status(f"asking the machines of {name}"):
            facts = ask(machines, how.software, virtual=how.origin is Origin.VIRTUALBOX)
    else:
        facts = ask(machines, how.software, virtual=how.origin is Origin.VIRTUALBOX)
    diagnosis = judge(facts)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(diagnosis)).decode())
    else:
        show(diagnosis, console)
    if not diagnosis.healthy:
        raise typer.Exit(1)
