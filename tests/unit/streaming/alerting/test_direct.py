"""What is told with neither Kafka nor the manager."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streaming.alerting.direct import send_directly
from streaming.alerting.rules.ruleset import RuleSet
from streaming.errors import ConfigError, Unavailable
from streaming.settings import Settings
from tests.support.fake_http import Reply
from tests.support.fake_webhook import FakeWebhook


@pytest.fixture
def hook() -> Iterator[FakeWebhook]:
    with FakeWebhook.running() as fake:
        yield fake


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL", "HOOK_KEY"):
        monkeypatch.delenv(name, raising=False)
    # No Kafka there.
    return Settings(kafka_bootstrap="127.0.0.1:1")


def rules(hook: FakeWebhook, secret: dict[str, str] | None = None) -> RuleSet:
    return RuleSet.model_validate(
        {
            "receivers": [{"name": "hook", "kind": "webhook", "url": hook.url, "secret": secret}],
            "routes": [{"name": "default", "receivers": ["hook"]}],
        }
    )


def test_it_arrives_as_one_incident_by_its_title(hook: FakeWebhook, settings: Settings) -> None:
    for name, title in (("hook", "No heartbeats"), ("", "No heartbeats"), ("hook", "No logs")):
        send_directly(settings, rules(hook), name, title, "of any accumulator for 5 min")
    bodies = [request.json() for request in hook.taken]
    incidents = [body["data"]["incident"] for body in bodies]  # type: ignore[index]
    assert [one["title"] for one in incidents] == ["No heartbeats", "No heartbeats", "No logs"]
    assert incidents[0]["id"] == incidents[1]["id"] != incidents[2]["id"]
    assert incidents[0]["text"] == "of any accumulator for 5 min"
    assert incidents[0]["severity"] == "critical"


def test_the_console_is_always_there(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    send_directly(settings, RuleSet(), "", "No heartbeats\x1b[31m", "since 5 min")
    line = capsys.readouterr().out
    assert "No heartbeats" in line
    assert "\x1b" not in line


def test_what_fails_is_said(hook: FakeWebhook, settings: Settings) -> None:
    for name in ("nobody", "canary"):
        with pytest.raises(ConfigError, match=r"tells nobody\. Possible: console, hook"):
            send_directly(settings, rules(hook), name, "t", "x")
    with pytest.raises(ConfigError, match="receiver hook: its secret"):
        send_directly(settings, rules(hook, {"env": "HOOK_KEY"}), "hook", "t", "x")
    hook.faults.replies = [Reply(503), Reply(404)]
    with pytest.raises(Unavailable, match="receiver hook: not delivered"):
        send_directly(settings, rules(hook), "hook", "t", "x")
    with pytest.raises(ConfigError, match="receiver hook: not delivered"):
        send_directly(settings, rules(hook), "hook", "t", "x")
