"""Task logs while Elasticsearch is away: tasks and the UI do not notice."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk._shared.logging.remote import discover_remote_log_handler
from airflow.sdk._shared.module_loading import import_string
from vigil_airflow.task_logs.remote import ElasticTaskLogs

LOG = "dag_id=d/run_id=r/task_id=t/attempt=1.log"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIGIL_CONFIG", str(tmp_path / "none.toml"))
    # Port 1 (tcpmux) takes no connection on a machine that is not decades old.
    monkeypatch.setenv("VIGIL_ELASTICSEARCH_URL", "http://127.0.0.1:1")
    (tmp_path / LOG).parent.mkdir(parents=True)
    (tmp_path / LOG).write_text('{"event":"hello"}\n')
    return tmp_path


def waiting(folder: Path) -> list[str]:
    return (folder / "not-in-elasticsearch").read_text().splitlines()


def test_a_log_that_could_not_be_sent_is_remembered_and_said_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = ElasticTaskLogs(folder)
    with caplog.at_level(logging.WARNING):
        logs.upload(LOG)
        logs.upload(folder / LOG)
    assert waiting(folder) == [f"0 {LOG}"] * 2
    assert caplog.text.count("to Elasticsearch later: Elasticsearch at http://127.0.0.1:1 does not answer") == 1


def test_the_local_file_is_read_without_asking_anybody(folder: Path) -> None:
    # No sources and no lines: Airflow then reads the file.
    assert ElasticTaskLogs(folder).stream(LOG, None) == ([], [])
    (sources, lines) = ElasticTaskLogs(folder).stream(LOG.replace("=1", "=2"), None)
    assert lines == []
    assert "does not answer" in sources[0]
    assert ElasticTaskLogs(folder).read(LOG, None) == ([], None)


def test_what_is_no_log_of_this_folder_is_left_alone(folder: Path) -> None:
    logs = ElasticTaskLogs(folder)
    logs.upload("gone.log")
    logs.upload("/etc/hostname")
    assert not (folder / "not-in-elasticsearch").exists()


def test_settings_that_cannot_be_used_are_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VIGIL_ELASTICSEARCH_URL", "ftp://x")
    with caplog.at_level(logging.WARNING):
        ElasticTaskLogs(folder).upload(LOG)
    assert "is kept as a file alone: VIGIL_ELASTICSEARCH_URL" in caplog.text


@pytest.fixture
def mute_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """It takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("VIGIL_ELASTICSEARCH_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield server


def test_a_server_that_says_nothing_costs_one_time_out_and_then_nothing(
    folder: Path, mute_server: socket.socket
) -> None:
    logs = ElasticTaskLogs(folder)
    logs.upload(LOG)
    mute_server.settimeout(0)
    mute_server.accept()[0].close()
    for _ in range(50):
        logs.upload(LOG)
    with pytest.raises(BlockingIOError):  # nobody has asked again
        mute_server.accept()
    assert len(waiting(folder)) == 51


def test_airflow_finds_it_beside_the_logging_configuration() -> None:
    found, connection = discover_remote_log_handler("vigil_airflow.task_logs.config.LOGGING_CONFIG", "", import_string)
    assert isinstance(found, ElasticTaskLogs)
    assert connection is None
