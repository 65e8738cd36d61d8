"""`vigil why`: why an incident is there and who was told, or what became of one log."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from streaming.cli.incidents import show_note
from streaming.cli.times import exact

if TYPE_CHECKING:
    from rich.console import Console

    from streaming.alerting.explaining.conditions import Verdict
    from streaming.alerting.explaining.report import IncidentStory, LogStory
    from streaming.alerting.stored.documents import StoredLog
    from streaming.settings import Settings

NEAREST = 5
"""Rules shown that did not fit, those with the fewest failed conditions first."""
KAFKA_HOURS = 6
"""How far back Kafka is searched for a log while Elasticsearch does not answer."""


def why(
    name: Annotated[str, typer.Argument(metavar="ID", help="id of an incident (or its beginning), or a log's log_id")],
    every: Annotated[bool, typer.Option("--all", help="of a log: every rule, not only the nearest")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for programs")] = False,
) -> None:
    """Explain an incident: what opened it, every change, who was told when, and which orders were given.

    Explain a log: which rules it fits, and of the others which condition failed with which value. The log is put again
    to the rules that were in force when it was received.

    Example: vigil why L7WRB3TS47

    Example: vigil why 3f1c9a7e-log-id --all
    """
    from streaming.alerting.explaining.report import incidents_named, story_of_incident, story_of_log
    from streaming.errors import VigilError
    from streaming.settings import load_settings

    settings = load_settings()
    incidents = incidents_named(settings, name.upper())
    if len(incidents) > 1:
        ids = ", ".join(sorted(i.incident_id for i in incidents)[:5])
        raise VigilError(f"{len(incidents)} incidents begin with {name}: {ids}; give more of the id")
    if incidents:
        story = story_of_incident(settings, incidents[0])
        _print_json(story) if as_json else _show_incident(story)
        return
    logs = _logs(settings, name)
    if not logs:
        raise VigilError(
            f"neither an incident nor a log is named {name}; `vigil incidents --state all`, `vigil search`"
        )
    stories = [story_of_log(settings, log) for log in logs]
    if as_json:
        _print_json(stories)
        return
    for story_of in stories:
        _show_log(story_of, every=every)


def _logs(settings: Settings, log_id: str) -> list[StoredLog]:
    import sys

    from streaming.alerting.stored.documents import documents_of_log
    from streaming.alerting.stored.records import records_of_log
    from streaming.errors import Unavailable

    try:
        found = documents_of_log(settings, log_id)
    except Unavailable as error:
        print(f"{error}\nsearching the last {KAFKA_HOURS} hours in Kafka", file=sys.stderr)
        found = []
    return found or records_of_log(settings, log_id, int(time.time() * 1000) - KAFKA_HOURS * 3_600_000)


def _print_json(story: object) -> None:
    from dataclasses import asdict, is_dataclass

    import msgspec

    stories = story if isinstance(story, list) else [story]
    plain = [
        msgspec.to_builtins(asdict(one)) if is_dataclass(one) and not isinstance(one, type) else one for one in stories
    ]
    print(json.dumps(plain if isinstance(story, list) else plain[0], indent=2))


# ------------------------------------------------------------------------------------------- an incident


def _show_incident(story: IncidentStory) -> None:
    from streaming.cli.terminal import printable

    out, incident = _console(), story.incident
    out.print(printable(f"{incident.incident_id}  {incident.title}"), style="bold")
    group = ", ".join(f"{name}={value}" for name, value in incident.group.items()) or "(none)"
    _line(out, "rule", f"{incident.rule_id} ({_version(story.rules_version, story.rules_certain)})")
    _line(out, "group", group)
    _line(out, "state", incident.state.value + (f": {incident.reason}" if incident.reason else ""))
    _line(out, "muted by", incident.muted_by)
    events = "1 event" if incident.count == 1 else f"{incident.count} events"
    _line(out, "counted", f"{events} from {exact(incident.first_ms)} to {exact(incident.last_ms)}")
    out.print()
    out.print("What opened it", style="bold")
    sample = story.opening
    _line(out, "log", sample.message)
    _line(out, "from", f"{sample.service} on {sample.node_id}, log id {sample.log_id or '-'}, {sample.source or '-'}")
    if story.verdict is not None:
        _show_checks(out, story.verdict)
    out.print()
    out.print("What happened", style="bold")
    for at_ms, who, what in sorted(_happenings(story), key=lambda entry: entry[0]):
        out.print(f"  {exact(at_ms)}  ", printable(f"{who:<22} {what}"), sep="")
    noted = [event for event in story.events if event.note is not None]
    if noted:
        out.print()
        out.print("Notes", style="bold")
    for event in noted:
        show_note(out, event, indent=2)


def _happenings(story: IncidentStory) -> list[tuple[int, str, str]]:
    from streaming.alerting.messages import DELIVERED

    found = []
    for event in story.events:
        count = f"{event.incident.count} counted"
        reason = f": {event.reason}" if event.reason else ""
        found.append((event.at_ms, event.actor, f"{event.happening.value}{reason} ({count})"))
    for entry in story.orders:
        reason = f" ({entry.reason})" if entry.reason else ""
        found.append((entry.at_ms, entry.author, f"ordered {entry.order.value}{reason}: {entry.outcome}"))
    for told in story.notifications:
        to = ", ".join(told.receivers) or "the default route"
        mentions = f", calling {', '.join(told.mentions)}" if told.mentions else ""
        found.append((told.created_ms, "manager", f"notification {told.action.value} to {to}{mentions}"))
    for attempt in story.attempts:
        arrived = attempt.outcome == DELIVERED
        place = " ".join(part for part in (attempt.channel, attempt.message_id) if part) if arrived else ""
        what = f"{attempt.action.value}, version {attempt.version}: {attempt.outcome}" + (
            f" as {place}" if place else ""
        )
        found.append((attempt.at_ms, attempt.receiver, what))
    if not story.attempts:
        for receipt in story.receipts:
            what = f"{receipt.action.value}, version {receipt.version}: {DELIVERED}"
            found.append((receipt.sent_ms, receipt.receiver, what))
    return found


# ------------------------------------------------------------------------------------------------ a log


def _show_log(story: LogStory, *, every: bool) -> None:
    from streaming.cli.terminal import printable

    out, event = _console(), story.log.event
    out.print(printable(f"{event.level.value} {event.service or '-'}: {event.message}"), style="bold")
    _line(out, "log id", f"{event.log_id or '-'}, {story.log.source or '-'}")
    _line(out, "received", exact(story.log.received_ms))
    _line(out, "its time", exact(event.timestamp_ns // 1_000_000))
    _line(out, "rules", _version(story.rules_version, story.rules_certain))
    fitting = [verdict for verdict in story.verdicts if verdict.fits]
    others = [verdict for verdict in story.verdicts if not verdict.fits]
    out.print()
    out.print(f"Fits {len(fitting)} of {len(story.verdicts)} rules about logs", style="bold")
    for verdict in fitting:
        _show_verdict(out, verdict)
        _show_incidents_of(out, story, verdict)
    shown = others if every else others[:NEAREST]
    if shown:
        out.print()
        out.print("Does not fit" + ("" if len(shown) == len(others) else ", the nearest"), style="bold")
    for verdict in shown:
        _show_verdict(out, verdict)
    if len(shown) < len(others):
        out.print(f"  {len(others) - len(shown)} more; --all shows them")


def _show_incidents_of(out: Console, story: LogStory, verdict: Verdict) -> None:
    from streaming.alerting.messages import incident_key

    key = incident_key(verdict.rule_id, verdict.group)
    found = [incident for incident in story.incidents if incident.incident_key == key]
    for incident in found:
        muted = f", muted by {incident.muted_by}" if incident.muted_by else ""
        _line(
            out,
            "  incident",
            f"{incident.incident_id} ({incident.state.value}{muted}); vigil why {incident.incident_id}",
        )
    if not found:
        _line(out, "  incident", "none of its group was open then, or its history is no longer kept")


def _show_verdict(out: Console, verdict: Verdict) -> None:
    from streaming.cli.terminal import printable

    out.print("  ", printable(f"{verdict.rule_id} ({verdict.kind}) {verdict.effect}".rstrip()), sep="")
    _show_checks(out, verdict)


def _show_checks(out: Console, verdict: Verdict) -> None:
    from rich.text import Text

    from streaming.cli.terminal import printable

    for check in verdict.checks:
        mark = Text("yes ", style="green") if check.holds else Text("no  ", style="bold red")
        out.print("    ", mark, printable(f"{check.of} {check.asked}"), printable(f"   it is {check.value!r}"), sep="")


# ------------------------------------------------------------------------------------------------ shared


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def _line(out: Console, name: str, value: str) -> None:
    from streaming.cli.terminal import printable

    if value:
        out.print(f"  {name:<10}", printable(value), sep="")


def _version(version: str, certain: bool) -> str:
    if not version:
        return "no rule set is kept"
    return f"rule set {version}" + ("" if certain else ", in force now; which one was then is no longer known")
