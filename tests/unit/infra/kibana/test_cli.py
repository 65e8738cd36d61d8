"""`vigil kibana` as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.kibana.checks import export
from infra.kibana.cli import kibana_app
from infra.kibana.client import Refused
from tests.support.fake_kibana import FakeKibana

ALL = export("vigil")
COUNT = len(ALL.splitlines()) - 1


def test_export_writes_what_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "vigil.ndjson"
    done = CliRunner().invoke(kibana_app, ["export", "--output", str(file)])
    assert done.output == f"{file}: {COUNT} objects\n"
    assert file.read_bytes() == ALL
    assert CliRunner().invoke(kibana_app, ["export"]).stdout_bytes == ALL
    listed = json.loads(CliRunner().invoke(kibana_app, ["export", "--json"]).output)
    assert len(listed) == COUNT
    assert {"type": "index-pattern", "id": "vigil-logs", "title": "[Vigil] Logs"} in listed


def test_check_says_that_nothing_is_wrong_or_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(kibana_app, ["check"]).output == f"{COUNT} objects: no problem\n"
    monkeypatch.setattr("infra.kibana.content.searches.ERRORS", "nothing : 1")
    done = CliRunner().invoke(kibana_app, ["check"])
    assert done.exit_code == 1
    assert "search:vigil-search-errors ([Vigil] Errors of the last hour): asks for field 'nothing'" in done.output
    assert done.output.endswith(f"{COUNT} objects: 1 problems\n")
    said = json.loads(CliRunner().invoke(kibana_app, ["check", "--json"]).output)
    assert said["objects"] == COUNT
    assert [one["object"] for one in said["problems"]] == ["search:vigil-search-errors"]


def test_nothing_faulty_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.kibana.content.searches.ERRORS", "nothing : 1")
    done = CliRunner().invoke(kibana_app, ["export"])
    assert "objects for Kibana are faulty" in str(done.exception)
    assert done.stdout_bytes == b""


def test_import(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("c2VzYW1l\n")
    key.chmod(0o600)
    with FakeKibana.running() as kibana:
        kibana.api_key = "c2VzYW1l"
        kibana.spaces.add("ops")
        arguments = ["import", "--url", kibana.url, "--api-key-file", str(key)]
        done = CliRunner().invoke(kibana_app, arguments)
        assert done.output == f"{kibana.url}: {COUNT} objects imported, 0 of them were there before\n"
        said = json.loads(CliRunner().invoke(kibana_app, [*arguments, "--json"]).output)
        assert said == {"imported": COUNT, "overwritten": COUNT, "moved": [], "url": kibana.url}
        done = CliRunner().invoke(kibana_app, [*arguments, "--space", "ops"])
        assert done.output.startswith(f"{kibana.url}/s/ops: {COUNT} objects imported")
        assert "they got new ones here" in done.output


def test_a_failure_is_one_line_and_the_secret_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeKibana.running() as kibana:
        kibana.api_key = "other"
        monkeypatch.setenv("VIGIL_KIBANA_API_KEY", "c2VzYW1l")
        monkeypatch.setenv("VIGIL_KIBANA_URL", kibana.url)
        done = CliRunner().invoke(kibana_app, ["import", "--wait", "0"])
    assert isinstance(done.exception, Refused)
    assert str(done.exception).startswith(f"Kibana at {kibana.url} refuses the credentials")
    assert str(done.exception).isprintable()
    assert "c2VzYW1l" not in done.output + str(done.exception)
