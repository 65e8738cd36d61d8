"""PagerDuty: one alert for each opening, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from streaming.alerting.messages import Action, IncidentState, Notification, Receipt, Severity
from streaming.alerting.notifier.outbox import Outbox
from streaming.alerting.receivers import pagerduty
from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.alerting.receivers.http_post import Answer
from streaming.alerting.receivers.pagerduty import PagerDutyReceiver, dedup_key, what_it_says
from streaming.alerting.rules import routes
from streaming.kafka.offsets import Span
from tests.support.fake_http import Reply, Request
from tests.support.fake_pagerduty import ROUTING_KEY, FakePagerDuty
from tests.support.incidents import Told, a_notification, hostile_notifications, receipt_of


@pytest.fixture(scope="module")
def running() -> Iterator[FakePagerDuty]:
    with FakePagerDuty.running() as fake:
        yield fake


@pytest.fixture
def server(running: FakePagerDuty) -> FakePagerDuty:
    running.reset()
    return running


def receiver(server: FakePagerDuty, key: str = ROUTING_KEY) -> PagerDutyReceiver:
    config = routes.PagerDutyReceiver(
        name="pager", kind="pagerduty", routing_key=routes.Secret(env="PD"), url=server.enqueue
    )
    return PagerDutyReceiver(config, routing_key=SecretStr(key))


def actions(server: FakePagerDuty) -> list[str]:
    return [f"{e['event_action']} {e['dedup_key']}" for e in (request.json() for request in server.taken)]


def test_what_a_trigger_says(server: FakePagerDuty) -> None:
    delivered = receiver(server).deliver(a_notification(mentions=("ada",)), None, False)
    assert delivered == Delivered("ABCDEFGHIJ-0")
    (alert,) = server.alerts
    details = alert.payload.pop("custom_details")
    assert alert.payload == {
        "summary": "payment E42: gateway timed out",
        "source": "payment-1",
        "severity": "error",
        "timestamp": "2026-09-21T14:13:20.000Z",
        "component": "payment",
        "group": "error.code=E42, service.name=payment",
        "class": "gateway",
    }
    assert isinstance(details, dict)
    assert details["Log text"] == "gateway timed out after 3000 ms\nconnect timed out"
    assert (details["Events"], details["On call"], details["Labels"]) == ("3", "ada", {"team": "checkout"})
    assert alert.links == [{"href": "https://wiki.example/gateway", "text": "Run book"}]


def test_a_life(server: FakePagerDuty) -> None:
    told = Told(receiver(server))
    told.of(a_notification())
    told.of(a_notification(Action.UPDATE, version=2, count=50))
    told.of(a_notification(Action.REPEAT, version=3))
    told.of(a_notification(Action.UPDATE, version=4, state=IncidentState.ACKNOWLEDGED))
    told.of(a_notification(Action.UPDATE, version=5, state=IncidentState.ACKNOWLEDGED, count=60))
    told.of(a_notification(Action.UPDATE, version=6, severity=Severity.CRITICAL))
    told.of(a_notification(Action.UPDATE, version=7, severity=Severity.CRITICAL, state=IncidentState.ACKNOWLEDGED))
    told.of(a_notification(Action.RESOLVE, version=8))
    told.of(a_notification(Action.UPDATE, version=9, state=IncidentState.RESOLVED))
    told.of(a_notification(Action.REOPEN, version=10, reopened=1))
    told.of(a_notification(Action.ESCALATE, version=11, reopened=1))
    told.of(a_notification(Action.RESOLVE, version=12, reopened=1))
    assert actions(server) == [
        "trigger ABCDEFGHIJ-0",
        "trigger ABCDEFGHIJ-0",  # repeated
        "acknowledge ABCDEFGHIJ-0",
        "trigger ABCDEFGHIJ-0",  # became worse
        "acknowledge ABCDEFGHIJ-0",
        "resolve ABCDEFGHIJ-0",
        "trigger ABCDEFGHIJ-1",
        "trigger ABCDEFGHIJ-1",  # escalated
        "resolve ABCDEFGHIJ-1",
    ]
    assert [alert.state for alert in server.alerts] == ["resolved", "resolved"]
    assert server.dropped == 0


def test_acknowledged_before_it_was_told(server: FakePagerDuty) -> None:
    """The opening waited, and what came meanwhile merged with it."""
    Told(receiver(server)).of(a_notification(version=3, state=IncidentState.ACKNOWLEDGED))
    assert actions(server) == ["trigger ABCDEFGHIJ-0", "acknowledge ABCDEFGHIJ-0"]


def test_an_unknown_outcome_never_doubles(server: FakePagerDuty) -> None:
    told = Told(receiver(server))
    for notification in (a_notification(), a_notification(Action.RESOLVE, version=2)):
        server.faults.cut_after = 2
        for _ in range(2):
            with pytest.raises(Undelivered) as error:
                told.of(notification)
            assert error.value.unknown
        told.of(notification, look_first=True)
    assert [alert.state for alert in server.alerts] == ["resolved"]


def test_what_reopened_while_its_resolution_waited_keeps_its_alert(server: FakePagerDuty) -> None:
    """The outbox made one update of both: what PagerDuty has open is the first opening's."""
    told = Told(receiver(server))
    told.of(a_notification())
    told.of(a_notification(Action.UPDATE, version=5, reopened=1, severity=Severity.CRITICAL))
    told.of(a_notification(Action.RESOLVE, version=6, reopened=1))
    assert [(alert.dedup_key, alert.state) for alert in server.alerts] == [("ABCDEFGHIJ-0", "resolved")]


