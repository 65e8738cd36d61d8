"""Silences and orders over a real Kafka, with a manager that is killed in between."""

from __future__ import annotations

import json

import msgspec
import pytest
from typer.testing import CliRunner

from streaming.alerting.messages import DONE, Action, IncidentState, Notification, Order
from streaming.alerting.muting.matchers import parse_matcher
from streaming.alerting.orders import NotYetObeyed, Orders
from streaming.cli.incidents import incidents_app
from streaming.cli.silences import silence_app
from streaming.kafka import topics
from streaming.kafka.ranges import RangeReader
from tests.support.alert_path import AlertPath
from tests.support.fake_slack import FakeSlack

SERVICE = parse_matcher("service.name=order")


def told(path: AlertPath) -> list[tuple[Action, str]]:
    """All that was ever to be told."""
    topic = path.settings.topic(topics.NOTIFICATIONS)
    with RangeReader(path.settings) as reader:
        bounds = reader.bounds_of(topic)
        batches = reader.read(topic, {p: (bound.start, bound.end) for p, bound in bounds.items()})
        records = [msgspec.json.decode(record.value() or b"", type=Notification) for b in batches for record in b]
    return [(one.action, one.incident.group["error.code"]) for one in records]


def test_a_silence_holds_back_what_its_end_tells_over_a_manager_that_is_killed(
    alert_path: AlertPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert_path.start("matcher", "manager")
    orders = Orders(alert_path.settings, wait_s=30)
    silence = orders.silence([SERVICE, parse_matcher("error.code!=E9")], author="ann", for_s=3600, reason="migration")
    alert_path.log("E1")
    alert_path.await_counts({"E1": 1})
    (incident,) = orders.incidents()
    assert (incident.state, incident.muted_by) == (IncidentState.SILENCED, f"silence {silence.silence_id}")
    alert_path.kill("manager")
    alert_path.start("manager")
    alert_path.log("E1")
    alert_path.log("E9")
    alert_path.await_counts({"E1": 2, "E9": 1})
    assert told(alert_path) == [(Action.OPEN, "E9")], "the silence outlived the manager"
    alert_path.kill("manager")
    with pytest.raises(NotYetObeyed, match="has not obeyed it within"):
        Orders(alert_path.settings, wait_s=0.2).unsilence(silence.silence_id, author="bob")
    alert_path.launch("manager")
    alert_path.await_all(lambda: [one for one in told(alert_path) if one == (Action.OPEN, "E1")], 1)
    alert_path.await_healthy("manager")
    assert sorted(told(alert_path)) == [(Action.OPEN, "E1"), (Action.OPEN, "E9")]
    entries = [one for one in orders.audit() if one.author in ("ann", "bob")]
    assert [(one.author, one.order, one.outcome) for one in entries] == [
        ("ann", Order.SILENCE, DONE),
        ("bob", Order.UNSILENCE, DONE),
    ]
    assert [one.silence.ends_ms for one in entries if one.silence] == [
        silence.ends_ms,
        orders.silences()[0].ends_ms,
    ]

    for name, value in alert_path.environment.items():
        monkeypatch.setenv(name, value)
    run = CliRunner()
    assert run.invoke(silence_app, ["list"]).stdout == "No silences.\n"
    made = run.invoke(silence_app, ["incident", incident.incident_id, "--for", "1h", "--wait", "30"])
    assert "it fits 1 open incident\n" in made.stdout, made.output
    (listed,) = json.loads(run.invoke(incidents_app, ["--state", "silenced", "--json"]).stdout)
    assert listed["group"]["error.code"] == "E1"


def test_an_order_says_what_came_of_it(alert_path: AlertPath, slack: FakeSlack) -> None:
    alert_path.start()
    alert_path.log("E1")
    alert_path.await_all(lambda: slack.messages, 1)
    orders = Orders(alert_path.settings, wait_s=30)
    (incident,) = orders.incidents()
    entry = orders.acknowledge(incident.incident_id, author="ann", reason="on it")
    assert (entry.outcome, entry.author, entry.target) == (DONE, "ann", incident.incident_id)
    assert orders.incident(incident.incident_id[:5]).acknowledged_by == "ann", "what was answered is there to be read"
    answers = orders.all_of(Order.RESOLVE, [incident.incident_id, "A" * 10], author="bob")
    assert [one.outcome for one in answers] == [DONE, "there is no such incident"]
    alert_path.await_all(lambda: slack.replies, 1)
