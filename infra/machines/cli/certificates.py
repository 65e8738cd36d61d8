"""`vigil machines certificates`: how long each is valid."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from infra.machines.cli.chosen import Deployment, chosen


def certificates(
    deployment: Deployment = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the certificates of a deployment to machines: whose, where, until when, and whether they are to be renewed.

    good; due: a third of its life or less is left; expired; strange: of another authority than the one that signs;
    missing: a deployment makes it. Ends with 1 where one is not good.

    Example: vigil machines certificates --json | jq -r 'select(.state != "good") | .name'
    """
    import msgspec

    from infra.machines import known
    from infra.machines.rotation.standing import State, standings
    from streaming.settings import load_settings

    settings = load_settings()
    name = chosen(settings, deployment)
    with closing(known.machines(settings, name)) as machines:
        now = machines.store.now()
        found = standings(machines.inventory, machines.store, machines.pending, now, machines.software)
    for one in found:
        left = one.days_left(now)
        if as_json:
            told = {
                "deployment": name,
                "name": one.name,
                "subject": one.subject,
                "machine": one.machine,
                "state": one.state,
                "begins": one.begins,
                "expires": one.ends,
                "days_left": left,
                "waits_for_restart": one.waits,
            }
            typer.echo(msgspec.json.encode(told))
            continue
        ends = f"{one.ends:%Y-%m-%d %H:%M} UTC" if one.ends else "-"
        days = f"{left:.0f} d" if left is not None else "-"
        note = "  waits for a restart" if one.waits else ""
        typer.echo(
            f"{one.name:30} {one.subject:24} {one.machine or 'this host':14} {ends:21} {days:>7}  {one.state}{note}"
        )
    if any(one.state is not State.GOOD for one in found):
        raise typer.Exit(1)
