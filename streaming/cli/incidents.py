"""`vigil incidents`, `ack` and `resolve`: what is wrong now, and that somebody has taken it."""

from __future__ import annotations

import getpass
import json
import re
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.alerting.messages import Incident, Order
    from streaming.settings import Settings

incidents_app = typer.Typer(help="List incidents, or show one.", invoke_without_command=True)


class Wanted(StrEnum):
    """Which incidents to list."""

    OPEN = "open"
    RESOLVED = "resolved"
    ALL = "all"


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no length of time; write for example 30m, 4h or 2d")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


@incidents_app.callback()
def incidents(
    context: typer.Context,
    state: Annotated[Wanted, typer.Option(help="open (firing or acknowledged), resolved, or all")] = Wanted.OPEN,
    since: Annotated[str | None, typer.Option(help="only what changed in this time: 30m, 4h, 2d")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON array, for programs")] = False,
) -> None:
    """List incidents, the latest first. Resolved ones are kept until they can no longer reopen (10 minutes).

    Reads Kafka, so it works while Elasticsearch is down.

    Example: vigil incidents --state all --since 4h
    """
    if context.invoked_subcommand is not None:
        return
    import msgspec

    from streaming.alerting.incidents import is_open
    from streaming.alerting.state import read_incidents
    from streaming.settings import load_settings

    earliest = 0.0 if since is None else (time.time() - _seconds(since)) * 1000
    found = [
        incident
        for incident in read_incidents(load_settings())
        if incident.updated_ms >= earliest and (state is Wanted.ALL or is_open(incident) == (state is Wanted.OPEN))
    ]
    if as_json:
        print(json.dumps([msgspec.to_builtins(incident) for incident in found], indent=2))
    else:
        _print_table(found, state)


@incidents_app.command("show")
def show(
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="id of the incident, or its beginning")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for programs")] = False,
) -> None:
    """Show one incident with the log behind it and what was sent about it.

    Example: vigil incidents show L7WRB3TS47
    """
    import msgspec

    from streaming.alerting.receipts import read_receipts
    from streaming.settings import load_settings

    settings = load_settings()
    incident = _named(settings, incident_id)
    receipts = [r for r in read_receipts(settings) if r.incident_id == incident.incident_id]
    if as_json:
        print(json.dumps(msgspec.to_builtins(incident) | {"receipts": msgspec.to_builtins(receipts)}, indent=2))
        return
    from rich.console import Console

    from streaming.cli.terminal import printable

    sample, out = incident.sample, Console(highlight=False, soft_wrap=True)
    lines = {
        "incident": f"{incident.incident_id}  {incident.title}",
        "state": incident.state.value + (f" ({incident.reason})" if incident.reason else ""),
        "severity": incident.severity.value,
        "rule": incident.rule_id,
        "group": ", ".join(f"{name}={value}" for name, value in incident.group.items()),
        "count": str(incident.count),
        "opened": _time(incident.opened_ms),
        "first event": _time(incident.first_ms),
        "last event": _time(incident.last_ms),
        "log": sample.message,
        "error": sample.error_message or "",
        "service": sample.service,
        "node": sample.node_id,
        "trace": sample.trace_id or "",
        "log id": sample.log_id or "",
        "source": sample.source or "",
        "run book": incident.runbook or "",
    }
    for name, value in lines.items():
        if value:
            out.print(f"{name:<12}", printable(value), sep="")
    for receipt in receipts:
        out.print(f"{'sent':<12}{receipt.action.value} to {receipt.receiver} at {_time(receipt.sent_ms)}")


def ack(
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="id of the incident, or its beginning")],
    author: Annotated[str | None, typer.Option("--as", help="who acknowledges (default: you)")] = None,
    reason: Annotated[str, typer.Option(help="a word to the others")] = "",
) -> None:
    """Acknowledge an incident: it stays open, and everybody sees that somebody has taken it.

    Example: vigil ack L7WRB3TS47 --reason "restarting the database"
    """
    from streaming.alerting.messages import Order

    _order(Order.ACKNOWLEDGE, incident_id, author, reason)


def resolve(
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="id of the incident, or its beginning")],
    author: Annotated[str | None, typer.Option("--as", help="who resolves it (default: you)")] = None,
    reason: Annotated[str, typer.Option(help="what was done")] = "",
) -> None:
    """Resolve an incident by hand. If its cause goes on, it reopens.

    Example: vigil resolve L7WRB3TS47 --reason "node was taken out of service"
    """
    from streaming.alerting.messages import Order

    _order(Order.RESOLVE, incident_id, author, reason)


def _order(order: Order, incident_id: str, author: str | None, reason: str) -> None:
    from streaming.alerting.commands import send_command
    from streaming.alerting.messages import Command
    from streaming.settings import load_settings

    settings = load_settings()
    incident = _named(settings, incident_id)
    command = Command(
        order=order,
        author=author or getpass.getuser(),
        at_ms=time.time_ns() // 1_000_000,
        incident_id=incident.incident_id,
        reason=reason,
    )
    send_command(settings, command)
    print(f"{order.value}: {incident.incident_id}")


def _named(settings: Settings, incident_id: str) -> Incident:
    """The one incident whose id begins so.

    Raises:
        VigilError: there is none, or more than one.
    """
    from streaming.alerting.state import read_incidents
    from streaming.errors import VigilError

    found = [i for i in read_incidents(settings) if i.incident_id.startswith(incident_id.upper())]
    if len(found) != 1:
        what = "no incident" if not found else f"{len(found)} incidents"
        raise VigilError(f"{what} with an id that begins with {incident_id}; `vigil incidents --state all` lists them")
    return found[0]


def _print_table(found: list[Incident], state: Wanted) -> None:
    from streaming.cli.terminal import ago, one_line, one_line_table, show

    if not found:
        print("No incidents." if state is Wanted.ALL else f"No {state.value} incidents.")
        return
    now_ms = time.time() * 1000
    table = one_line_table("id", "severity", "state", "count", "opened", "last event", "title")
    for incident in found:
        table.add_row(
            incident.incident_id,
            incident.severity.value,
            incident.state.value,
            str(incident.count),
            ago(now_ms - incident.opened_ms) + " ago",
            ago(now_ms - incident.last_received_ms) + " ago",
            one_line(incident.title),
        )
    show(table)


def _time(at_ms: int) -> str:
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms after 1970"
