"""Incidents, notifications and receipts for tests of the alert path."""

from __future__ import annotations

import string

import msgspec
from hypothesis import strategies as st

from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Receipt, Sample, Severity
from streaming.alerting.receivers.base import Delivered, Receiver
from streaming.events.model import Level
from tests.support.hostile import NASTY_TEXTS

AT_MS = 1_790_000_000_000  # 2026-09-21T14:13:20Z


def plain_incident(**changes: object) -> Incident:
    """A firing one of rule `r`, of no group, with nothing to it: for tests that look at other things."""
    incident = Incident(
        incident_id="A",
        incident_key="r",
        rule_id="r",
        group={},
        severity=Severity.ERROR,
        title="t",
        state=IncidentState.FIRING,
        version=1,
        count=1,
        opened_ms=0,
        first_ms=0,
        last_ms=0,
        updated_ms=0,
        last_received_ms=0,
        sample=plain_sample(),
        resolve_after_s=None,
    )
    return msgspec.structs.replace(incident, **changes)


def plain_receipt(**changes: object) -> Receipt:
    """That receiver `r` was told of `plain_incident`."""
    receipt = Receipt(
        incident_id="A",
        receiver="r",
        version=1,
        action=Action.OPEN,
        rule_id="r",
        severity=Severity.ERROR,
        title="t",
        sent_ms=0,
    )
    return msgspec.structs.replace(receipt, **changes)


def plain_sample(service: str = "s", node_id: str = "n", message: str = "m") -> Sample:
    """A log with nothing to it."""
    return Sample(timestamp_ms=0, level=Level.ERROR, message=message, service=service, node_id=node_id)


def an_incident(**changes: object) -> Incident:
    """A firing one of service `payment`."""
    incident = plain_incident(
        incident_id="ABCDEFGHIJ",
        incident_key="gateway|error.code=E42|service.name=payment",
        rule_id="gateway",
        group={"service.name": "payment", "error.code": "E42"},
        title="payment E42: gateway timed out",
        count=3,
        opened_ms=AT_MS,
        first_ms=AT_MS - 1000,
        last_ms=AT_MS,
        updated_ms=AT_MS,
        last_received_ms=AT_MS,
        sample=Sample(
            timestamp_ms=AT_MS,
            level=Level.ERROR,
            message="gateway timed out after 3000 ms",
            service="payment",
            node_id="payment-1",
            log_id="log-1",
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
            error_code="E42",
            error_message="connect timed out",
        ),
        resolve_after_s=300,
        runbook="https://wiki.example/gateway",
        labels={"team": "checkout"},
        owner="checkout",
    )
    return msgspec.structs.replace(incident, **changes)


def a_notification(action: Action = Action.OPEN, mentions: tuple[str, ...] = (), **changes: object) -> Notification:
    """Of `an_incident`, whose state follows from the action unless it is among the changes."""
    if action is Action.RESOLVE:
        changes = {"state": IncidentState.RESOLVED, "resolved_ms": AT_MS + 60_000, "reason": "quiet", **changes}
    return Notification(action=action, incident=an_incident(**changes), created_ms=AT_MS, mentions=mentions)


def receipt_of(notification: Notification, delivered: Delivered, receiver: str = "r") -> Receipt:
    """What the notifier writes down when it was delivered."""
    incident = notification.incident
    return Receipt(
        incident_id=incident.incident_id,
        receiver=receiver,
        version=incident.version,
        action=notification.action,
        rule_id=incident.rule_id,
        severity=incident.severity,
        title=incident.title,
        sent_ms=AT_MS,
        message_id=delivered.message_id,
        channel=delivered.channel,
        state=incident.state,
    )


class Told:
    """Delivers notifications of one incident as the notifier does: each with the receipt of the one before."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.receipt: Receipt | None = None

    def of(self, notification: Notification, *, look_first: bool = False) -> Delivered:
        """Delivers it.

        Raises:
            Undelivered: as the receiver does; the receipt stays.
        """
        delivered = self.receiver.deliver(notification, self.receipt, look_first)
        self.receipt = receipt_of(notification, delivered, self.receiver.name)
        return delivered


_TEXTS = st.sampled_from(
    [*NASTY_TEXTS, "\r\nBcc: evil@example.com", "</pre><script>alert(1)</script>", "\ud800"]
) | st.text(max_size=200)
_SHORT = _TEXTS.map(lambda text: text[:200])
_TIMES = st.sampled_from([0, -1, 1, AT_MS, 10**18, -(10**18), 253_402_300_800_000]) | st.integers(-(2**62), 2**62)


@st.composite
def hostile_notifications(draw: st.DrawFn) -> Notification:
    """Any action of an incident whose texts and times come from logs that no sane program writes. What rules and the
    manager make of texts holds: titles and texts are cut to 2,000 characters."""
    text = draw(_TEXTS)[:2000]
    sample = Sample(
        timestamp_ms=draw(_TIMES),
        level=draw(st.sampled_from(Level)),
        message=text,
        service=draw(_SHORT),
        node_id=draw(_SHORT),
        log_id=draw(st.none() | _SHORT),
        trace_id=draw(st.none() | _SHORT),
        error_code=draw(st.none() | _SHORT),
        error_message=draw(st.none() | _TEXTS.map(lambda t: t[:2000])),
    )
    incident = an_incident(
        incident_id=draw(st.text(string.ascii_uppercase + "234567", min_size=10, max_size=10)),
        title=draw(_TEXTS)[:2000],
        text=draw(_TEXTS)[:2000],
        group=draw(
            st.dictionaries(st.sampled_from(["service.name", "a.b", "a_b", "labels.ü", "9"]), _SHORT, max_size=4)
        ),
        labels=draw(st.dictionaries(_SHORT, _SHORT, max_size=3)),
        severity=draw(st.sampled_from(Severity)),
        state=draw(st.sampled_from(IncidentState)),
        reason=draw(_SHORT),
        acknowledged_by=draw(st.none() | _SHORT),
        owner=draw(_SHORT),
        opened_ms=draw(_TIMES),
        first_ms=draw(_TIMES),
        last_ms=draw(_TIMES),
        updated_ms=draw(_TIMES),
        resolved_ms=draw(st.none() | _TIMES),
        reopened=draw(st.integers(0, 30)),
        version=draw(st.integers(1, 1000)),
        sample=sample,
    )
    mentions = tuple(draw(st.lists(_SHORT, max_size=2)))
    return Notification(
        action=draw(st.sampled_from(Action)), incident=incident, created_ms=draw(_TIMES), mentions=mentions
    )
