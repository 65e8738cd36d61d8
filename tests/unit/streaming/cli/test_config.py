"""`vigil config`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streaming.cli.config import config


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vigil.toml"
    path.write_text("kafka_port = 19092\n")
    monkeypatch.setenv("VIGIL_CONFIG", str(path))
    monkeypatch.setenv("VIGIL_AIRFLOW_PORT", "18080")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-very-secret")


def test_each_value_says_where_it_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    config(as_json=True)
    rows = {row["variable"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["VIGIL_KAFKA_PORT"]["value"], rows["VIGIL_KAFKA_PORT"]["source"]) == ("19092", "vigil.toml")
    assert (rows["VIGIL_AIRFLOW_PORT"]["value"], rows["VIGIL_AIRFLOW_PORT"]["source"]) == ("18080", "environment")
    assert rows["VIGIL_ELASTICSEARCH_PORT"]["source"] == "default"
    assert all(row["meaning"] for row in rows.values()), "every setting says what it means"


def test_a_secret_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    config()
    out = capsys.readouterr().out
    assert "SLACK_BOT_TOKEN=set" in out
    assert "very-secret" not in out


def test_a_password_in_an_address_is_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIL_ELASTICSEARCH_URL", "https://elastic:changeme@search.example:9200")
    config()
    out = capsys.readouterr().out
    assert "https://***@search.example:9200" in out
    assert "changeme" not in out
