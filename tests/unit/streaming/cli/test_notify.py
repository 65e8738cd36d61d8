"""`vigil notify`: what is there, and whether it can be told anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.cli.notify import list_receivers, try_receiver
from streaming.errors import ConfigError, Unavailable
from tests.support.fake_http import Reply
from tests.support.fake_pagerduty import ROUTING_KEY, FakePagerDuty
from tests.support.fake_smtp import FakeSmtp
from tests.support.fake_webhook import FakeWebhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def hook() -> Iterator[FakeWebhook]:
    with FakeWebhook.running() as fake:
        yield fake


@pytest.fixture
def pager() -> Iterator[FakePagerDuty]:
    with FakePagerDuty.running() as fake:
        yield fake


@pytest.fixture(autouse=True)
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: FakeWebhook, pager: FakePagerDuty) -> None:
    file = tmp_path / "receivers.yaml"
    file.write_text(
        f"""\
receivers:
  - {{name: hook, kind: webhook, url: {{env: HOOK_URL}}, secret: {{env: HOOK_SECRET}}}}
  - {{name: open-hook, kind: webhook, url: "http://bob:PASSWORD@127.0.0.1:{hook.port}/SECRETPATH"}}
  - {{name: pager, kind: pagerduty, routing_key: {{env: PAGER_KEY}}, url: "{pager.enqueue}"}}
routes:
  - {{name: default, receivers: [hook], fallback: [pager]}}
  - {{name: night, receivers: [pager], escalate: [{{after: 5m, to: [open-hook]}}]}}
dead_man: {{receiver: open-hook}}
"""
    )
    for name in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL", "PAGER_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VIGIL_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setenv("VIGIL_RULES_PATH", str(file))
    monkeypatch.setenv("HOOK_URL", f"{hook.url}/SECRETPATH")
    monkeypatch.setenv("HOOK_SECRET", SECRET)


def test_the_list(capsys: pytest.CaptureFixture[str], hook: FakeWebhook, pager: FakePagerDuty) -> None:
    list_receivers(as_json=True)
    out = capsys.readouterr().out
    assert "PASSWORD" not in out
    assert "SECRETPATH" not in out
    found = {row["name"]: row for row in json.loads(out)}
    assert list(found) == ["canary", "console", "hook", "open-hook", "pager"]
    assert found["hook"]["used_by"] == ["default"]
    assert found["pager"]["used_by"] == ["default (fallback)", "night"]
    assert found["open-hook"]["used_by"] == ["night (escalation)", "dead_man"]
    assert found["console"]["used_by"] == []
    assert found["canary"]["used_by"] == ["canary"]
    assert found["hook"]["where"] == "address in HOOK_URL"
    assert found["open-hook"]["where"] == f"127.0.0.1:{hook.port}"
    assert found["hook"]["fault"] == ""
    assert "PAGER_KEY" in found["pager"]["fault"]
    list_receivers()
    assert "PAGER_KEY" in capsys.readouterr().out
    assert hook.requests == pager.requests == [], "it asks nobody"


def test_without_a_default_route(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty.yaml").write_text("rules: []\n")
    monkeypatch.setenv("VIGIL_RULES_PATH", str(tmp_path / "empty.yaml"))
    list_receivers(as_json=True)
    assert {row["name"]: row["used_by"] for row in json.loads(capsys.readouterr().out)} == {
        "canary": ["canary"],
        "console": ["default"],
    }


def test_a_test_opens_and_resolves(capsys: pytest.CaptureFixture[str], hook: FakeWebhook) -> None:
    hook.secret = SECRET
    try_receiver("hook")
    opened, resolved = (request.json() for request in hook.taken)
    assert (opened["type"], resolved["type"]) == ("incident.open", "incident.resolve")
    assert "TEST, no incident" in json.dumps(opened)
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == ["hook:", "check", "open", "resolve"]
    assert "SECRETPATH" not in out
    try_receiver("hook")
    assert len({request.headers["webhook-id"] for request in hook.taken}) == 4, "each is a new one"


def test_it_may_stay_open(pager: FakePagerDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER_KEY", ROUTING_KEY)
    try_receiver("pager", "critical", resolve=False)
    (alert,) = pager.alerts
    assert (alert.state, alert.payload["severity"]) == ("triggered", "critical")
    try_receiver("pager")
    assert [one.state for one in pager.alerts] == ["triggered", "resolved"]


def test_errors_say_what_to_do(hook: FakeWebhook, pager: FakePagerDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="Did you mean hook"):
        try_receiver("hok")
    with pytest.raises(ConfigError, match="no severity"):
        try_receiver("hook", "fatal")
    with pytest.raises(ConfigError, match="PAGER_KEY"):
        try_receiver("pager")
    monkeypatch.setenv("PAGER_KEY", "f" * 32)
    with pytest.raises(ConfigError, match=r"check: routing_key: .*Correct its entry"):
        try_receiver("pager")
    hook.secret = "another"
    with pytest.raises(ConfigError, match="open: http_401"):
        try_receiver("hook")
    hook.secret = None
    hook.faults.replies = [Reply(429, {"Retry-After": "30"})]
    with pytest.raises(Unavailable, match="asks to wait 30 s"):
        try_receiver("hook")
    hook.faults.cut_after = 1
    with pytest.raises(Unavailable, match="Nobody knows whether it arrived"):
        try_receiver("hook")
    monkeypatch.setenv("HOOK_URL", "http://127.0.0.1:9/SECRETPATH")
    with pytest.raises(Unavailable, match="check: unreachable") as error:
        try_receiver("hook")
    assert "SECRETPATH" not in str(error.value)


def test_mail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with FakeSmtp.running() as server:
        (tmp_path / "mail.yaml").write_text(
            f"""\
receivers:
  - name: mail
    kind: email
    host: 127.0.0.1
    port: {server.port}
    security: none
    sender: v@x.example
    to: [o@x.example]
"""
        )
        monkeypatch.setenv("VIGIL_RULES_PATH", str(tmp_path / "mail.yaml"))
        try_receiver("mail")
        first, second = (mail.message for mail in server.mails)
    assert first["Subject"] == second["Subject"]
    assert second["In-Reply-To"] == first["Message-ID"]
    assert "to o@x.example" in capsys.readouterr().out