def test_what_reopened_while_its_opening_waited_is_one_alert(server: FakePagerDuty) -> None:
    told = Told(receiver(server))
    server.faults.cut_after = 1
    with pytest.raises(Undelivered):
        told.of(a_notification())
    told.of(a_notification(Action.OPEN, version=4, reopened=1), look_first=True)
    told.of(a_notification(Action.RESOLVE, version=5, reopened=1))
    server.faults.cut_after = 1
    with pytest.raises(Undelivered):
        told.of(a_notification(Action.REOPEN, version=6, reopened=2))
    told.of(a_notification(Action.REOPEN, version=9, reopened=3), look_first=True)
    told.of(a_notification(Action.RESOLVE, version=10, reopened=3))
    told.of(a_notification(Action.RESOLVE, version=10, reopened=3), look_first=True)
    assert [(alert.dedup_key[-1], alert.state) for alert in server.alerts] == [("0", "resolved"), ("1", "resolved")]


def test_what_is_read_again_after_a_crash_pages_nobody_again(server: FakePagerDuty) -> None:
    """The resolution arrived, its receipt was not written, and what came before it is read once more."""
    told = Told(receiver(server))
    told.of(a_notification())
    told.receiver.deliver(a_notification(Action.RESOLVE, version=4), told.receipt, False)
    told.of(a_notification(Action.OPEN, version=2), look_first=True)
    told.of(a_notification(Action.REPEAT, version=3), look_first=True)
    told.of(a_notification(Action.RESOLVE, version=4), look_first=True)
    assert [alert.state for alert in server.alerts] == ["resolved"]


def test_refused_content_goes_without_details(server: FakePagerDuty) -> None:
    server.faults.replies = [Reply(400, body=b'{"status":"invalid event","errors":["\'payload.group\' is odd"]}')]
    receiver(server).deliver(a_notification(), None, False)
    (alert,) = server.alerts
    assert set(alert.payload) == {"summary", "source", "severity"}
    refused = [Reply(400, body=b'{"errors":["no"]}'), Reply(413)]
    server.faults.replies = refused
    with pytest.raises(Undelivered) as error:
        receiver(server).deliver(a_notification(version=2), None, False)
    assert error.value.only_this
    assert not error.value.unknown


def test_a_huge_event_goes_without_details(server: FakePagerDuty) -> None:
    labels = {str(n): "x" * 10_000 for n in range(60)}
    receiver(server).deliver(a_notification(labels=labels), None, False)
    assert len(server.requests) == 1
    assert "custom_details" not in server.alerts[0].payload


@pytest.mark.parametrize("key", ["", "short", "f" * 32])
def test_a_bad_routing_key_is_misconfigured_and_never_shown(server: FakePagerDuty, key: str) -> None:
    one = receiver(server, key)
    for ask in (one.check, lambda: one.deliver(a_notification(), None, False)):
        with pytest.raises(Undelivered, match="routing") as error:
            ask()
        assert error.value.misconfigured
        assert not key or key not in str(error.value)
    assert len(server.requests) == 2, "it is not asked again without details"


def test_the_check_raises_nothing(server: FakePagerDuty) -> None:
    receiver(server).check()
    assert (server.alerts, server.dropped) == ([], 1)


@pytest.mark.parametrize(("asked", "waited"), [("40", 40.0), ("", None)])
def test_throttled(server: FakePagerDuty, asked: str, waited: float | None) -> None:
    server.retry_after = asked
    with pytest.raises(Undelivered) as error:
        receiver(server).deliver(a_notification(), None, False)
    assert (error.value.reason, error.value.wait_s, error.value.unknown) == ("http_429", waited, False)


def test_broken(server: FakePagerDuty) -> None:
    server.faults.replies = [Reply(503)]
    with pytest.raises(Undelivered) as error:
        receiver(server).deliver(a_notification(), None, False)
    assert error.value.unknown


def test_every_severity_has_one_of_pagerdutys() -> None:
    assert set(pagerduty._SEVERITIES) == set(Severity)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b'{"errors":7}', b'{"errors":[]}', b"[" * 100_000])
