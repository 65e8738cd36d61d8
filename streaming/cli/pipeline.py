"""`vigil pipeline`: how far each worker is behind, and how much comes in."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from streaming.cli.audits import audit_pipeline

if TYPE_CHECKING:
    from streaming.pipeline.messages import PipelineStatus

pipeline_app = typer.Typer(
    help="Show how far the workers are behind, or audit the whole way.", invoke_without_command=True
)
pipeline_app.command("audit")(audit_pipeline)

OLD_AFTER_MS = 60_000
"""A dozen of the usual intervals of measuring."""


@pipeline_app.callback()
def pipeline(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for programs")] = False,
) -> None:
    """Show how far each worker is behind, since when one stands still, and the dead letters of the last minute.

    Shows the latest measurement of the pipeline monitor, which runs in the heartbeat monitor's process.

    Example: vigil pipeline --json
    """
    if context.invoked_subcommand is not None:
        return
    import msgspec

    from streaming.pipeline.reading import latest_status
    from streaming.settings import load_settings

    status = latest_status(load_settings())
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(status)).decode())
    elif status is None:
        print("Nothing measured in the last day: the heartbeat monitor, which measures, is not running.")
    else:
        _print_table(status)


def _print_table(status: PipelineStatus) -> None:
    from streaming.cli.terminal import ago, one_line_table, printable, show

    table = one_line_table("worker", "behind", "oldest record waits for", "stands still for")
    for worker, progress in status.workers.items():
        colour = "bold red" if progress.still_ms >= OLD_AFTER_MS else "yellow" if progress.lag else "green"
        table.add_row(
            printable(worker),
            printable(f"{progress.lag:,}", style=colour),
            ago(progress.behind_ms) if progress.lag else "-",
            ago(progress.still_ms) if progress.still_ms else "-",
        )
    show(table)
    print(f"\n{status.logs:,} logs and {status.dead_letters:,} dead letters in the last minute")
    age_ms = time.time_ns() // 1_000_000 - status.at_ms
    if age_ms > OLD_AFTER_MS:
        print(f"Measured {ago(age_ms)} ago: the heartbeat monitor, which measures, is not running.", file=sys.stderr)
