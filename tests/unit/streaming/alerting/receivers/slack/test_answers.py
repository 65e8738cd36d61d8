"""Answers of Slack that are not as its documentation says: each is `Undelivered`, none ends the notifier."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from streaming.alerting.messages import Action, Notification
from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.receivers.slack import SlackReceiver
from streaming.alerting.receivers.slack.pace import Paces
from streaming.alerting.receivers.waits import LONGEST_WAIT_S, SHORTEST_WAIT_S
from tests.support.incidents import plain_incident, plain_receipt

Answer = tuple[int, dict[str, str], bytes]


class Slack:
    """Gives every request the same answer."""

    def __init__(self) -> None:
        outer = self
        self.answer: Answer = (200, {}, b"")

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, body = outer.answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/"


@pytest.fixture(scope="module")
def slack() -> Iterator[Slack]:
    found = Slack()
    yield found
    found.server.shutdown()
    found.server.server_close()


def failure(slack: Slack, *, look_first: bool = False, edit: bool = False) -> Undelivered:
    incident = plain_incident()
    receipt = plain_receipt(receiver="slack", version=0, sent_ms=1, message_id="1.1", channel="C1234567")
    action = Action.UPDATE if edit else Action.OPEN
    receiver = SlackReceiver("xoxb-x", "C1234567", slack.url, paces=Paces())
    with pytest.raises(Undelivered) as error:
        receiver.deliver(
            Notification(action=action, incident=incident, created_ms=0), receipt if edit else None, look_first
        )
    return error.value


@pytest.mark.parametrize("look_first", [False, True])
@pytest.mark.parametrize("edit", [False, True])
@pytest.mark.parametrize("body", [b"[]", b"[1]", b'"ok"', b"7", b"null", b"", b"\xff", b"<html>", b'{"ok": false}'])
def test_an_answer_that_says_nothing(slack: Slack, body: bytes, edit: bool, look_first: bool) -> None:
    slack.answer = (200, {"Content-Type": "application/json"}, body)
    assert not failure(slack, look_first=look_first, edit=edit).misconfigured


def test_a_file_for_an_answer(slack: Slack) -> None:
    slack.answer = (200, {"Content-Type": "application/gzip"}, b"zz")
    assert failure(slack).unknown


def test_a_message_that_nobody_knows_the_name_of_is_looked_for(slack: Slack) -> None:
    slack.answer = (200, {"Content-Type": "application/json"}, b'{"ok": true}')
    assert failure(slack).unknown


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("30", 30.0),
        ("0", SHORTEST_WAIT_S),
        ("-5", SHORTEST_WAIT_S),
        ("nan", SHORTEST_WAIT_S),
        ("1e999", LONGEST_WAIT_S),
        ("Wed, 21 Oct 2015 07:28:00 GMT", SHORTEST_WAIT_S),
    ],
)
def test_what_it_asks_to_wait_is_kept_within_reason(slack: Slack, asked: str, waited: float) -> None:
    slack.answer = (429, {"Retry-After": asked}, b"")
    assert failure(slack).wait_s == waited
