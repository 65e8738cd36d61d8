"""Which receivers there are, when one must be made anew, and that none shows its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.alerting.receivers import make_receiver, wanted_receivers
from streaming.alerting.receivers.base import Receiver, ShowsLife
from streaming.alerting.rules.routes import SHOW_LIFE
from streaming.alerting.rules.ruleset import RuleSet
from streaming.errors import ConfigError
from streaming.settings import Settings

HIDDEN = "hunter2"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HIDDEN", HIDDEN)
    return Settings()


def rules(**changed: object) -> RuleSet:
    secret = {"env": "HIDDEN"}
    content: dict[str, object] = {
        "people": [{"name": "ann", "slack": "U0ANN0000", "email": "ann@example.com"}, {"name": "ben"}],
        "receivers": [
            {"name": "chat", "kind": "slack", "token": secret, "channel": "C0123456789"},
            {"name": "hook", "kind": "webhook", "url": "https://x.example/", "secret": secret},
            {"name": "sink", "kind": "alertmanager", "url": "https://x.example/"},
            {"name": "pager", "kind": "pagerduty", "routing_key": secret},
            {
                "name": "mail",
                "kind": "email",
                "host": "x.example",
                "username": "v",
                "password": secret,
                "sender": "v@x.example",
                "to": ["o@x.example"],
            },
        ],
    }
    return RuleSet.model_validate(content | changed)


def test_each_kind_is_made_and_shows_no_secret(settings: Settings) -> None:
    for name, wanted in wanted_receivers(rules(), settings).items():
        made: Receiver = make_receiver(wanted, settings)
        assert made.name == name
        assert HIDDEN not in f"{made!r} {wanted!r} {wanted}"


def test_those_that_a_dead_mans_switch_may_name_show_life(settings: Settings) -> None:
    for name, wanted in wanted_receivers(rules(), settings).items():
        made: object = make_receiver(wanted, settings)
        kind = name if wanted.config is None else wanted.config.kind
        assert isinstance(made, ShowsLife) == (kind in SHOW_LIFE)


def test_who_can_be_called_by_a_receiver_is_known_to_it(settings: Settings) -> None:
    wanted = wanted_receivers(rules(), settings)
    assert wanted["chat"].people == (("ann", "U0ANN0000"),)
    assert wanted["mail"].people == (("ann", "ann@example.com"),)
    assert wanted["hook"].people == ()


def test_a_receiver_is_another_where_its_entry_or_its_people_changed(settings: Settings) -> None:
    before = wanted_receivers(rules(), settings)
    assert wanted_receivers(rules(), settings) == before
    other = wanted_receivers(rules(people=[{"name": "ann", "slack": "U0OTHER00"}]), settings)
    assert {name for name in before if before[name] != other[name]} == {"chat", "mail"}


@pytest.mark.parametrize("name", ["chat", "hook", "pager", "mail"])
def test_a_secret_that_is_not_there_names_the_receiver(
    name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HIDDEN")
    with pytest.raises(ConfigError, match=f"receiver {name}: "):
        make_receiver(wanted_receivers(rules(), settings)[name], settings)


def test_an_address_that_is_a_secret_must_be_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = {"env": "HIDDEN"}
    (wanted,) = (
        one
        for name, one in wanted_receivers(
            rules(receivers=[{"name": "hook", "kind": "webhook", "url": url}]), settings
        ).items()
        if name == "hook"
    )
    with pytest.raises(ConfigError, match=r"no http\(s\) address") as caught:
        make_receiver(wanted, settings)
    assert HIDDEN not in str(caught.value)
    monkeypatch.setenv("HIDDEN", "https://x.example/T0/B1")
    assert make_receiver(wanted, settings).name == "hook"


def test_the_slack_of_the_settings_is_built_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "slack" not in wanted_receivers(rules(), settings)
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    monkeypatch.setenv("SLACK_CHANNEL", "C1")
    with_slack = Settings()
    assert make_receiver(wanted_receivers(RuleSet(), with_slack)["slack"], with_slack).name == "slack"
