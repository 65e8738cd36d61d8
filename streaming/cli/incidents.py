"""`vigil incidents`: what is wrong now."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from streaming.cli.times import exact

if TYPE_CHECKING:
    from rich.console import Console

    from streaming.alerting.messages import Incident, IncidentEvent

incidents_app = typer.Typer(help="List incidents, or show one.", invoke_without_command=True)


class Wanted(StrEnum):
    """Which incidents to list."""

    OPEN = "open"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    PENDING = "pending"
    RESOLVED = "resolved"
    ALL = "all"


@incidents_app.callback()
def incidents(
    context: typer.Context,
    state: Annotated[
        Wanted, typer.Option(help="open: all but resolved ones, so also silenced and pending ones")
    ] = Wanted.OPEN,
    rule: Annotated[str, typer.Option(help="only of these rules, such as error-log,fatal-log")] = "",
    service: Annotated[str, typer.Option(help="only of these services")] = "",
    severity: Annotated[str, typer.Option(help="only of these severities, such as error,critical")] = "",
    since: Annotated[str | None, typer.Option(help="only what changed since then: 30m, 4h, 2d ago, or a date")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON array, for programs")] = False,
) -> None:
    """List incidents, the latest first. Resolved ones are kept until they can no longer reopen (10 minutes).

    Reads Kafka, so it works while Elasticsearch is down.

    Example: vigil incidents --severity error,critical --since 4h

    \b
    pending       goes on, but not yet for as long as its rule asks; nobody was told
    firing        people were told
    acknowledged  somebody has taken it
    silenced      goes on, and nobody is told: "muted by" says why
    resolved      it is over
    """
    if context.invoked_subcommand is not None:
        return
    import msgspec

    from streaming.alerting.state import read_incidents
    from streaming.cli.times import past_ms
    from streaming.settings import load_settings

    earliest = None if since is None else past_ms(since, time.time_ns() // 1_000_000)
    asked = {"rule": _words(rule), "service.name": _words(service), "severity": _severities(severity)}
    found = [i for i in read_incidents(load_settings()) if _is_wanted(i, state, earliest, asked)]
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

    from streaming.alerting.explaining.report import notes_of
    from streaming.alerting.orders import Orders
    from streaming.alerting.receipts import read_receipts
    from streaming.settings import load_settings

    settings = load_settings()
    incident = Orders(settings).incident(incident_id)
    receipts = [r for r in read_receipts(settings) if r.incident_id == incident.incident_id]
    notes = notes_of(settings, incident)
    if as_json:
        more = {"receipts": receipts, "annotations": [{"at_ms": e.at_ms, "note": e.note} for e in notes]}
        print(json.dumps(msgspec.to_builtins(incident) | msgspec.to_builtins(more), indent=2))
        return
    from rich.console import Console

    from streaming.cli.terminal import printable

    out = Console(highlight=False, soft_wrap=True)
    for name, value in _told(incident).items():
        if value:
            out.print(f"{name:<14}", printable(value), sep="")
    for event in notes:
        show_note(out, event)
    for receipt in receipts:
        out.print(f"{'sent':<14}{receipt.action.value} to {receipt.receiver} at {exact(receipt.sent_ms)}")


@incidents_app.command("note")
def note(
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="id of the incident, or its beginning")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="the note; - reads it from standard input")],
    author: Annotated[str | None, typer.Option("--as", help="who writes it (default: you)")] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="seconds to wait for what came of it; 0: until Kafka has it")
    ] = 5.0,
) -> None:
    """Attach a note to an incident: it goes into its history and, as a reply, into its thread in Slack.

    Lines that begin with four blanks are shown as they stand, as logs are. `vigil incidents show` and `vigil why` list
    the notes.

    Example: vigil incidents note L7WRB3TS47 "the disk of node-3 is full, moving its logs away"
    """
    import sys

    from streaming.alerting.orders import Orders
    from streaming.cli.orders import whoever
    from streaming.settings import load_settings

    said = sys.stdin.read() if text == "-" else text
    entry = Orders(load_settings(), wait).annotate(incident_id, said, author=whoever(author))
    print(f"{entry.target} {'annotated' if entry.outcome else 'ordered'}")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _severities(text: str) -> tuple[str, ...]:
    from streaming.alerting.messages import Severity

    words = _words(text)
    for word in words:
        if word not in list(Severity):
            raise typer.BadParameter(f"{word!r} is no severity; possible: {', '.join(Severity)}")
    return words


def _is_wanted(incident: Incident, state: Wanted, earliest: int | None, asked: dict[str, tuple[str, ...]]) -> bool:
    from streaming.alerting.incidents.lifecycle import is_open
    from streaming.alerting.rules.incident_conditions import attribute

    is_one = {Wanted.ALL: True, Wanted.OPEN: is_open(incident)}.get(state, incident.state.value == state.value)
    return (
        is_one
        and (earliest is None or incident.updated_ms >= earliest)
        and all(not words or attribute(incident, name) in words for name, words in asked.items())
    )


def _told(incident: Incident) -> dict[str, str]:
    """All that there is to say of one, by what it is; what it has not is empty."""
    sample, by = incident.sample, incident.acknowledged_by
    return {
        "incident": f"{incident.incident_id}  {incident.title}",
        "state": incident.state.value + (f" ({incident.reason})" if incident.reason else ""),
        "muted by": incident.muted_by,
        "acknowledged": f"by {by} at {exact(incident.acknowledged_ms or 0)}" if by else "",
        "severity": incident.severity.value,
        "owner": incident.owner,
        "rule": incident.rule_id,
        "group": ", ".join(f"{name}={value}" for name, value in incident.group.items()),
        "labels": ", ".join(f"{name}={value}" for name, value in incident.labels.items()),
        "count": str(incident.count),
        "opened": exact(incident.opened_ms),
        "first event": exact(incident.first_ms),
        "last event": exact(incident.last_ms),
        "log": sample.message,
        "error": sample.error_message or "",
        "service": sample.service,
        "node": sample.node_id,
        "trace": sample.trace_id or "",
        "log id": sample.log_id or "",
        "source": sample.source or "",
        "run book": incident.runbook or "",
    }


def show_note(out: Console, event: IncidentEvent, indent: int = 0) -> None:
    """A note: who wrote it and when, and its lines, none of which can look like a line of ours: they stand further
    in."""
    from streaming.cli.terminal import printable

    if event.note is None:
        return
    out.print(" " * indent, f"{'note':<14}", printable(f"by {event.note.author} at {exact(event.at_ms)}"), sep="")
    for line in event.note.text.splitlines():
        out.print(" " * (indent + 14), printable(line), sep="")


def _print_table(found: list[Incident], state: Wanted) -> None:
    from streaming.cli.terminal import ago, one_line, one_line_table, printable, show

    if not found:
        print("No incidents." if state is Wanted.ALL else f"No {state.value} incidents.")
        return
    now_ms = time.time() * 1000
    # Columns that would be empty leave their width to the title.
    more = {
        "owner": [incident.owner for incident in found],
        "by": [incident.acknowledged_by or "" for incident in found],
        "muted by": [incident.muted_by for incident in found],
    }
    more = {name: values for name, values in more.items() if any(values)}
    table = one_line_table("id", "severity", "state", "count", "opened", "last event", *more, "title")
    for number, incident in enumerate(found):
        table.add_row(
            incident.incident_id,
            incident.severity.value,
            incident.state.value,
            str(incident.count),
            ago(now_ms - incident.opened_ms) + " ago",
            ago(now_ms - incident.last_received_ms) + " ago",
            *(printable(values[number]) for values in more.values()),
            one_line(incident.title),
        )
    show(table)
