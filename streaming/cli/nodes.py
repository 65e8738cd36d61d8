"""`vigil nodes`: which nodes there are, how they are, and what people say about them."""

from __future__ import annotations

import getpass
import json
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from streaming.cli.audits import audit_nodes

if TYPE_CHECKING:
    from streaming.heartbeat.messages import Order
    from streaming.heartbeat.view import NodeView
    from streaming.settings import Settings

nodes_app = typer.Typer(help="List nodes, show one, or take one out of watching.", invoke_without_command=True)
nodes_app.command("audit")(audit_nodes)

PHI_SHOWN = 99.0
"""More says nothing more."""

LEAST_SKEW_MS = 50
"""Less is what a beat takes on its way."""

COLOURS = {
    "UP": "green",
    "SUSPECT": "yellow",
    "DOWN": "bold red",
    "UNKNOWN": "magenta",
    "MAINTENANCE": "cyan",
    "RETIRED": "dim",
}


class Wanted(StrEnum):
    """Which nodes to list."""

    ALL = "all"
    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    UNKNOWN = "unknown"
    MAINTENANCE = "maintenance"
    RETIRED = "retired"


NodeId = Annotated[str, typer.Argument(metavar="NODE", help="the node's id, as `vigil nodes` shows it")]
Author = Annotated[str | None, typer.Option("--as", help="who orders it (default: you)")]
Reason = Annotated[str, typer.Option(help="why; a word to the others")]


@nodes_app.callback()
def nodes(
    context: typer.Context,
    state: Annotated[Wanted, typer.Option(help="only nodes in this state")] = Wanted.ALL,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON array, for programs")] = False,
) -> None:
    """List the nodes: state, how improbable their silence is (phi), last heartbeat, interval, what carries their
    beats, how far their clock is off, and how much they log.

    Reads Kafka, so it works while Elasticsearch is down; logs per minute then show as "-".

    Example: vigil nodes --state down --json
    """
    if context.invoked_subcommand is not None:
        return
    from streaming.heartbeat.log_rates import logs_a_minute
    from streaming.settings import load_settings

    settings = load_settings()
    found = [v for v in _read(settings) if state is Wanted.ALL or v.record.state.value.lower() == state.value]
    rates = logs_a_minute(settings) if found else None
    if as_json:
        print(json.dumps([_as_json(view, rates) for view in found], indent=2))
    else:
        _print_table(found, rates, state)


@nodes_app.command("show")
def show_node(
    node_id: NodeId,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for programs")] = False,
) -> None:
    """Show all that is known of one node.

    Example: vigil nodes show order-1
    """
    from streaming.heartbeat.log_rates import logs_a_minute
    from streaming.settings import load_settings

    settings = load_settings()
    view = _named(settings, node_id)
    rates = logs_a_minute(settings)
    if as_json:
        print(json.dumps(_as_json(view, rates), indent=2))
        return
    from rich.console import Console

    from streaming.cli.terminal import printable

    out = Console(highlight=False, soft_wrap=True)
    for name, value in _lines(view, rates).items():
        if value:
            out.print(f"{name:<16}", printable(value), sep="")


@nodes_app.command("maintenance")
def maintenance(
    node_id: NodeId,
    length: Annotated[str | None, typer.Option("--for", help="30m, 2h, 1d; without it until it is restored")] = None,
    reason: Reason = "",
    author: Author = None,
) -> None:
    """Say that people work on a node: its silence means nothing meanwhile, and incidents of it end.

    Example: vigil nodes maintenance order-1 --for 2h --reason "new disk"
    """
    from streaming.cli.times import seconds
    from streaming.heartbeat.messages import Order

    _order(Order.MAINTENANCE, node_id, author, reason, None if length is None else seconds(length))


@nodes_app.command("retire")
def retire(node_id: NodeId, reason: Reason = "", author: Author = None) -> None:
    """Take a node out of service for good. It is forgotten after a week in which it does not beat.

    Example: vigil nodes retire order-1 --reason "replaced by order-2"
    """
    from streaming.heartbeat.messages import Order

    _order(Order.RETIRE, node_id, author, reason)


@nodes_app.command("restore")
def restore(node_id: NodeId, reason: Reason = "", author: Author = None) -> None:
    """Watch a node again that was in maintenance or retired.

    Example: vigil nodes restore order-1
    """
    from streaming.heartbeat.messages import Order

    _order(Order.RESTORE, node_id, author, reason)


