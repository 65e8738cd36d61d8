"""The webhook against one that verifies signatures and ids."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import SecretStr

from streaming.alerting.messages import Action, Notification
from streaming.alerting.receivers.base import ShowsLife, Undelivered
from streaming.alerting.receivers.webhook import WebhookReceiver, body_of, message_key, signature
from streaming.alerting.rules import routes
from tests.support.fake_http import Reply
from tests.support.fake_webhook import FakeWebhook
from tests.support.incidents import Told, a_notification, hostile_notifications

PLAIN = "a secret of any text, ü too"
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def running() -> Iterator[FakeWebhook]:
    with FakeWebhook.running() as fake:
        yield fake


@pytest.fixture
def server(running: FakeWebhook) -> FakeWebhook:
    running.reset()
    return running


def receiver(server: FakeWebhook, secret: str | None = None, age_s: float = 0) -> WebhookReceiver:
    config = routes.WebhookReceiver(name="ours", kind="webhook", url=server.url)
    return WebhookReceiver(
        config,
        url=SecretStr(f"{server.url}/hook"),
        secret=None if secret is None else SecretStr(secret),
        clock=lambda: time.time() - age_s,
    )


def test_the_example_of_the_standard() -> None:
    """The vector that the standard's own libraries test with."""
    import base64

    key = base64.b64decode(STANDARD.removeprefix("whsec_"))
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", [PLAIN, STANDARD, None])
def test_it_is_signed(server: FakeWebhook, secret: str | None) -> None:
    server.secret = secret
    delivered = receiver(server, secret).deliver(a_notification(mentions=("ada",)), None, False)
    assert delivered.message_id == "ABCDEFGHIJ-0-1-open"
    (request,) = server.taken
    assert (request.headers["webhook-signature"] is None) == (secret is None)
    sent = request.json()
    assert sent["type"] == "incident.open"
    assert sent["timestamp"] == "2026-09-21T14:13:20.000Z"
    data = sent["data"]
    assert isinstance(data, dict)
    assert data["on_call"] == ["ada"]
    assert data["links"] == [{"text": "Run book", "href": "https://wiki.example/gateway"}]
    assert data["incident"]["log"]["message"] == "gateway timed out after 3000 ms"
    assert data["incident"]["group"] == {"service.name": "payment", "error.code": "E42"}


def test_a_wrong_secret_and_a_wrong_clock_are_misconfigured(server: FakeWebhook) -> None:
    server.secret = STANDARD
    for one in (receiver(server, PLAIN), receiver(server, STANDARD, age_s=3600), receiver(server)):
        with pytest.raises(Undelivered, match="401") as error:
            one.deliver(a_notification(), None, False)
        assert error.value.misconfigured
    with pytest.raises(Undelivered, match="bad_secret") as error:
        receiver(server, "whsec_ü?").check()
    assert error.value.misconfigured


def test_every_action_is_sent(server: FakeWebhook) -> None:
    told = Told(receiver(server))
    for version, action in enumerate(Action, 1):
        told.of(a_notification(action, version=version))
    types = [str(request.json()["type"]) for request in server.taken]
    assert types == [f"incident.{action.value}" for action in Action]


def test_an_unknown_outcome_is_sent_again_under_the_same_id_with_the_same_body(server: FakeWebhook) -> None:
    told = Told(receiver(server, STANDARD))
    server.secret = STANDARD
    server.faults.cut_after = 1
    with pytest.raises(Undelivered) as error:
        told.of(a_notification())
    assert error.value.unknown
    told.of(a_notification(), look_first=True)
    assert len(server.taken) == 2, "at least once"
    assert list(server.kept) == ["ABCDEFGHIJ-0-1-open"], "and one by its id"


def test_what_merged_meanwhile_has_an_id_of_its_own(server: FakeWebhook) -> None:
    told = Told(receiver(server))
    server.faults.cut_after = 1
    with pytest.raises(Undelivered):
        told.of(a_notification())
    told.of(a_notification(version=4, count=90), look_first=True)
    assert list(server.kept) == ["ABCDEFGHIJ-0-1-open", "ABCDEFGHIJ-0-4-open"]


def test_the_id_does_not_change_with_what_is_no_part_of_the_incident() -> None:
    """Merged in the outbox, it carries the time of the first."""
    first, later = a_notification(), msgspec.structs.replace(a_notification(), created_ms=5)
    assert body_of(first, message_key(first)) == body_of(later, message_key(later))


def test_slow_down(server: FakeWebhook) -> None:
    server.faults.replies = [Reply(429, {"Retry-After": "30"})]
    with pytest.raises(Undelivered) as error:
        receiver(server).deliver(a_notification(), None, False)
    assert (error.value.wait_s, error.value.unknown) == (30, False)


def test_a_sign_of_life(server: FakeWebhook) -> None:
    one = receiver(server, STANDARD)
    server.secret = STANDARD
    assert isinstance(one, ShowsLife)
    one.alive(1_790_000_000_000, 60)
    (request,) = server.taken
    assert request.json() == {
        "type": "vigil.alive",
        "timestamp": "2026-09-21T14:13:20.000Z",
        "data": {"next_within_s": 60},
    }
    one.check()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(hostile_notifications())
def test_whatever_the_log_says(server: FakeWebhook, notification: Notification) -> None:
    server.reset()
    server.secret = PLAIN
    receiver(server, PLAIN).deliver(notification, None, True)
    (request,) = server.taken
    data = request.json()["data"]
    assert isinstance(data, dict)
    sample = notification.incident.sample
    assert data["incident"]["log"]["message"] == sample.message.encode("utf-8", "replace").decode()
