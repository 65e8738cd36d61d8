"""`vigil machines list`: which deployments this host knows."""

from __future__ import annotations

from typing import Annotated

import typer


def show(as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False) -> None:
    """List the deployments to machines that this host knows, and their machines.

    Example: vigil machines list --json | jq -r .deployment
    """
    import msgspec

    from infra.machines import known
    from streaming.settings import load_settings

    settings = load_settings()
    for name in known.names(settings):
        deployed, machines = known.deployed(settings, name), known.machines(settings, name)
        if as_json:
            typer.echo(
                msgspec.json.encode(
                    {
                        "deployment": name,
                        "target": deployed.origin,
                        "software": deployed.software,
                        "machines": {n: str(m.address) for n, m in machines.inventory.machines.items()},
                    }
                )
            )
            continue
        typer.echo(f"{name}  ({deployed.origin}, software by {deployed.software})")
        for machine, its in machines.inventory.machines.items():
            reached = f"{its.ssh_address.host}:{its.ssh_address.port}"
            typer.echo(f"  {machine:16} {its.address!s:15}  ssh {reached:21}  {', '.join(its.roles)}")
