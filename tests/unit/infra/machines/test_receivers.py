"""Which secrets of receivers a deployment brings."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from infra.machines.receivers import found, variables
from streaming.settings import Settings

RULES = """
receivers:
  - {name: ops, kind: webhook, url: {env: OPS_URL}, secret: {file: /run/key}}
  - {name: desk, kind: slack, channel: C1, app_token: {env: DESK_APP}}
  - {name: pager, kind: pagerduty, routing_key: {env: PAGER_KEY}}
"""


def test_those_that_rule_files_name_by_variables() -> None:
    named = variables({"more/receivers.yaml": RULES, "README.md": "text", "routes.yml": "routes: []\n"})
    assert named == frozenset({"OPS_URL", "SLACK_BOT_TOKEN", "DESK_APP", "PAGER_KEY"})
    assert variables({"a.yaml": "receivers: []\n"}) == frozenset()
    assert variables({"a.yaml": "receivers: nonsense\n"}) is None, "so that none is taken away"


def test_what_this_process_has_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings().model_copy(update={"slack_bot_token": SecretStr("xoxb-of-the-settings")})
    monkeypatch.setenv("OPS_URL", "https://hooks.test/x")
    monkeypatch.setenv("PAGER_KEY", "")
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    named = frozenset({"OPS_URL", "SLACK_BOT_TOKEN", "DESK_APP", "PAGER_KEY"})
    assert found(named, settings) == {"OPS_URL": "https://hooks.test/x", "SLACK_BOT_TOKEN": "xoxb-of-the-settings"}
