"""`vigil machines run`: any command of `vigil`, against a deployment's Kafka and Elasticsearch."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.machines.cli.chosen import Deployment


def run(
    command: Annotated[list[str], typer.Argument(help="command of vigil with its options, after --")],
    deployment: Deployment = None,
) -> None:
    """Run a command of vigil against a deployment: incidents, nodes, search, verify, reports, silence and so on.

    Settings go by the environment of that command; secrets appear on no command line.

    Examples:
      vigil machines run -- incidents list
      vigil machines run -d lab -- search 'log.level:ERROR' --since 1h
    """
    import os
    import sys

    from infra.local.isolated import as_environment
    from infra.machines.as_target import target_of
    from infra.machines.cli.chosen import chosen
    from streaming.settings import load_settings

    settings = load_settings()
    target = target_of(settings, chosen(settings, deployment))
    os.environ.update(as_environment(target.settings))
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "infra.cli", *command])  # noqa: S606  there is no shell to mistrust
