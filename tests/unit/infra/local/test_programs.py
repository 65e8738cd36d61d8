"""Command lines and environments of programs, and the supervisor's configuration."""

from __future__ import annotations

import configparser
import json
from pathlib import Path

import pytest

from infra.local import airflow, programs
from infra.local.layout import MARK, Layout
from infra.local.supervisor import configuration, readable
from infra.services import catalogue
from streaming.settings import Settings, load_settings

TOKEN = "xoxb-never-in-a-file"


def test_every_service_and_airflow_component_has_a_command(settings: Settings) -> None:
    found = programs.commands(settings)
    assert list(found) == [*airflow.COMPONENTS, *(s.name for s in catalogue(settings))]
    assert all(Path(command[0]).is_absolute() for command in found.values())


def test_what_carries_an_alert_gives_way_to_nothing(settings: Settings) -> None:
    niceness = programs.niceness(settings)
    assert list(niceness) == list(programs.commands(settings))
    carries = {"kafka", "accumulator1", "matcher", "manager", "notifier", "heartbeat-monitor"}
    assert {niceness[name] for name in carries} == {0}
    assert min(niceness[name] for name in ("elasticsearch", "indexer", "templates", *airflow.COMPONENTS)) > 0


def test_each_accumulator_runs_its_own_file(settings: Settings) -> None:
    command = programs.commands(settings)["accumulator2"]
    assert command[1:] == [
        "-m", "streaming.accumulator", str(settings.fluentd_path / "fluent2.conf"), "--name", "accumulator2"
    ]  # fmt: skip


def test_a_real_fluentd_runs_the_same_file(settings: Settings) -> None:
    fluentd = settings.model_copy(update={"accumulator_engine": "fluentd"})
    assert programs.commands(fluentd)["accumulator3"][1:] == ["-c", str(settings.fluentd_path / "fluent3.conf")]
    told = programs.own_environment(Layout(settings.home), fluentd)["accumulator3"]
    assert told["VIGIL_KAFKA_BOOTSTRAP"] == "127.0.0.1:9092"
    assert told["VIGIL_SPOOL_DIR"] == str(Layout(settings.home).home / "spool")


def test_programs_read_the_very_settings_that_were_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path / "home", kafka_port=19092, topic_prefix="x-", heartbeat_deadline_s=3)
    for variable, value in programs.environment(Layout(settings.home), settings).items():
        monkeypatch.setenv(variable, value)
    assert load_settings() == settings


def test_no_secret_is_in_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    settings = Settings(home=tmp_path)
    layout = Layout(tmp_path)
    layout.make()
    airflow.make_secrets(layout)
    written = programs.declaration(layout, settings)
    assert settings.slack_bot_token.get_secret_value() == TOKEN
    assert TOKEN not in written
    for file in airflow.secret_files(layout).values():
        assert Path(file).read_text() not in written
        assert Path(file).stat().st_mode & 0o777 == 0o600
    assert airflow.password(layout) not in written
    assert programs.inherited(layout, settings)["SLACK_BOT_TOKEN"] == TOKEN
    assert programs.inherited(layout, settings)[MARK] == str(layout.home)


def test_secrets_are_made_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make()
    airflow.make_secrets(layout)
    first = airflow.read_secrets(layout), airflow.password(layout)
    airflow.make_secrets(layout)
    assert (airflow.read_secrets(layout), airflow.password(layout)) == first


def test_only_airflow_gets_airflows_secrets(settings: Settings) -> None:
    declared = json.loads(programs.declaration(Layout(settings.home), settings))
    assert set(declared["secret_files"]) == set(airflow.COMPONENTS)


def test_a_change_of_settings_is_noticed_and_a_missing_token_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    layout.make()
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    layout.programs.write_text(programs.declaration(layout, Settings(home=tmp_path)))
    assert not programs.has_changed(layout, Settings(home=tmp_path))
    assert programs.has_changed(layout, Settings(home=tmp_path, kafka_port=19092))
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    assert not programs.has_changed(layout, Settings(home=tmp_path))
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-another")
    assert programs.has_changed(layout, Settings(home=tmp_path))


def test_the_supervisors_configuration_starts_only_what_it_should() -> None:
    parsed = configparser.RawConfigParser()
    parsed.read_string(configuration(["a", "b"], autostart=["a"], plain_text=["a"], socket_path="supervisor.sock"))
    assert parsed["program:a"]["autostart"] == "true"
    assert parsed["program:b"]["autostart"] == "false"
    assert parsed["program:a"]["redirect_stderr"] == "true"
    assert parsed["program:b"]["stderr_logfile"] == "../logs/b.jsonl"
    assert parsed["program:b"]["command"].endswith("programs.json b")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain", "plain"),
        ('{"log_level": "ERROR", "message": "failed", "error": "no broker"}', "ERROR failed no broker"),
        ('{"other": 1}', '{"other": 1}'),
        ("\x1b[31mred\x07", "[31mred"),
        ("[1, 2]", "[1, 2]"),
    ],
)
def test_log_lines_are_shown_readable_and_harmless(line: str, expected: str) -> None:
    assert readable(line) == expected
