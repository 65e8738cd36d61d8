"""`vigil nodes`: which nodes there are, and which have fallen silent."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.heartbeat.messages import NodeRecord


class Wanted(StrEnum):
    """Which nodes to list."""

    ALL = "all"
    UP = "up"
    DOWN = "down"


def nodes(
    state: Annotated[Wanted, typer.Option(help="only nodes in this state")] = Wanted.ALL,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON array, for programs")] = False,
) -> None:
    """List the nodes of the registry: state, last heartbeat, interval.

    Reads the compacted topic that the heartbeat monitor keeps, so it works while Elasticsearch is down.

    Example: vigil nodes --state down --json
    """
    import msgspec

    from streaming.heartbeat.messages import NodeRecord
    from streaming.kafka import topics
    from streaming.kafka.compacted import read_all
    from streaming.settings import load_settings

    values = read_all(load_settings(), topics.NODE_REGISTRY).values()
    records = sorted((msgspec.json.decode(v, type=NodeRecord) for v in values), key=lambda r: (r.service, r.node_id))
    if state is not Wanted.ALL:
        records = [r for r in records if r.state.value.lower() == state.value]
    if as_json:
        print(json.dumps([msgspec.to_builtins(r) for r in records], indent=2))
    else:
        _print_table(records)


def _print_table(records: list[NodeRecord]) -> None:
    from rich.text import Text

    from streaming.cli.terminal import ago, one_line, one_line_table, printable, show

    if not records:
        print("No nodes: none has registered or sent a heartbeat yet.")
        return
    now_ms = time.time_ns() // 1_000_000
    table = one_line_table("node", "service", "state", "for", "last heartbeat", "interval", "reason")
    for record in records:
        clean = record.clean_shutdown
        colour = "green" if record.state.value == "UP" else "yellow" if clean else "bold red"
        table.add_row(
            printable(record.node_id),
            printable(record.service),
            Text(record.state.value, style=colour),
            ago(now_ms - record.since_ms),
            f"{ago(now_ms - record.last_beat_ms)} ago" if record.last_beat_ms else "never",
            f"{record.mean_interval_ms / 1000:.1f} s" if record.mean_interval_ms else "-",
            one_line(record.reason),
        )
    show(table)
