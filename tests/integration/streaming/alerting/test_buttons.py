"""Buttons over Socket Mode, against a WebSocket server that does what Slack's does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from streaming.alerting.receivers.slack import sockets
from streaming.alerting.receivers.slack.buttons import Press
from streaming.alerting.receivers.slack.elements import ACKNOWLEDGE
from streaming.alerting.receivers.slack.sockets import CHECK, Sockets
from streaming.worker.health import Health
from tests.support.fake_slack import APP_TOKEN, TOKEN, FakeSlack
from tests.support.fake_socket import ACK_WITHIN_S

if TYPE_CHECKING:
    from tests.support.alert_path import AlertPath

WaitUntil = Callable[[Callable[[], object], float, str], object]


class Desk:
    """Takes presses in, as slowly as it is told."""

    def __init__(self, slack: FakeSlack) -> None:
        self.pressed: list[Press] = []
        self.told, self.go_on = "", threading.Event()
        self.go_on.set()
        self.health = Health("test")
        self.sockets = Sockets(slack.url, self.answer, self.health)

    def answer(self, press: Press) -> str:
        self.pressed.append(press)
        self.go_on.wait(30)
        return self.told

    def is_well(self) -> bool:
        return self.health.answer()["checks"][CHECK]["ok"]


@pytest.fixture
def desk(slack: FakeSlack) -> Iterator[Desk]:
    made = Desk(slack)
    yield made
    made.go_on.set()
    made.sockets.close()


def test_a_press_is_acknowledged_at_once_and_answered_to_who_pressed(
    desk: Desk, slack: FakeSlack, wait_until: WaitUntil
) -> None:
    desk.sockets.keep({APP_TOKEN: TOKEN})
    slack.socket.await_connections(1)
    desk.told = "You may not do this"
    desk.go_on.clear()
    sent = [slack.socket.press(ACKNOWLEDGE, "ABCDEFGHIJ") for _ in range(10)]
    for envelope in sent:
        assert envelope.acked.wait(10), "also while nothing is obeyed"
        assert envelope.took_s is not None
        assert envelope.took_s < ACK_WITHIN_S
    desk.go_on.set()
    wait_until(lambda: len(slack.whispers) == 10, 10, "all are answered")
    assert slack.whispers[0] == ("U0ADA0000", "You may not do this")
    assert {(p.incident_id, p.user, p.channel) for p in desk.pressed} == {("ABCDEFGHIJ", "U0ADA0000", "C0123456789")}
    assert desk.is_well()


def test_it_connects_again_and_bad_envelopes_harm_nothing(
    desk: Desk, slack: FakeSlack, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "PING_S", 0.2)
    desk.sockets.keep({APP_TOKEN: TOKEN})
    slack.socket.await_connections(1)
    for text in ("", "{", "[]", "7", '{"type": 7}', '{"type": "interactive", "envelope_id": "e", "payload": null}'):
        slack.socket.send_raw(text)
    slack.socket.send({"type": "slash_commands", "payload": {"type": "block_actions"}})
    slack.socket.press("another_app", "ABCDEFGHIJ")
    slack.socket.press(ACKNOWLEDGE, "ABCDEFGHIJ")
    wait_until(lambda: len(desk.pressed) == 1, 10, "the one that is good")
    before = slack.socket.opened_count
    slack.socket.send({"type": "disconnect", "reason": "refresh_requested"})
    wait_until(lambda: slack.socket.opened_count > before, 15, "a new connection where Slack asks for one")
    before = slack.socket.opened_count
    slack.socket.cut()
    wait_until(lambda: slack.socket.opened_count > before, 20, "a new connection after a cut")
    wait_until(desk.is_well, 10, "it is well again")

    def pressed_again() -> bool:
        slack.socket.press(ACKNOWLEDGE, "ABCDEFGHIJ")
        time.sleep(0.2)
        return len(desk.pressed) > 1

    wait_until(pressed_again, 10, "presses come again")


def test_a_token_that_slack_refuses_shows_in_the_health_answer_until_it_is_another(
    desk: Desk, slack: FakeSlack, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "backoff_s", lambda _: 0.05)
    desk.sockets.keep({"xapp-bad": TOKEN})
    wait_until(lambda: not desk.is_well(), 10, "it shows")
    assert "invalid_auth" in str(desk.health.answer()["checks"][CHECK])
    assert "xapp-bad" not in str(desk.health.answer())
    desk.sockets.keep({APP_TOKEN: TOKEN})
    slack.socket.await_connections(1)
    wait_until(desk.is_well, 10, "it is well")
    desk.sockets.keep({})
    slack.socket.await_connections(0)
    assert CHECK not in desk.health.answer()["checks"]


def test_slack_that_is_away_is_tried_again(
    desk: Desk, slack: FakeSlack, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "backoff_s", lambda _: 0.05)
    slack.socket.fault = "internal_error"
    desk.sockets.keep({APP_TOKEN: TOKEN})
    wait_until(lambda: slack.calls.count("apps.connections.open") > 2, 10, "it tries")
    assert desk.is_well(), "a short outage is not this worker's illness"
    slack.socket.fault = ""
    slack.socket.await_connections(1)


def test_a_press_in_slack_acknowledges_the_incident(
    alert_path: AlertPath, slack: FakeSlack, wait_until: WaitUntil
) -> None:
    alert_path.environment["SLACK_APP_TOKEN"] = APP_TOKEN
    alert_path.start()
    alert_path.log("E1")
    alert_path.flush()
    alert_path.await_all(lambda: slack.messages, 1)
    (message,) = slack.messages
    assert "Acknowledge" in message.everything
    (incident,) = alert_path.incidents()
    slack.socket.await_connections(1)
    assert slack.socket.press(ACKNOWLEDGE, incident.incident_id).acked.wait(ACK_WITHIN_S)
    wait_until(lambda: "acknowledged by U0ADA0000" in slack.messages[0].everything, 20, "the message says by whom")
    assert [m.edits for m in slack.messages] == [1]
    assert slack.whispers == []
    slack.socket.press(ACKNOWLEDGE, incident.incident_id)
    wait_until(lambda: slack.whispers, 10, "an answer")
    assert slack.whispers == [("U0ADA0000", "Nothing done: it is acknowledged.")]
