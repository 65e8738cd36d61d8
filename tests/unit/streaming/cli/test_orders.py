"""`vigil ack`, `silence`, `audit` and `incidents`, over an alert manager without Kafka."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
import typer
from typer.testing import CliRunner, Result

from streaming.alerting import orders as orders_module
from streaming.alerting import state
from streaming.alerting.messages import AuditEntry, Command, Incident, Order, Silence
from streaming.alerting.orders import InvalidSilence, NothingDone, NotYetObeyed, Orders, UnknownIncident, UnknownSilence
from streaming.alerting.rules.ruleset import RuleSet
from streaming.cli.incidents import incidents_app
from streaming.cli.orders import ack, audit, resolve, unack
from streaming.cli.silences import silence_app
from streaming.settings import Settings
from tests.support.alert_office import Office

NOW_S = 1_800_000_000.0


class Desk:
    """Stands in for Kafka and the manager: an office that obeys at once, or not at all."""

    def __init__(self) -> None:
        self.office = Office(RuleSet(), now=round(NOW_S * 1000))
        self.works = True
        self.seen: list[Command] = []

    def obeyed(self, _: Settings, commands: Sequence[Command], __: float) -> dict[str, AuditEntry]:
        self.sent(_, commands)
        return {entry.order_id: entry for entry in self.office.audit}

    def sent(self, _: Settings, commands: Sequence[Command]) -> None:
        self.seen += commands
        for command in commands if self.works else ():
            self.office.take(command)

    def incidents(self, _: Settings) -> list[Incident]:
        return list(self.office.desk.book.by_key.values())

    def silences(self, _: Settings, name: str) -> dict[bytes, bytes]:
        return self.office.kept[name]

    def audit(self, _: Settings, since_ms: int) -> list[AuditEntry]:
        return [entry for entry in self.office.audit if entry.at_ms >= since_ms]

    def id_of(self, rule: str) -> str:
        return self.office.incident(rule).incident_id


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    stand_in = Desk()
    monkeypatch.setenv("VIGIL_CONFIG", "/dev/null")
    monkeypatch.setattr(orders_module, "obeyed", stand_in.obeyed)
    monkeypatch.setattr(orders_module, "send_commands", stand_in.sent)
    monkeypatch.setattr(orders_module, "read_incidents", stand_in.incidents)
    monkeypatch.setattr(orders_module, "read_audit", stand_in.audit)
    monkeypatch.setattr(orders_module, "read_all", stand_in.silences)
    monkeypatch.setattr(state, "read_incidents", stand_in.incidents)
    monkeypatch.setattr("time.time", lambda: NOW_S)
    monkeypatch.setattr("time.time_ns", lambda: round(NOW_S * 1e9))
    stand_in.office.candidate("log", quiet_s=60)
    return stand_in


APP = typer.Typer()
for command in (ack, unack, resolve, audit):
    APP.command()(command)
APP.add_typer(incidents_app, name="incidents")
APP.add_typer(silence_app, name="silence")


def vigil(*arguments: str) -> Result:
    """These commands, without the joint handling of errors in `infra/cli.py`."""
    return CliRunner().invoke(APP, list(arguments))


def unframed(result: Result) -> str:
    """Usage errors stand in a frame."""
    return " ".join(result.stderr.replace("│", " ").split())


def test_ack_says_what_came_of_it(desk: Desk) -> None:
    found = desk.id_of("log")
    done = vigil("ack", found[:5], "--as", "ann", "--reason", "on it")
    assert (done.exit_code, done.stdout) == (0, f"{found} acknowledged\n")
    again = vigil("ack", found, "--as", "bob")
    assert (again.exit_code, again.stderr) == (1, f"{found}: nothing done: it is acknowledged\n")
    assert vigil("unack", found).stdout == f"{found} given back\n"
    assert vigil("resolve", found).stdout == f"{found} resolved\n"
    assert [entry.author for entry in desk.office.audit][:2] == ["ann", "bob"]


def test_several_are_ordered_at_once_and_the_worst_decides_how_it_ends(desk: Desk) -> None:
    desk.office.candidate("other")
    ids = [desk.id_of("log"), desk.id_of("other")]
    vigil("resolve", ids[0])
    both = vigil("ack", *ids, "--json")
    assert both.exit_code == 1
    assert [entry["outcome"] for entry in json.loads(both.stdout)] == ["it is resolved", "done"]


def test_without_a_manager_the_order_waits_and_says_so(desk: Desk) -> None:
    desk.works = False
    done = vigil("ack", desk.id_of("log"))
    assert done.exit_code == 75
    assert "the manager has not obeyed within 5 s" in done.stderr
    assert vigil("ack", desk.id_of("log"), "--wait", "0").stdout == f"{desk.id_of('log')} ordered\n"
    assert [command.order for command in desk.seen] == [Order.ACKNOWLEDGE] * 2


def test_an_unknown_id_orders_nothing(desk: Desk) -> None:
    failed = vigil("ack", desk.id_of("log")[:4], "ZZZ")
    assert isinstance(failed.exception, UnknownIncident)
    assert "no incident with an id that begins with ZZZ; `vigil incidents --state all`" in str(failed.exception)
    assert desk.seen == []


def test_a_silence_is_made_listed_and_ended(desk: Desk) -> None:
    made = vigil("silence", "add", "service.name=s", "severity=~warning|error", "--for", "2h", "--reason", "move")
    assert made.exit_code == 0, made.output
    assert "it fits 1 open incident\n" in made.stdout
    (silence,) = Orders(Settings()).silences()
    assert silence.ends_ms - silence.starts_ms == 7_200_000
    listed = vigil("silence", "list").stdout
    assert f"{silence.silence_id}  2 h left" in listed
    assert "service.name=s severity=~warning|error (move)" in listed
    assert "silenced" in vigil("incidents").stdout
    assert f"silence {silence.silence_id}" in vigil("incidents").stdout
    assert vigil("silence", "end", silence.silence_id[:4]).stdout == f"silence {silence.silence_id} ended\n"
    assert vigil("silence", "list").stdout == "No silences.\n"
    assert "over" in vigil("silence", "list", "--all").stdout
    assert "muted by" not in vigil("incidents").stdout
    again = vigil("silence", "end", silence.silence_id)
    assert isinstance(again.exception, NothingDone)
    assert str(again.exception) == f"{silence.silence_id}: nothing done: that silence is over"


def test_a_silence_that_nobody_waits_for_is_ordered(desk: Desk) -> None:
    desk.works = False
    assert " ordered: from " in vigil("silence", "add", "service.name=s", "--for", "2h", "--wait", "0").stdout
    made = vigil("silence", "incident", desk.id_of("log"), "--for", "2h", "--wait", "0")
    assert " ordered: from " in made.stdout
    desk.works = True
    assert "ordered" not in vigil("silence", "add", "service.name=s", "--for", "2h").stdout


def test_an_incident_is_silenced_by_what_it_is_about(desk: Desk) -> None:
    made = json.loads(vigil("silence", "incident", desk.id_of("log"), "--for", "1h", "--json", "--as", "ann").stdout)
    assert made["matchers"] == [{"name": "incident", "op": "=", "value": "log|service.name=s"}]
    assert made["author"] == "ann"


def test_a_silence_may_begin_later(desk: Desk) -> None:
    made = vigil("silence", "add", "rule=log", "--from", "30m", "--until", "2027-01-16T00:00Z", "--json")
    silence = json.loads(made.stdout)
    assert silence["starts_ms"] == NOW_S * 1000 + 1_800_000
    assert silence["ends_ms"] == 1_800_057_600_000
    assert "in 30 min" in vigil("silence", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["payment", "--for", "2h"], "write NAME=VALUE"),
        (["servce.name=payment", "--for", "2h"], "did you mean service.name?"),
        (["rule=~(", "--for", "2h"], "no regular expression of RE2"),
        (["rule=log", "--for", "2y"], "is no length of time"),
        (["rule=log", "--until", "noon"], "is no time"),
        (["rule=log"], "give one of --for and --until"),
        (["rule=log", "--for", "2h", "--until", "now"], "give one of --for and --until"),
    ],
)
def test_what_is_no_silence_is_a_usage_error_that_says_what_to_write(
    desk: Desk, arguments: list[str], said: str
) -> None:
    failed = vigil("silence", "add", *arguments)
    assert failed.exit_code == 2
    assert said in unframed(failed)
    assert desk.seen == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["service.name=", "--for", "2h"], "it asks for nothing that an incident must have"),
        (["rule=log", "--for", "9999d"], "it ends more than a year from now"),
        (["rule=log", "--until", "2020-01-01"], "it ends before it begins"),
    ],
)
def test_a_silence_that_is_refused_says_why(desk: Desk, arguments: list[str], said: str) -> None:
    failed = vigil("silence", "add", *arguments)
    assert isinstance(failed.exception, InvalidSilence)
    assert said in str(failed.exception)
    assert not Orders(Settings()).silences()


def test_the_audit_tells_who_did_what(desk: Desk) -> None:
    vigil("ack", desk.id_of("log"), "--as", "ann\x1b[31m", "--reason", "on it")
    vigil("silence", "add", "rule=log", "--for", "1h", "--as", "bob", "--reason", "known")
    text = vigil("audit").stdout
    assert "\x1b" not in text
    assert "acknowledge" in text
    assert "known [rule=log, 2027-01-15 08:00:00Z to 2027-01-15 09:00:00Z]" in text
    entries = [json.loads(line) for line in vigil("audit", "--json").stdout.splitlines()]
    assert [(entry["author"], entry["order"], entry["outcome"]) for entry in entries] == [
        ("ann\x1b[31m", "acknowledge", "done"),
        ("bob", "silence", "done"),
    ]
    assert vigil("audit", "--since", "2027-02-01").stdout == ""


def test_incidents_can_be_filtered(desk: Desk) -> None:
    desk.office.candidate("other", "t")
    desk.office.candidate("slow", "t", for_s=60)
    vigil("resolve", desk.id_of("log"))

    def rules(*arguments: str) -> list[str]:
        return sorted(one["rule_id"] for one in json.loads(vigil("incidents", "--json", *arguments).stdout))

    assert rules() == ["other", "slow"]
    assert rules("--state", "all") == ["log", "other", "slow"]
    assert rules("--state", "pending") == ["slow"]
    assert rules("--state", "resolved") == ["log"]
    assert rules("--rule", "other, log") == ["other"]
    assert rules("--state", "all", "--service", "s") == ["log"]
    assert rules("--severity", "critical") == []
    assert "possible: info, warning, error, critical" in unframed(vigil("incidents", "--severity", "eror"))


def test_the_interface_says_what_came_of_each_order_by_an_error_of_its_own(desk: Desk) -> None:
    orders = Orders(Settings())
    found = desk.id_of("log")
    assert orders.acknowledge(found, author="ann").outcome == "done"
    with pytest.raises(NothingDone, match="it is acknowledged"):
        orders.acknowledge(found, author="ann")
    with pytest.raises(UnknownIncident):
        orders.resolve("A" * 10, author="ann")
    with pytest.raises(UnknownSilence):
        orders.unsilence("NONE", author="ann")
    with pytest.raises(InvalidSilence, match="a length or an end"):
        orders.silence([], author="ann")
    assert orders.unacknowledge(found, author="ann").outcome == "done"
    assert Orders(Settings(), wait_s=0).resolve(found, author="ann").outcome == ""
    desk.works = False
    with pytest.raises(NotYetObeyed) as waits:
        orders.resolve(found, author="ann")
    assert waits.value.command.incident_id == found
    assert isinstance(orders.incident(found[:3]), Incident)
    assert all(isinstance(one, Silence) for one in orders.silences())
