"""`vigil accumulator check`, and running as the default."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streaming.cli.accumulator import app
from streaming.errors import ConfigError
from streaming.settings import CHECKOUT

CONF = str(CHECKOUT / "fluentd" / "fluent2.conf")


@pytest.fixture(autouse=True)
def defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_CONFIG", "/dev/null")


def test_check_says_what_was_understood() -> None:
    result = CliRunner().invoke(app, ["check", CONF, "--json"], catch_exceptions=False)
    said = json.loads(result.output)
    assert said["topics"] == ["logs", "heartbeats", "registrations"]
    assert said["sources"][0].startswith("forward ")


def test_check_refuses_with_place_and_reason(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_text("<sauce>\n</sauce>\n")
    with pytest.raises(ConfigError, match=r"x\.conf:1: <sauce>: .*Did you mean source"):
        CliRunner().invoke(app, ["check", str(tmp_path / "x.conf")], catch_exceptions=False)


def test_a_file_alone_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Path, str | None, int]] = []
    monkeypatch.setattr("streaming.accumulator.__main__.start", lambda *a: given.append(a))
    CliRunner().invoke(app, [CONF, "--slot", "1"], catch_exceptions=False)
    assert given == [(Path(CONF), None, 1)]
