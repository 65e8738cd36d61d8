"""Settings: where they come from, and how a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.errors import ConfigError
from streaming.forward.access import PLAIN, Access, Tls
from streaming.forward.handshake import Credentials
from streaming.settings import load_settings


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "vigil.toml"
    monkeypatch.setenv("VIGIL_CONFIG", str(path))
    return path


def test_defaults() -> None:
    settings = load_settings()
    assert (settings.kafka_port, settings.elasticsearch_port, settings.airflow_port) == (9092, 9200, 8080)
    assert settings.bootstrap == "127.0.0.1:9092"
    assert settings.elasticsearch == "http://127.0.0.1:9200"
    assert len({settings.health_port(w, s) for w in ("indexer", "accumulator3") for s in range(3)}) == 6


def test_the_environment_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('kafka_port = 19092\ntopic_prefix = "staging-"\n')
    monkeypatch.setenv("VIGIL_KAFKA_PORT", "29092")
    settings = load_settings()
    assert settings.kafka_port == 29092
    assert settings.topic("logs") == "staging-logs"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nkafka_prot = 1\n", ":2: kafka_prot: no such setting. Did you mean kafka_port?"),
        ("kafka_port = 99999\n", ":1: kafka_port: Input should be less than or equal to 65535"),
        ("home = '/tmp'\nheartbeat_deadline_s = -1\n", ":2: heartbeat_deadline_s: Input should be greater than 0"),
        ("kafka_port = \n", ":1: "),
    ],
)
def test_a_wrong_line_of_the_file_is_named(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_settings()
    assert str(error.value).startswith(str(file))
    assert said in str(error.value)


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_KAFKA_PORT", "many")
    with pytest.raises(ConfigError, match=r"VIGIL_KAFKA_PORT: .*not 'many'"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIGIL_HOME", ""),
        ("VIGIL_RULES_PATH", ""),
        ("VIGIL_HEARTBEAT_DEADLINE_S", "inf"),
        ("VIGIL_SLACK_MESSAGES_PER_S", "inf"),
        ("VIGIL_HEALTH_PORT_BASE", "65530"),
    ],
)
def test_a_value_that_no_worker_could_use_is_named(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=rf"^{variable}: .*not '{value}'$"):
        load_settings()


def test_a_file_that_is_no_text_is_named(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings()


def test_a_folder_in_place_of_the_file_is_named(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        load_settings()


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_KAFKAPORT", "1")
    with pytest.raises(ConfigError, match="VIGIL_KAFKAPORT: no such setting"):
        load_settings()


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-very-secret")
    settings = load_settings()
    assert settings.slack_bot_token.get_secret_value() == "xoxb-very-secret"
    assert "very-secret" not in repr(settings)


def test_senders_are_plain_unless_settings_secure_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().forward_access == PLAIN
    for name, value in {
        "TLS": "true",
        "CA_PATH": "ca.pem",
        "SHARED_KEY": "the key",
        "USERNAME": "ann",
        "PASSWORD": "her password",
    }.items():
        monkeypatch.setenv(f"VIGIL_FORWARD_{name}", value)
    settings = load_settings()
    assert settings.forward_access == Access(Tls("ca.pem"), Credentials("the key", "ann", "her password"))
    assert "the key" not in repr(settings) + repr(settings.forward_access)
    assert "her password" not in repr(settings) + repr(settings.forward_access)
