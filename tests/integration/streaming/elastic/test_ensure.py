"""Templates on a real server: made, found, repaired, and reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import Refused, ensure_templates
from streaming.errors import Unavailable
from streaming.settings import CHECKOUT, Settings


def test_made_once_and_left_alone(settings: Settings) -> None:
    assert ensure_templates(settings).created
    assert not ensure_templates(settings).changed


def test_an_index_of_the_template_shows_no_drift(settings: Settings, connection: Connection) -> None:
    ensure_templates(settings)
    assert connection.request("PUT", f"/{settings.index_prefix}-logs-default-2026.11.24").status == 200
    report = ensure_templates(settings)
    assert (report.drift, report.unrepairable) == ([], [])


def test_drift_of_the_template_is_repaired_and_named(settings: Settings, connection: Connection) -> None:
    ensure_templates(settings)
    other = mapping.template(settings.index_prefix) | {"priority": 400}
    connection.json("PUT", f"/_index_template/{settings.index_prefix}-logs", other)
    (line,) = ensure_templates(settings).drift
    assert line.endswith("priority is 400, should be 500")
    assert not ensure_templates(settings).changed


def test_an_index_gets_missing_fields_and_keeps_wrong_types_with_a_word(
    settings: Settings, connection: Connection
) -> None:
    lacking, wrong = f"{settings.index_prefix}-logs-a-2026.01.01", f"{settings.index_prefix}-logs-b-2026.01.01"
    connection.json("PUT", f"/{lacking}", {"mappings": {"dynamic": True}})
    connection.json("PUT", f"/{wrong}", {"mappings": {"properties": {"message": {"type": "keyword"}}}})
    report = ensure_templates(settings)
    assert any(lacking in line and "dynamic" in line for line in report.drift)
    assert any(wrong in line and "message.type is 'keyword', should be 'text'" in line for line in report.unrepairable)
    again = ensure_templates(settings)
    assert not again.drift
    assert again.unrepairable


def test_a_template_that_is_refused_says_why(settings: Settings, connection: Connection) -> None:
    rival = mapping.template(settings.index_prefix)
    connection.json("PUT", f"/_index_template/{settings.index_prefix}-rival", rival)
    with pytest.raises(Refused, match=r"same priority|multiple index templates"):
        ensure_templates(settings)


def test_a_server_that_is_away_is_named(settings: Settings, free_port: object) -> None:
    away = settings.model_copy(update={"elasticsearch_url": "http://user:secret@127.0.0.1:1"})
    with pytest.raises(Unavailable, match=r"Elasticsearch at http://127\.0\.0\.1:1 does not answer") as raised:
        ensure_templates(away)
    assert "secret" not in str(raised.value)


def test_as_a_command(environment: dict[str, str]) -> None:
    def run(*more: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "streaming.elastic.ensure", *more],
            env=os.environ | environment | changed,
            cwd=CHECKOUT,
            text=True,
            capture_output=True,
            check=False,
        )

    report = json.loads(run("--json").stdout)
    assert report["created"] is True
    assert json.loads(run("--json").stdout)["created"] is False
    failed = run(VIGIL_ELASTICSEARCH_URL="http://127.0.0.1:1")
    assert failed.returncode == 69
    assert failed.stderr.count("\n") == 1


def test_a_server_that_cannot_keep_logsdb_is_told_before_it_loses_a_log(
    settings: Settings, connection: Connection
) -> None:
    """The published jars lack libzstd: such an index would be made, and every document of it refused."""
    with pytest.raises(Refused, match="VIGIL_INDEX_MODE=standard"):
        ensure_templates(settings.model_copy(update={"index_mode": "logsdb"}), connection)
    for path in (
        f"/_index_template/{mapping.template_name(settings.index_prefix)}",
        f"/{settings.index_prefix}-trial-of-logsdb",
    ):
        assert connection.request("GET", path).status == 404
