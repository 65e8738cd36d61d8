"""`vigil indexer`: the worker that brings logs from Kafka into Elasticsearch."""

from __future__ import annotations

from typing import Annotated

import typer


def indexer(
    slot: Annotated[int, typer.Option(min=0, help="number of this indexer on this machine")] = 0,
) -> None:
    """Run an indexer in the foreground until Ctrl-C. Any number of them share the work.

    Example: vigil indexer --slot 1
    """
    from streaming.indexer.__main__ import start

    start(slot)