def test_an_answer_that_says_nothing(body: bytes) -> None:
    assert what_it_says(body)


@given(st.text(max_size=400), st.integers(0, 10**6))
def test_keys_stay_within_their_length(incident_id: str, opening: int) -> None:
    assert len(dedup_key(incident_id, opening)) <= pagerduty.KEY_LIMIT


class Simulation:
    """An incident's life, the outbox, notifiers that are killed, and a PagerDuty that answers or does not."""

    def __init__(self, pager: FakePagerDuty) -> None:
        self.pager, self.receiver = pager, receiver(pager)
        # Without a network: the same decisions, at once.
        self.receiver._endpoint = self  # type: ignore[assignment]
        self.host = "pager"
        self.outbox, self.fault = Outbox(), ""
        self.receipt: Receipt | None = None
        self.emitted: list[Notification] = []
        self.read, self.attempted = 0, 0
        """How many the notifier has read, and how many were there when it began."""
        self.reopened, self.is_open = 0, False

    def post(self, body: bytes, headers: dict[str, str]) -> Answer:
        fault, self.fault = self.fault, ""
        if fault == "cut_before":
            raise Undelivered("no_answer", unknown=True)
        if fault == "throttled":
            raise Undelivered("http_429", wait_s=1)
        reply = self.pager.decide(Request("/v2/enqueue", Message(), body))
        if fault == "cut_after":
            raise Undelivered("no_answer", unknown=True)
        return Answer(reply.status, None, reply.body)

    def emit(self, wanted: Action) -> None:
        """What the manager orders next, as near to what is wanted as the incident's state allows."""
        if self.is_open:
            action: Action = Action.UPDATE if wanted in (Action.OPEN, Action.REOPEN) else wanted
        else:
            self.reopened += bool(self.emitted)
            action = Action.REOPEN if self.emitted else Action.OPEN
        self.is_open = action is not Action.RESOLVE
        version = len(self.emitted) + 1
        if action is Action.UPDATE and wanted is Action.REOPEN:
            changed = a_notification(action, version=version, reopened=self.reopened, state=IncidentState.ACKNOWLEDGED)
        elif action is Action.UPDATE and wanted is Action.OPEN:
            changed = a_notification(action, version=version, reopened=self.reopened, severity=Severity.CRITICAL)
        else:
            changed = a_notification(action, version=version, reopened=self.reopened)
        self.emitted.append(changed)

    def take_in(self, many: int) -> None:
        """The notifier reads so many more."""
        for number in range(self.read, min(self.read + many, len(self.emitted))):
            self.outbox.add(self.emitted[number], Span(0, number, number), look_first=number < self.attempted)
            self.read = number + 1

    def send(self, fault: str, *, killed: bool = False) -> None:
        """One turn of the lane; `killed`: before the receipt is written, and the next notifier takes over."""
        self.fault = fault
        item = self.outbox.take(0)
        if item is not None and not (self.receipt and self.receipt.version >= item.notification.incident.version):
            try:
                delivered = self.receiver.deliver(item.notification, self.receipt, item.look_first)
                if not killed:
                    self.receipt = receipt_of(item.notification, delivered)
            except Undelivered as failure:
                self.outbox.put_back(item, 0, unknown=failure.unknown)
        if killed:
            self.outbox.clear()
            self.read, self.attempted = 0, len(self.emitted)


STEPS = (
    st.tuples(st.just("emit"), st.sampled_from(Action))
    | st.tuples(st.just("read"), st.sampled_from(["1", "2", "9"]))
    | st.tuples(st.sampled_from(["send", "kill"]), st.sampled_from(["", "", "cut_before", "cut_after", "throttled"]))
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_one_alert_for_each_opening_whatever_fails(server: FakePagerDuty, steps: list[tuple[str, str]]) -> None:
    server.reset()
    simulation = Simulation(server)
    for what, how in steps:
        if what == "emit":
            simulation.emit(Action(how))
        elif what == "read":
            simulation.take_in(int(how))
        else:
            simulation.send(how, killed=what == "kill")
        assert sum(alert.state != "resolved" for alert in server.alerts) <= 1
    simulation.take_in(len(steps))
    while len(simulation.outbox):
        simulation.send("")
    open_alerts = [alert for alert in server.alerts if alert.state != "resolved"]
    assert len(open_alerts) == simulation.is_open
    assert len(server.alerts) <= simulation.reopened + bool(simulation.emitted)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(hostile_notifications(), st.booleans())
def test_whatever_the_log_says(server: FakePagerDuty, notification: Notification, known: bool) -> None:
    server.reset()
    one = receiver(server)
    receipt = receipt_of(a_notification(), Delivered("ABCDEFGHIJ-0")) if known else None
    one.deliver(notification, receipt, True)
    assert len(server.requests) == len(server.taken), "every event is a good one at once"
