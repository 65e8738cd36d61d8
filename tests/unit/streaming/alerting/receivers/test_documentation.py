"""What docs/receivers.md shows works as it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from streaming.alerting.receivers.webhook import WebhookReceiver
from streaming.alerting.rules import routes
from streaming.alerting.rules.loading import load_texts
from tests.support.fake_webhook import FakeWebhook
from tests.support.incidents import a_notification

PAGE = Path(__file__).parents[5] / "docs/receivers.md"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert found is not None
    return found[1]


def test_the_example_of_a_rule_file() -> None:
    rules = load_texts([(PAGE, block("yaml"))])
    assert [receiver.kind for receiver in rules.receivers] == ["webhook", "alertmanager", "pagerduty", "email"]


def test_the_example_that_verifies_a_signature() -> None:
    names: dict[str, Callable[..., bool]] = {}
    exec(block("python"), names)
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    with FakeWebhook.running() as server:
        config = routes.WebhookReceiver(name="r", kind="webhook", url=server.url)
        one = WebhookReceiver(config, url=SecretStr(server.url), secret=SecretStr(secret))
        one.deliver(a_notification(), None, False)
        one.close()
        (request,) = server.taken
    assert names["is_genuine"](request.headers, request.body, secret)
    assert not names["is_genuine"](request.headers, request.body + b" ", secret)
    assert not names["is_genuine"](request.headers, request.body, "another")
