"""`vigil machines backup`: what lives only in the machines' Kafka, kept by this host."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.machines.cli.chosen import Deployment


def backup(
    deployment: Deployment = None,
    as_json: Annotated[bool, typer.Option("--json", help="the summary as one JSON object")] = False,
) -> None:
    """Write a backup of the machines' Kafka to this host: incidents, silences, rules, nodes, templates and more.

    The platform runs meanwhile. It is kept in `<VIGIL_HOME>/machines/<name>/backups/`, from where a deployment takes
    the newest one when the cluster was lost; the DAG back_up makes one every hour. Old ones are removed.

    Example: vigil machines backup --deployment vigil
    """
    from contextlib import closing

    from infra import backups
    from infra.machines import known
    from infra.machines.cli.chosen import chosen
    from streaming.cli.backup import show
    from streaming.settings import load_settings

    settings = load_settings()
    with closing(known.machines(settings, chosen(settings, deployment))) as machines:
        there = machines.client_settings().model_copy(update={"home": machines.folder})
        summary = backups.make(there, lambda line: None if as_json else typer.echo(line))
        if as_json:
            show(summary.file, summary.records, as_json, "written to")
