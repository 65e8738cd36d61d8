"""What Alertmanager's webhooks receive, checked against a schema of its documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from streaming.alerting.messages import Action, IncidentState, Notification, Severity
from streaming.alerting.receivers.alertmanager import NEVER, AlertmanagerReceiver, payload
from streaming.alerting.receivers.base import ShowsLife, Undelivered
from streaming.alerting.receivers.facts import json_bytes
from streaming.alerting.rules import routes
from tests.support.fake_http import FakeHttp, Reply, Request
from tests.support.incidents import AT_MS, Told, a_notification, hostile_notifications

SCHEMA = json.loads(Path(__file__).with_name("alertmanager.schema.json").read_text())
VALID = Draft202012Validator(SCHEMA)


class FakeAlertSink(FakeHttp):
    """Takes what Alertmanager would send, and nothing else."""

    def decide(self, request: Request) -> Reply:
        if request.headers["Content-Type"] != "application/json":
            return Reply(415)
        return Reply(200 if VALID.is_valid(request.json()) else 400)


@pytest.fixture(scope="module")
def running() -> Iterator[FakeAlertSink]:
    with FakeAlertSink.running() as fake:
        yield fake


@pytest.fixture
def server(running: FakeAlertSink) -> FakeAlertSink:
    running.reset()
    return running


def receiver(server: FakeAlertSink) -> AlertmanagerReceiver:
    config = routes.AlertmanagerReceiver(name="sink", kind="alertmanager", url=server.url)
    return AlertmanagerReceiver(config, url=SecretStr(server.url))


def alerts(server: FakeAlertSink) -> list[dict[str, object]]:
    found = []
    for request in server.taken:
        listed = request.json()["alerts"]
        assert isinstance(listed, list)
        found += listed
    return found


def test_the_payload() -> None:
    assert payload(a_notification(mentions=("ada",)), "sink", lambda _: [("Logs", "https://vigil.example/logs")]) == {
        "version": "4",
        "groupKey": '{}:{alertname="gateway", error_code="E42", service_name="payment"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "sink",
        "groupLabels": {"alertname": "gateway", "error_code": "E42", "service_name": "payment"},
        "commonLabels": LABELS,
        "commonAnnotations": ANNOTATIONS,
        "externalURL": "",
        "alerts": [
            {
                "status": "firing",
                "labels": LABELS,
                "annotations": ANNOTATIONS,
                "startsAt": "2026-09-21T14:13:20.000Z",
                "endsAt": NEVER,
                "generatorURL": "https://vigil.example/logs",
                "fingerprint": "b9686d30793b999a",
            }
        ],
    }


LABELS = {
    "alertname": "gateway",
    "error_code": "E42",
    "service_name": "payment",
    "severity": "error",
    "team": "checkout",
}
ANNOTATIONS = {
    "summary": "payment E42: gateway timed out",
    "description": "gateway timed out after 3000 ms\nconnect timed out",
    "runbook_url": "https://wiki.example/gateway",
    "log": "gateway timed out after 3000 ms\nconnect timed out",
    "service": "payment",
    "node": "payment-1",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "count": "3",
    "first_seen": "2026-09-21T14:13:19.000Z",
    "last_seen": "2026-09-21T14:13:20.000Z",
    "incident": "ABCDEFGHIJ",
    "owner": "checkout",
    "on_call": "ada",
}


def test_from_firing_to_resolved(server: FakeAlertSink) -> None:
    told = Told(receiver(server))
    for version, action in enumerate((Action.OPEN, Action.REPEAT, Action.RESOLVE, Action.REOPEN, Action.ESCALATE), 1):
        told.of(a_notification(action, version=version, reopened=int(version > 3)))
    found = alerts(server)
    assert [alert["status"] for alert in found] == ["firing", "firing", "resolved", "firing", "firing"]
    assert len({(str(alert["fingerprint"]), str(alert["startsAt"])) for alert in found}) == 1
    assert [alert["endsAt"] for alert in found][2] == "2026-09-21T14:14:20.000Z"


def test_an_update_is_posted_where_the_severity_rose(server: FakeAlertSink) -> None:
    told = Told(receiver(server))
    told.of(a_notification())
    told.of(a_notification(Action.UPDATE, version=2, count=50))
    told.of(a_notification(Action.UPDATE, version=3, state=IncidentState.ACKNOWLEDGED))
    assert len(server.taken) == 1
    told.of(a_notification(Action.UPDATE, version=4, severity=Severity.CRITICAL, state=IncidentState.SILENCED))
    assert len(server.taken) == 1, "nobody is told of what is muted"
    told = Told(receiver(server))
    told.of(a_notification(Action.UPDATE, version=2))
    told.of(a_notification(Action.UPDATE, version=3, severity=Severity.CRITICAL))
    told.of(a_notification(Action.UPDATE, version=4, severity=Severity.CRITICAL))
    assert len(server.taken) == 3, "the first that this receiver hears of it, and the rise"
    assert len({str(alert["fingerprint"]) for alert in alerts(server)}) == 1


def test_refused_and_cut(server: FakeAlertSink) -> None:
    server.faults.replies = [Reply(422)]
    with pytest.raises(Undelivered) as error:
        receiver(server).deliver(a_notification(), None, False)
    assert error.value.only_this
    server.faults.cut_after = 1
    with pytest.raises(Undelivered) as error:
        receiver(server).deliver(a_notification(), None, False)
    assert error.value.unknown


def test_the_watchdog_shows_life(server: FakeAlertSink) -> None:
    one = receiver(server)
    assert isinstance(one, ShowsLife)
    one.check()
    one.alive(AT_MS, 60)
    one.alive(AT_MS + 60_000, 60)
    first, second = alerts(server)
    assert first["labels"] == {"alertname": "Watchdog", "severity": "none"}
    assert first["fingerprint"] == second["fingerprint"]


@settings(max_examples=40, deadline=None)
@given(hostile_notifications())
def test_whatever_the_log_says(notification: Notification) -> None:
    sent = json.loads(json_bytes(payload(notification, "sink")))
    VALID.validate(sent)
    (alert,) = sent["alerts"]
    datetime.fromisoformat(alert["startsAt"])
    assert alert["labels"]["alertname"] == "gateway", "no group or label can take the place of the rule"
    assert sent["commonLabels"] == alert["labels"]
    assert sent["groupLabels"].items() <= alert["labels"].items()