def _order(order: Order, node_id: str, author: str | None, reason: str, length_s: float | None = None) -> None:
    from streaming.cli.terminal import printable
    from streaming.heartbeat.messages import NodeOrder
    from streaming.heartbeat.orders import send_order
    from streaming.settings import load_settings

    settings, now_ms = load_settings(), time.time_ns() // 1_000_000
    node = _named(settings, node_id).record.node_id
    until_ms = None if length_s is None else now_ms + int(length_s * 1000)
    by = author or getpass.getuser()
    send_order(
        settings, NodeOrder(node_id=node, order=order, at_ms=now_ms, author=by, reason=reason, until_ms=until_ms)
    )
    print(f"{order.value}: {printable(node).plain}")


def _read(settings: Settings) -> list[NodeView]:
    from streaming.heartbeat.view import read_nodes

    return read_nodes(settings, time.time_ns() // 1_000_000)


def _named(settings: Settings, node_id: str) -> NodeView:
    """The node of that name.

    Raises:
        VigilError: there is none; with the one that was perhaps meant.
    """
    import difflib

    from streaming.errors import VigilError

    views = {view.record.node_id: view for view in _read(settings)}
    if node_id in views:
        return views[node_id]
    near = difflib.get_close_matches(node_id, views, n=1)
    remedy = f"did you mean {ascii(near[0])[1:-1]}?" if near else "`vigil nodes` lists them"
    raise VigilError(f"no node is called {ascii(node_id)[1:-1]}; {remedy}")


def _as_json(view: NodeView, rates: dict[str, int] | None) -> dict[str, object]:
    import msgspec

    record = msgspec.to_builtins(view.record)
    assert isinstance(record, dict)
    return record | {
        "last_beat_ms": view.last_beat_ms,
        "silent_ms": view.silent_ms,
        "phi": None if view.phi is None else round(view.phi, 2),
        "logs_per_minute": None if rates is None else rates.get(view.record.node_id, 0),
    }


def _lines(view: NodeView, rates: dict[str, int] | None) -> dict[str, str]:
    from streaming.cli.terminal import ago
    from streaming.cli.times import shown

    record, rhythm = view.record, view.record.rhythm
    return {
        "node": record.node_id,
        "service": record.service,
        "kind": record.kind.value,
        "state": record.state.value + (" (stopped on purpose)" if record.clean_shutdown else ""),
        "since": shown(record.since_ms),
        "reason": record.reason,
        "until": shown(record.maintenance_until_ms) if record.maintenance_until_ms else "",
        "first seen": shown(record.first_seen_ms) if record.last_beat_ms else "never",
        "last heartbeat": _last(view),
        "interval": _interval(view),
        "longest silence": ago(rhythm.longest_ms) if rhythm.longest_ms else "",
        "phi": _phi(view),
        "through": record.accumulator or "",
        "clock": _skew(view),
        "process": record.instance_id or "",
        "duplicate": "two processes beat under this name" if record.duplicate else "",
        "inventory": "expected" if record.expected else "",
        "logs a minute": _rate(view, rates),
    }


def _print_table(views: list[NodeView], rates: dict[str, int] | None, state: Wanted) -> None:
    from rich.text import Text

    from streaming.cli.terminal import ago, one_line, one_line_table, printable, show

    if not views:
        none = "No nodes: none has registered or sent a heartbeat yet."
        print(none if state is Wanted.ALL else f"No node is {state.value.upper()}.")
        return
    now_ms = time.time_ns() // 1_000_000
    table = one_line_table(
        "node", "service", "state", "for", "phi", "last heartbeat", "interval", "through", "clock", "logs/min", "reason"
    )
    for view in views:
        record = view.record
        colour = "yellow" if record.clean_shutdown else COLOURS[record.state.value]
        table.add_row(
            printable(record.node_id),
            printable(record.service),
            Text(record.state.value, style=colour),
            ago(max(0, now_ms - record.since_ms)),
            _phi(view),
            _last(view),
            _interval(view),
            printable(record.accumulator or "-"),
            _skew(view),
            _rate(view, rates),
            one_line(record.reason + ("; two processes beat under this name" if record.duplicate else "")),
        )
    show(table)


def _phi(view: NodeView) -> str:
    if view.phi is None:
        return "-"
    return f"{view.phi:.1f}" if view.phi <= PHI_SHOWN else f">{PHI_SHOWN:.0f}"


def _last(view: NodeView) -> str:
    from streaming.cli.terminal import ago

    return "never" if view.silent_ms is None else f"{ago(view.silent_ms)} ago"


def _interval(view: NodeView) -> str:
    mean = view.record.mean_interval_ms
    return f"{mean / 1000:.1f} s" if mean else "-"


def _skew(view: NodeView) -> str:
    skew = view.record.skew_ms
    if skew is None:
        return "-"
    return "0.0 s" if abs(skew) < LEAST_SKEW_MS else f"{skew / 1000:+.1f} s"


def _rate(view: NodeView, rates: dict[str, int] | None) -> str:
    return "-" if rates is None else str(rates.get(view.record.node_id, 0))
