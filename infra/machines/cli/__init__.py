"""`vigil machines`: deployments to machines, those of VirtualBox and those of an inventory."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="machines",
    help="Deployments to machines: VirtualBox's or those of an inventory file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(parent: typer.Typer) -> None:
    """Adds the group to the `vigil` command."""
    from infra.machines.cli.backup import backup
    from infra.machines.cli.certificates import certificates
    from infra.machines.cli.deploy import deploy
    from infra.machines.cli.rotate import renew, rotate
    from infra.machines.cli.run import run
    from infra.machines.cli.show import show
    from infra.machines.cli.status import status
    from infra.machines.cli.teardown import teardown

    app.command("deploy")(deploy)
    app.command("list")(show)
    app.command("status")(status)
    app.command("run")(run)
    app.command("backup")(backup)
    app.command("rotate")(rotate)
    app.command("certificates")(certificates)
    app.command("renew")(renew)
    app.command("teardown")(teardown)
    parent.add_typer(app)
