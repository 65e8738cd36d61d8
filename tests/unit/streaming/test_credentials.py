"""Secrets that systemd gives a unit as files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streaming.credentials import credential
from streaming.errors import ConfigError
from streaming.settings import Settings, load_settings


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    monkeypatch.setenv("VIGIL_CONFIG", str(tmp_path / "vigil.toml"))
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    return folder


def test_secrets_of_the_settings_are_read_from_the_files_of_their_names(given: Path) -> None:
    (given / "kafka_password").write_text("hunter2\n")
    (given / "slack_bot_token").write_text("xoxb-1")
    settings = load_settings()
    assert settings.kafka_password.get_secret_value() == "hunter2"
    assert settings.slack_bot_token.get_secret_value() == "xoxb-1"
    assert "hunter2" not in repr(settings)


def test_the_environment_comes_first_and_the_file_last(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (given / "kafka_password").write_text("credential")
    (given / "slack_bot_token").write_text("credential")
    (given.parent / "vigil.toml").write_text('kafka_password = "file"\nforward_password = "file"\n')
    monkeypatch.setenv("SLACK_BOT_TOKEN", "environment")
    settings = load_settings()
    assert settings.kafka_password.get_secret_value() == "credential"
    assert settings.forward_password.get_secret_value() == "file"
    assert settings.slack_bot_token.get_secret_value() == "environment"


def test_only_secrets_are_taken_from_there(given: Path) -> None:
    (given / "kafka_port").write_text("1234")
    (given / "VIGIL_KAFKA_PASSWORD").write_text("by another name")
    (given / "no_such_setting").write_text("x")
    settings = load_settings()
    assert settings.kafka_port == 9092
    assert settings.kafka_password.get_secret_value() == ""


def test_without_credentials_nothing_changes(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given / "gone"))
    load_settings()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "")
    load_settings()
    assert credential("kafka_password") is None


def test_a_credential_that_cannot_be_read_is_named_and_not_shown(given: Path) -> None:
    (given / "kafka_password").write_bytes(b"\xffsecret")
    with pytest.raises(ConfigError, match=f"{given}/kafka_password: a credential is no text") as caught:
        load_settings()
    assert "secret" not in str(caught.value)
    (given / "folder").mkdir()
    with pytest.raises(ConfigError, match="a credential cannot be read"):
        credential("folder")
    (given.parent / "outside").write_text("x")
    assert credential("../outside") is None
    assert credential(".hidden") is None


def test_every_secret_setting_can_come_this_way(given: Path) -> None:
    secrets = [name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)]
    assert "kafka_password" in secrets
    for name in secrets:
        os.environ.pop(Settings.variable(name), None)
        (given / name).write_text(f"value of {name}")
    settings = load_settings()
    assert all(getattr(settings, name).get_secret_value() == f"value of {name}" for name in secrets)
