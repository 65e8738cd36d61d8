"""`vigil silence`: times in which nobody is told of some incidents."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from streaming.cli.orders import WAIT_S, Author, Wait, whoever

if TYPE_CHECKING:
    from streaming.alerting.messages import Silence
    from streaming.alerting.orders import Orders

silence_app = typer.Typer(
    help="Silence incidents for a time: they are kept and listed, and nobody is told.", no_args_is_help=True
)

Reason = Annotated[str, typer.Option(help="why, for the others")]
Length = Annotated[str | None, typer.Option("--for", help="how long: 30m, 2h, 1h30m, 7d")]
AsJson = Annotated[bool, typer.Option("--json", help="the silence as one JSON object")]


@silence_app.command("add")
def add(
    conditions: Annotated[list[str], typer.Argument(metavar="CONDITION", help="see below; all must hold")],
    length: Length = None,
    until: Annotated[str | None, typer.Option(help="until when: 2026-12-01T22:00Z")] = None,
    begins: Annotated[str | None, typer.Option("--from", help="from when (none: now): 30m from now, or a time")] = None,
    reason: Reason = "",
    author: Author = None,
    wait: Wait = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Silence all incidents that fit, those that are open and those to come.

    Example: vigil silence add 'service.name=payment' 'severity=~warning|error' --for 2h --reason "migration"

    \b
    NAME=VALUE   is this           NAME=~REGEXP  holds this regular expression (RE2; ^ and $ for the whole)
    NAME!=VALUE  is not this       NAME!~REGEXP  does not hold it
    Names: rule kind severity owner incident service.name service.node.name check worker, every field that the
    incident's rule groups by, and labels.NAME. One that an incident lacks is the empty text.
    """
    from streaming.alerting.muting.matchers import parse_matcher
    from streaming.alerting.orders import Orders
    from streaming.cli.times import coming_ms, seconds
    from streaming.settings import load_settings

    now_ms = time.time_ns() // 1_000_000
    try:
        matchers = [parse_matcher(condition) for condition in conditions]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="CONDITION") from error
    if (length is None) == (until is None):
        raise typer.BadParameter("give one of --for and --until", param_hint="--for")
    orders = Orders(load_settings(), wait)
    made = orders.silence(
        matchers,
        author=whoever(author),
        reason=reason,
        for_s=None if length is None else seconds(length),
        ends_ms=None if until is None else coming_ms(until, now_ms),
        starts_ms=None if begins is None else coming_ms(begins, now_ms),
    )
    _show_made(orders, made, is_obeyed=wait > 0, as_json=as_json)


@silence_app.command("incident")
def incident(
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="id of the incident, or its beginning")],
    length: Annotated[str, typer.Option("--for", help="how long: 30m, 2h, 1h30m, 7d")],
    reason: Reason = "",
    author: Author = None,
    wait: Wait = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Silence what one incident is about: its rule and group, also when it resolves and comes back.

    Example: vigil silence incident L7WRB3TS47 --for 1h --reason "known, mended on Monday"
    """
    from streaming.alerting.orders import Orders
    from streaming.cli.times import seconds
    from streaming.settings import load_settings

    orders = Orders(load_settings(), wait)
    made = orders.silence_incident(incident_id, author=whoever(author), reason=reason, for_s=seconds(length))
    _show_made(orders, made, is_obeyed=wait > 0, as_json=as_json)


@silence_app.command("list")
def list_silences(
    everything: Annotated[bool, typer.Option("--all", help="also those that were over less than a day ago")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON array, for programs")] = False,
) -> None:
    """List the silences that are in force and to come, by their start.

    Example: vigil silence list --all
    """
    import msgspec

    from streaming.alerting.orders import Orders
    from streaming.settings import load_settings

    now_ms = time.time_ns() // 1_000_000
    found = [one for one in Orders(load_settings()).silences() if everything or one.ends_ms > now_ms]
    if as_json:
        print(json.dumps([msgspec.to_builtins(one) for one in found], indent=2))
    elif found:
        _print_table(found, now_ms)
    else:
        print("No silences.")


@silence_app.command("end")
def end(
    silence_id: Annotated[str, typer.Argument(metavar="ID", help="id of the silence, or its beginning")],
    reason: Reason = "",
    author: Author = None,
    wait: Wait = WAIT_S,
) -> None:
    """End a silence now: what it muted and still goes on is told.

    Example: vigil silence end K3QX7M2PLA
    """
    from streaming.alerting.orders import Orders
    from streaming.settings import load_settings

    entry = Orders(load_settings(), wait).unsilence(silence_id, author=whoever(author), reason=reason)
    print(f"silence {entry.target} {'ended' if entry.outcome else 'is to end: ordered'}")


def _show_made(orders: Orders, made: Silence, *, is_obeyed: bool, as_json: bool) -> None:
    import msgspec

    from streaming.alerting.incidents.lifecycle import is_open
    from streaming.alerting.muting.matchers import Conditions
    from streaming.cli.times import shown

    if as_json:
        print(json.dumps(msgspec.to_builtins(made), indent=2))
        return
    fits = Conditions(made.matchers).fits
    number = sum(is_open(one) and fits(one) for one in orders.incidents())
    what = {0: "no open incident", 1: "1 open incident"}.get(number, f"{number} open incidents")
    begun = "" if is_obeyed else " ordered:"
    print(f"silence {made.silence_id}{begun} from {shown(made.starts_ms)} to {shown(made.ends_ms)}; it fits {what}")
    print(f"`vigil silence end {made.silence_id}` ends it")


def _print_table(found: list[Silence], now_ms: int) -> None:
    from streaming.alerting.muting.matchers import written
    from streaming.cli.terminal import ago, one_line, one_line_table, printable, show
    from streaming.cli.times import shown

    table = one_line_table("id", "state", "from", "to", "by", "conditions and reason")
    for one in found:
        if one.starts_ms > now_ms:
            state = f"in {ago(one.starts_ms - now_ms)}"
        elif one.ends_ms > now_ms:
            state = f"{ago(one.ends_ms - now_ms)} left"
        else:
            state = "over"
        reason = f" ({one.reason})" if one.reason else ""
        table.add_row(
            printable(one.silence_id),
            state,
            shown(one.starts_ms),
            shown(one.ends_ms),
            printable(one.author),
            one_line(written(one.matchers) + reason),
        )
    show(table)
