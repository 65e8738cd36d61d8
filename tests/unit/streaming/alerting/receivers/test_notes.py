"""What each kind of receiver makes of a note; Slack's is in `slack/test_notes.py`."""

from __future__ import annotations

import io
import json

import msgspec
import pytest
from pydantic import SecretStr

from streaming.alerting.messages import Action, IncidentState, Note, Notification
from streaming.alerting.receivers.alertmanager import AlertmanagerReceiver
from streaming.alerting.receivers.base import Delivered
from streaming.alerting.receivers.console import ConsoleReceiver
from streaming.alerting.receivers.email_parts import compose, is_mailed
from streaming.alerting.receivers.pagerduty import PagerDutyReceiver
from streaming.alerting.receivers.webhook import body_of, message_key
from streaming.alerting.rules import routes
from tests.support.incidents import a_notification, receipt_of

OPENED = receipt_of(a_notification(), Delivered("ABCDEFGHIJ-0"))
NOWHERE = SecretStr("http://127.0.0.1:1/")
"""Nobody listens there: what would send fails."""


def annotation(state: IncidentState = IncidentState.FIRING, muted_by: str = "") -> Notification:
    note = Note(note_id="n1", author="ann <ann@x>", text="<script>alert(1)</script>\n    a log\x1b[31m")
    return msgspec.structs.replace(
        a_notification(Action.ANNOTATE, version=2, state=state, muted_by=muted_by), note=note
    )


def test_a_mail_of_the_thread_says_it_first_and_as_text() -> None:
    mail = compose(annotation(), OPENED, "vigil@example.com", ["ops@example.com"], {})
    assert mail["In-Reply-To"] is not None
    plain, html = (part.get_content() for part in mail.iter_parts())
    assert plain.index("Note by ann <ann@x>:\n\n<script>") < plain.index("gateway timed out after")
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "\x1b" not in plain + html


def test_what_is_muted_is_not_mailed_for_a_note() -> None:
    assert is_mailed(annotation(), OPENED)
    assert not is_mailed(annotation(state=IncidentState.SILENCED, muted_by="silence X"), OPENED)


def test_a_webhook_has_it_under_an_id_of_its_own() -> None:
    told = annotation()
    body = json.loads(body_of(told, message_key(told)))
    assert (body["type"], body["data"]["key"]) == ("incident.annotate", "ABCDEFGHIJ-0-2-annotate")
    assert body["data"]["note"] == {"id": "n1", "author": "ann <ann@x>", "text": told.note and told.note.text}
    opened = a_notification()
    assert "note" not in json.loads(body_of(opened, message_key(opened)))["data"]


def test_a_console_has_it_on_one_line() -> None:
    out = io.StringIO()
    ConsoleReceiver(out).deliver(annotation(), OPENED, False)
    (line,) = out.getvalue().splitlines()
    assert "ANNOTATE" in line
    assert "note by ann <ann@x>: <script>" in line
    assert "\x1b" not in line


@pytest.mark.parametrize("state", [IncidentState.FIRING, IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED])
def test_those_that_have_no_form_for_it_send_nothing(state: IncidentState) -> None:
    pager = PagerDutyReceiver(
        routes.PagerDutyReceiver(
            name="p", kind="pagerduty", routing_key=routes.Secret(env="X"), url="http://127.0.0.1:1/"
        ),
        routing_key=SecretStr("k"),
    )
    sink = AlertmanagerReceiver(
        routes.AlertmanagerReceiver(name="a", kind="alertmanager", url="http://127.0.0.1:1/"), url=NOWHERE
    )
    for receiver in (pager, sink):
        receiver.deliver(annotation(state=state), OPENED, False)
