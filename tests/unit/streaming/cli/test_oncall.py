"""`vigil oncall`: who is on call, in text and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from streaming.cli.oncall import oncall
from streaming.errors import ConfigError

RULES = """\
people:
  - {name: ann, slack: U024BE7LH, email: ann@example.com}
  - {name: ben}
rotations:
  - name: ops
    people: [ann, ben]
    starts: 2026-03-02T09:00:00+01:00
    every: 1d
    timezone: Europe/Berlin
    overrides:
      - {person: ben, from: 2026-03-02T12:00:00+01:00, to: 2026-03-02T18:00:00+01:00}
  - {name: empty-yet, people: [ben], starts: 2030-01-01T00:00:00Z}
"""
AT = "2026-03-02T10:00+01:00"


@pytest.fixture(autouse=True)
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "people.yaml"
    file.write_text(RULES)
    monkeypatch.setenv("VIGIL_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setenv("VIGIL_RULES_PATH", str(tmp_path))
    return file


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(oncall)
    answer = CliRunner().invoke(app, [*arguments])
    if isinstance(answer.exception, ConfigError):
        raise answer.exception
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_who_is_on_call_and_who_follows() -> None:
    lines = [" ".join(line.split()) for line in run("--at", AT, "--days", "1").splitlines()]
    assert lines == [
        "ops: ann (Slack U024BE7LH, ann@example.com)",
        "from until person",
        "Mon 2026-03-02 10:00 +0100 Mon 2026-03-02 12:00 +0100 ann",
        "Mon 2026-03-02 12:00 +0100 Mon 2026-03-02 18:00 +0100 ben stands in",
        "Mon 2026-03-02 18:00 +0100 Tue 2026-03-03 09:00 +0100 ann",
        "Tue 2026-03-03 09:00 +0100 Tue 2026-03-03 10:00 +0100 ben",
        "empty-yet: nobody",
        "from until person",
    ]


def test_as_json() -> None:
    (ops,) = json.loads(run("--at", "2026-03-02T13:00+01:00", "--rotation", "ops", "--days", "0", "--json"))
    assert ops["on_call"] == {"name": "ben", "slack": "", "email": ""}
    assert ops["duties"] == []
    (found, _) = json.loads(run("--at", AT, "--json"))
    assert [duty["person"] for duty in found["duties"]][:4] == ["ann", "ben", "ann", "ben"]
    assert found["duties"][1]["stands_in"]


def test_what_is_not_there_is_said(rules: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no rotation 'op'\. Did you mean ops\?"):
        run("--rotation", "op")
    rules.write_text("rules: []\n")
    assert "no rotations" in run()
