"""Task logs in a real Elasticsearch: each line once, read as it was, and what waited is sent later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from vigil_airflow.task_logs import remote
from vigil_airflow.task_logs.remote import ElasticTaskLogs
from vigil_airflow.task_logs.store import KIND

from streaming.settings import Settings

LOG = "dag_id=d/run_id=r/task_id=t/attempt=1.log"


def line(n: int, second: int, month: int = 11) -> str:
    return json.dumps({"timestamp": f"2026-{month}-26T10:00:{second:02}.000Z", "level": "info", "event": f"event {n}"})


class Log:
    """A log file and what Elasticsearch has of it."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self._client = Elasticsearch(settings.elasticsearch)
        self.index = KIND.index(settings.index_prefix, "*")

    def write(self, path: str, *lines: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as opened:
            opened.writelines(f"{one}\n" for one in lines)

    def found(self, path: str = LOG) -> list[str]:
        self._client.indices.refresh(index=self.index)
        (self.folder / path).unlink(missing_ok=True)
        sources, streams = ElasticTaskLogs(self.folder).stream(path, None)
        assert bool(sources) == bool(streams)
        return [text for stream in streams for text in stream]

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def log(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    monkeypatch.setattr("streaming.settings.load_settings", lambda: settings)
    found = Log(tmp_path, settings)
    yield found
    found.close()


def test_a_task_that_deferred_and_resumed_has_each_line_once(log: Log) -> None:
    logs = ElasticTaskLogs(log.folder)
    log.write(LOG, line(1, 1), line(2, 2), "plain text")
    logs.upload(LOG)
    log.write(f"{LOG}.trigger.4.log", line(3, 3))
    logs.upload(f"{LOG}.trigger.4.log")
    log.write(LOG, line(4, 4, month=12))
    logs.upload(LOG)
    logs.upload(LOG)
    assert log.found() == [line(1, 1), line(2, 2), "plain text", line(3, 3), line(4, 4, month=12)]


def test_what_waited_is_sent_when_elasticsearch_is_there(
    log: Log, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = settings.model_copy(update={"elasticsearch_url": "http://127.0.0.1:1"})
    logs, other = ElasticTaskLogs(log.folder), LOG.replace("=1", "=2")
    log.write(LOG, line(1, 1))
    log.write(other, line(2, 2))
    monkeypatch.setattr("streaming.settings.load_settings", lambda: away)
    logs.upload(LOG)
    monkeypatch.setattr("streaming.settings.load_settings", lambda: settings)
    logs.upload(other)  # within the pause: it is remembered
    ElasticTaskLogs(log.folder).upload(other)  # another process
    assert [path.name for path in log.folder.glob("not-in*") if path.stat().st_size] == []
    assert log.found() == [line(1, 1)]
    assert log.found(other) == [line(2, 2)]


def test_a_log_for_which_there_is_no_time_goes_on_where_it_was(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line(n, n // 60) for n in range(1200)]
    log.write(LOG, *lines)
    monkeypatch.setattr("vigil_airflow.task_logs.store.CHUNK", 400)
    clock = iter(range(1_000_000))
    monkeypatch.setattr("vigil_airflow.task_logs.store.time", type("Clock", (), {"monotonic": lambda: next(clock)}))
    monkeypatch.setattr(remote, "time", type("Clock", (), {"monotonic": lambda: next(clock)}))
    monkeypatch.setattr(remote, "SEND_WITHIN_S", 2.5)
    monkeypatch.setattr(remote, "CATCH_UP_WITHIN_S", 50)
    ElasticTaskLogs(log.folder).upload(LOG)
    assert (log.folder / "not-in-elasticsearch").read_text() == f"800 {LOG}\n"
    small = LOG.replace("=1", "=2")
    log.write(small, line(0, 0))
    ElasticTaskLogs(log.folder).upload(small)
    assert log.found() == lines
