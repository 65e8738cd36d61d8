"""`vigil ack`, `unack`, `resolve` and `audit`: orders about incidents, and who gave which."""

from __future__ import annotations

import getpass
import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming.alerting.messages import AuditEntry, Order

Ids = Annotated[list[str], typer.Argument(metavar="ID", help="ids of incidents, or their beginnings")]
Author = Annotated[str | None, typer.Option("--as", help="who orders it (default: you)")]
Wait = Annotated[float, typer.Option(min=0, help="seconds to wait for what came of it; 0: until Kafka has it")]
AsJson = Annotated[bool, typer.Option("--json", help="what the audit says of each, one JSON array")]

WAIT_S = 5.0

NOT_YET = (
    "ordered, but the manager has not obeyed within {wait:g} s; it will when it works again. `vigil status` shows it"
)


def ack(
    incident_ids: Ids,
    author: Author = None,
    reason: Annotated[str, typer.Option(help="a word to the others")] = "",
    wait: Wait = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Acknowledge incidents: they stay open, are not told again, and everybody sees that somebody has taken them.

    Ends with 1 where nothing was done, and with 75 where the manager has not obeyed yet.

    Example: vigil ack L7WRB3TS47 Q2MAR5XK3B --reason "restarting the database"
    """
    from streaming.alerting.messages import Order

    _order(Order.ACKNOWLEDGE, "acknowledged", incident_ids, author, reason, wait, as_json=as_json)


def unack(
    incident_ids: Ids,
    author: Author = None,
    reason: Annotated[str, typer.Option(help="a word to the others")] = "",
    wait: Wait = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Give acknowledged incidents back: they fire again, and their escalation begins anew.

    Example: vigil unack L7WRB3TS47 --reason "needs somebody who knows the database"
    """
    from streaming.alerting.messages import Order

    _order(Order.UNACKNOWLEDGE, "given back", incident_ids, author, reason, wait, as_json=as_json)


def resolve(
    incident_ids: Ids,
    author: Author = None,
    reason: Annotated[str, typer.Option(help="what was done")] = "",
    wait: Wait = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Resolve incidents by hand. If the cause of one goes on, it reopens.

    Example: vigil resolve L7WRB3TS47 --reason "node was taken out of service"
    """
    from streaming.alerting.messages import Order

    _order(Order.RESOLVE, "resolved", incident_ids, author, reason, wait, as_json=as_json)


def audit(
    since: Annotated[str, typer.Option(help="from then on: 30m, 24h, 7d ago, or a date")] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line, for programs")] = False,
) -> None:
    """Who ordered what, and what came of it, the newest last. Kafka keeps 90 days of it.

    Example: vigil audit --since 7d
    """
    import msgspec

    from streaming.alerting.orders import Orders
    from streaming.cli.times import past_ms
    from streaming.settings import load_settings

    found = Orders(load_settings()).audit(past_ms(since, time.time_ns() // 1_000_000))
    if as_json:
        for entry in found:
            print(json.dumps(msgspec.to_builtins(entry)))
    elif found:
        _print_audit(found)
    else:
        print(f"No orders since {since}.", file=sys.stderr)


def whoever(author: str | None) -> str:
    """Who orders: as told, else who is logged in."""
    return author or getpass.getuser()


def _order(
    order: Order, done: str, incident_ids: Sequence[str], author: str | None, reason: str, wait: float, *, as_json: bool
) -> None:
    import msgspec

    from streaming.alerting.orders import Orders
    from streaming.settings import load_settings

    orders = Orders(load_settings(), wait)
    entries = orders.all_of(order, incident_ids, author=whoever(author), reason=reason)
    if as_json:
        print(json.dumps([msgspec.to_builtins(entry) for entry in entries], indent=2))
    else:
        for entry in entries:
            _say(entry, done, wait)
    if code := max(_code(entry, wait) for entry in entries):
        raise typer.Exit(code)


def _say(entry: AuditEntry, done: str, wait: float) -> None:
    if _code(entry, wait) == 0:
        print(f"{entry.target} {done if entry.outcome else 'ordered'}")
    elif entry.outcome:
        print(f"{entry.target}: nothing done: {entry.outcome}", file=sys.stderr)
    else:
        print(f"{entry.target}: {NOT_YET.format(wait=wait)}", file=sys.stderr)


def _code(entry: AuditEntry, wait: float) -> int:
    from streaming.alerting.messages import DONE
    from streaming.alerting.orders import NotYetObeyed

    if entry.outcome == DONE:
        return 0
    return 1 if entry.outcome else NotYetObeyed.exit_code if wait else 0


def _print_audit(found: Sequence[AuditEntry]) -> None:
    from streaming.cli.terminal import one_line, one_line_table, printable, show
    from streaming.cli.times import shown

    table = one_line_table("when", "who", "order", "of", "outcome", "reason")
    for entry in found:
        table.add_row(
            shown(entry.at_ms),
            printable(entry.author),
            entry.order.value,
            printable(entry.target),
            printable(entry.outcome),
            one_line(entry.reason + _about(entry)),
        )
    show(table)


def _about(entry: AuditEntry) -> str:
    """The silence that an order was about."""
    from streaming.alerting.muting.matchers import written
    from streaming.cli.times import shown

    silence = entry.silence
    if silence is None:
        return ""
    times = f"{shown(silence.starts_ms)} to {shown(silence.ends_ms)}"
    return f"{' ' if entry.reason else ''}[{written(silence.matchers)}, {times}]"
