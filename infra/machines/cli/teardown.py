"""`vigil machines teardown`: the end of a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infra.machines.cli.chosen import Deployment

if TYPE_CHECKING:
    from infra.local.progress import Progress
    from infra.machines.as_target import MachinesTarget


def teardown(
    deployment: Deployment = None,
    export: Annotated[bool, typer.Option("--export", help="write all documents to files on this host first")] = False,
    at_once: Annotated[bool, typer.Option("--at-once", help="neither drain nor stop services first")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="destroy without asking")] = False,
) -> None:
    """Stop a deployment; machines of VirtualBox are destroyed, those of an inventory stay as they are, with all data.

    Example: vigil machines teardown -d lab --export
    """
    from rich.console import Console

    from infra.intent import Intent, Order, record_order
    from infra.local.progress import Progress
    from infra.machines.as_target import target_of
    from infra.machines.cli.chosen import chosen
    from infra.machines.cli.deploy import now_ms
    from infra.targets import Kind, forget_last
    from infra.virtualbox.approval import lost_at_end
    from infra.virtualbox.changes import lines
    from infra.virtualbox.deployment import Deployment as Made
    from streaming.settings import load_settings

    settings, progress = load_settings(), Progress(Console())
    name = chosen(settings, deployment)
    target = target_of(settings, name)
    made = proposal = None
    if target.reference.kind is Kind.VIRTUALBOX:
        made = Made(settings, name, progress.say)
        with progress.phase("Plan"):
            proposal = made.propose_end()
        for line in (*lines(proposal.changes), *(f"lost: {line}" for line in lost_at_end(target.machines))):
            progress.say(line)
    if not yes:
        typer.confirm(f"Destroy {name}?" if made else f"Stop {name}?", abort=True)
    record_order(target.home, Order(intent=Intent.DOWN, since_ms=now_ms(), by="vigil machines teardown"))
    try:
        if not at_once:
            stop_in_order(target, progress, export=export)
    finally:
        target.close()
    if made is not None and proposal is not None:
        with progress.phase("Machines, network, keys are removed"):
            made.end(proposal)
        forget_last(target.reference, settings)
        progress.say(f"backups and exports, where there are any: {made.folder}")


def stop_in_order(target: MachinesTarget, progress: Progress, *, export: bool) -> None:
    """Stops what sends first and what keeps last; what is in Kafka is read in between.

    Raises:
        Unavailable: a machine cannot be reached, or something is left to read.
    """
    from datetime import UTC, datetime

    from infra.draining import await_read
    from infra.services import Stage
    from streaming.elastic.exporting import export_indices

    for stage in reversed(Stage):
        names = [service.name for service in target.services.values() if service.stage is stage]
        if names:
            with progress.phase(f"Stop: {', '.join(names)}"):
                for name in names:
                    target.manager.stop(name)
        if stage is Stage.ACCUMULATORS:
            with progress.phase("What is in Kafka is read to its end"):
                await_read(target.settings, 300.0, progress.say)
            if export:
                folder = target.home / "exports" / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
                with progress.phase(f"Export to {folder}"):
                    export_indices(target.settings, folder, progress.say)
