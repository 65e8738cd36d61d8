"""An incident, and notifications about it, with hostile text where a log can put some."""

from __future__ import annotations

import msgspec

from streaming.alerting.messages import Action, Incident, IncidentState, Note, Notification, Receipt, Sample
from streaming.alerting.receivers.base import Delivered
from streaming.events.model import Level
from tests.support.incidents import plain_incident, plain_receipt

HOSTILE = "<!channel> <@U12345> & ``` *bold* \x1b[31m\x00 \u202e <https://evil|bank>"
NOON_MS = 1_700_000_000_000


def incident(**changes: object) -> Incident:
    """One of service `order`, as of `NOON_MS`."""
    sample = Sample(
        timestamp_ms=NOON_MS,
        level=Level.ERROR,
        message=HOSTILE,
        service="order",
        node_id="n1",
        trace_id="t" * 32,
        error_code="E1",
        received_ms=NOON_MS,
    )
    whole = plain_incident(
        incident_id="ABCDEFGHIJ",
        incident_key="r|service.name=order",
        group={"service.name": "order"},
        title="order E1: it broke <!here>",
        opened_ms=NOON_MS,
        first_ms=NOON_MS,
        last_ms=NOON_MS,
        updated_ms=NOON_MS,
        firing_since_ms=NOON_MS,
        last_received_ms=NOON_MS,
        sample=sample,
        resolve_after_s=60,
        runbook="https://example.org/run?a=1&b=2",
    )
    return msgspec.structs.replace(whole, **changes)


def note(action: Action, mentions: tuple[str, ...] = (), /, **changes: object) -> Notification:
    """What the manager orders about it."""
    about = incident(**changes)
    said = Note(note_id=f"v{about.version}", author="ann", text=HOSTILE) if action is Action.ANNOTATE else None
    return Notification(action=action, incident=about, created_ms=about.updated_ms, mentions=mentions, note=said)


def receipt(of: Delivered | None = None, version: int = 1, /, **changes: object) -> Receipt:
    """What was delivered of it."""
    whole = plain_receipt(
        incident_id="ABCDEFGHIJ",
        receiver="slack",
        version=version,
        title="order E1: it broke <!here>",
        sent_ms=NOON_MS,
        message_id=of.message_id if of else None,
        channel=of.channel if of else None,
        state=IncidentState.FIRING,
    )
    return msgspec.structs.replace(whole, **changes)
