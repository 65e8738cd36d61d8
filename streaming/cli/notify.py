"""`vigil notify`: tries the receivers of the rule files, without Kafka and without any incident."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming.alerting.messages import Action, Incident, Receipt, Severity
    from streaming.alerting.receivers import Wanted
    from streaming.alerting.receivers.base import Delivered, Receiver, Undelivered
    from streaming.alerting.rules.ruleset import RuleSet
    from streaming.errors import VigilError

TEST_RULE = "vigil-notify-test"

notify_app = typer.Typer(help="List receivers of notifications, and try them.", no_args_is_help=True)


@notify_app.command("list")
def list_receivers(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON array, for programs")] = False,
) -> None:
    """List the receivers, where they write, which routes use them, and whether their secrets can be read.

    Example: vigil notify list
    """
    from streaming.alerting.receivers import make_receiver, wanted_receivers
    from streaming.alerting.routes import default_receiver
    from streaming.alerting.rules.loading import load_rules
    from streaming.cli.terminal import one_line, one_line_table, printable, show
    from streaming.errors import ConfigError
    from streaming.settings import load_settings

    settings = load_settings()
    rules = load_rules(settings.rules_path)
    rows = []
    for name, wanted in wanted_receivers(rules, settings).items():
        fault = ""
        try:
            make_receiver(wanted, settings)
        except ConfigError as error:
            fault = str(error)
        row: dict[str, str | list[str]] = {"name": name, "kind": _kind(wanted), "where": _where(wanted)}
        rows.append(row | {"used_by": _users(name, rules, default_receiver(settings)), "fault": fault})
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = one_line_table("RECEIVER", "KIND", "WHERE", "USED BY", "READY")
    for row in rows:
        used = ", ".join(row["used_by"]) or "-"
        ready = str(row["fault"]) or "yes"
        cells = [printable(str(text)) for text in (row["name"], row["kind"], row["where"], used)]
        table.add_row(*cells, one_line(ready))
    show(table)


@notify_app.command("test")
def try_receiver(
    receiver: Annotated[str, typer.Argument(help="name of the receiver, as `vigil notify list` shows it")],
    severity: Annotated[str, typer.Option(help="info, warning, error or critical")] = "info",
    resolve: Annotated[bool, typer.Option(help="resolve it at once; otherwise close it at the receiver")] = True,
) -> None:
    """Open a marked test incident at a receiver, and resolve it. Whoever reads it there is told, and nobody else.

    Ends with 78 where the configuration must be corrected, with 69 where the receiver does not answer.

    Example: vigil notify test pager
    """
    import time

    from streaming.alerting.messages import Action, Severity
    from streaming.alerting.receivers import make_receiver, wanted_receivers
    from streaming.alerting.rules.faults import nearest
    from streaming.alerting.rules.loading import load_rules
    from streaming.errors import ConfigError
    from streaming.settings import load_settings

    if severity not in list(Severity):
        raise ConfigError(f"{severity!r} is no severity", field="--severity", remedy=f"One of {', '.join(Severity)}")
    settings = load_settings()
    receivers = wanted_receivers(load_rules(settings.rules_path), settings)
    if receiver not in receivers:
        raise ConfigError(f"there is no receiver {receiver!r}", remedy=nearest(receiver, list(receivers)))
    made = make_receiver(receivers[receiver], settings)
    print(f"{receiver}: {_kind(receivers[receiver])}, {_where(receivers[receiver])}")
    _say("check", receiver, lambda: made.check())
    incident = _test_incident(receiver, Severity(severity), time.time_ns() // 1_000_000)
    opened = _tell(made, Action.OPEN, incident, None)
    if resolve:
        _tell(made, Action.RESOLVE, _resolved(incident), opened)


def _tell(made: Receiver, action: Action, incident: Incident, receipt: Receipt | None) -> Receipt:
    from streaming.alerting.messages import Notification, Receipt

    notification = Notification(action=action, incident=incident, created_ms=incident.updated_ms)
    delivered = _say(action.value, made.name, lambda: made.deliver(notification, receipt, False))
    assert delivered is not None
    return Receipt(
        incident_id=incident.incident_id,
        receiver=made.name,
        version=incident.version,
        action=action,
        rule_id=incident.rule_id,
        severity=incident.severity,
        title=incident.title,
        sent_ms=incident.updated_ms,
        message_id=delivered.message_id,
        channel=delivered.channel,
        state=incident.state,
    )


def _say(what: str, receiver: str, call: Callable[[], Delivered | None]) -> Delivered | None:
    """Calls, and prints how it went and how long it took.

    Raises:
        VigilError: it did not arrive, or nobody knows.
    """
    import time

    from streaming.alerting.receivers.base import Undelivered
    from streaming.alerting.text import printable

    began = time.monotonic()
    try:
        delivered = call()
    except Undelivered as failure:
        raise _failed(what, receiver, failure) from failure
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    names = [] if delivered is None else [n for n in (delivered.message_id, delivered.channel) if n]
    print(printable(", ".join([f"{what:<8} good", took, *names])))
    return delivered


def _failed(what: str, receiver: str, failure: Undelivered) -> VigilError:
    from streaming.alerting.text import printable
    from streaming.errors import ConfigError, Unavailable

    reason = f"receiver {receiver}: {what}: {printable(str(failure))}"
    if failure.misconfigured:
        return ConfigError(reason, remedy="Correct its entry in the rule files or its secret; see docs/receivers.md")
    if failure.unknown:
        return Unavailable(f"{reason}. Nobody knows whether it arrived: look there before you try again")
    asks = "" if failure.wait_s is None else f". It asks to wait {failure.wait_s:g} s"
    return Unavailable(f"{reason}{asks}")


def _test_incident(receiver: str, severity: Severity, now_ms: int) -> Incident:
    """One that says of itself that it is none. Its id is new each time, so that no receiver takes it for an old one."""
    import base64
    import secrets
    import socket

    from streaming.alerting.messages import Incident, IncidentState, Sample
    from streaming.events.model import Level

    text = f"Somebody tried `vigil notify test {receiver}` on {socket.gethostname()}. Nothing is broken; do nothing."
    return Incident(
        incident_id="TEST" + base64.b32encode(secrets.token_bytes(5)).decode()[:6],
        incident_key=f"{TEST_RULE}|receiver={receiver}",
        rule_id=TEST_RULE,
        group={"receiver": receiver},
        severity=severity,
        title=f"TEST, no incident: Vigil can tell {receiver}",
        state=IncidentState.FIRING,
        version=1,
        count=1,
        opened_ms=now_ms,
        first_ms=now_ms,
        last_ms=now_ms,
        updated_ms=now_ms,
        last_received_ms=now_ms,
        firing_since_ms=now_ms,
        sample=Sample(
            timestamp_ms=now_ms,
            level=Level.INFO,
            message=text,
            service="vigil-notify-test",
            node_id=socket.gethostname(),
            received_ms=now_ms,
        ),
        resolve_after_s=None,
        labels={"test": "true"},
        text=text,
    )


def _resolved(incident: Incident) -> Incident:
    import msgspec

    from streaming.alerting.messages import IncidentState

    return msgspec.structs.replace(
        incident,
        state=IncidentState.RESOLVED,
        version=incident.version + 1,
        resolved_ms=incident.updated_ms,
        reason="the test is over",
    )


def _kind(wanted: Wanted) -> str:
    return wanted.name if wanted.config is None else wanted.config.kind


def _where(wanted: Wanted) -> str:
    """Where it writes, as much of it as is no secret."""
    from pydantic import SecretStr

    from streaming.alerting.rules import routes

    config = wanted.config
    match config:
        case routes.SlackReceiver():
            return config.channel
        case routes.EmailReceiver():
            return f"{config.host}:{config.port} to {', '.join(config.to)}"
        case routes.WebhookReceiver() | routes.AlertmanagerReceiver() | routes.PagerDutyReceiver():
            if isinstance(config.url, routes.Secret):
                return f"address in {config.url.env or config.url.file}"
            from streaming.alerting.receivers.http_post import Endpoint

            return Endpoint(SecretStr(config.url)).host
    return "standard output of the notifier" if wanted.name == "console" else "nobody"


def _users(name: str, rules: RuleSet, default: str) -> list[str]:
    """The routes that tell it, as one of theirs, as a fallback or when they escalate; the dead man's switch. Where no
    file has a route `default`, there is one to the receiver `default`."""
    from streaming.alerting.routes import CANARY, DEFAULT

    built_in = {CANARY: CANARY} if all(route.name != CANARY for route in rules.routes) else {}
    if all(route.name != DEFAULT for route in rules.routes):
        built_in[default] = DEFAULT
    used = [built_in[name]] if name in built_in else []
    for route in rules.routes:
        if name in route.receivers:
            used.append(route.name)
        elif name in route.fallback:
            used.append(f"{route.name} (fallback)")
        elif any(name in step.to for step in route.escalate):
            used.append(f"{route.name} (escalation)")
    if rules.dead_man and rules.dead_man.receiver == name:
        used.append("dead_man")
    return used
