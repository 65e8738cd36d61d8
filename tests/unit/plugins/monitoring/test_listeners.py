"""What Airflow calls: with the objects of a task's process, of the scheduler, and of components that begin and end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import TaskInstanceState as OfTheSdk
from airflow.utils.state import TaskInstanceState as OfTheCore
from vigil_airflow import listeners
from vigil_airflow.monitoring import pulse
from vigil_airflow.monitoring.reporter import node_id

from tests.conftest import ForwardServer


@pytest.fixture
def airflow(forward_server: ForwardServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ForwardServer]:
    """The listeners, as in a fresh process, with an accumulator."""
    monkeypatch.setenv("VIGIL_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setenv("VIGIL_ACCUMULATOR1_PORT", str(forward_server.port))
    monkeypatch.setattr(listeners, "_reporter", None)
    monkeypatch.setattr(pulse, "INTERVAL_S", 0.02)
    yield forward_server
    for found in list(listeners._pulses.values()):
        found.stop()
    listeners._pulses.clear()


def a_task(kind: str = "RuntimeTaskInstance", **changes: object) -> Any:
    fields: dict[str, object] = {
        "dag_id": "d",
        "task_id": "t",
        "run_id": "r",
        "map_index": -1,
        "try_number": 1,
        "max_tries": 0,
        "state": "failed",
        "log_url": "http://h/log",
    }
    return type(kind, (SimpleNamespace,), {})(**{**fields, **changes})


class Job:
    """What the listeners see of Airflow's: its kind comes after it was told to begin."""

    __module__ = "airflow.jobs.job"

    def __init__(self) -> None:
        self.latest_heartbeat = datetime.now(UTC)


def states(server: ForwardServer) -> list[object]:
    return [beat["status"] for beat in server.records("HEARTBEAT")]


def test_a_failed_task_and_run_are_told(airflow: ForwardServer) -> None:
    listeners.on_task_instance_failed(a_task(), ValueError("no"))
    listeners.on_task_instance_failed(a_task(state=OfTheSdk.UP_FOR_RETRY), "killed")
    listeners.on_task_instance_failed(a_task("TaskInstance", state=OfTheCore.UP_FOR_RETRY), "heartbeat timed out")
    listeners.on_dag_run_failed(SimpleNamespace(dag_id="d", run_id="r"), "timed_out")
    airflow.wait_for(lambda: len(airflow.records("LOG")) == 4)
    assert [(log["log_level"], str(log["message"])) for log in airflow.records("LOG")] == [
        ("ERROR", "task t of d failed: ValueError: no"),
        ("WARN", "task t of d failed and will be tried again: killed"),
        ("WARN", "task t of d failed and will be tried again: heartbeat timed out"),
        ("ERROR", "run r of d failed: timed_out"),
    ]


def test_a_component_registers_beats_and_says_when_it_ends_on_purpose(airflow: ForwardServer) -> None:
    job = Job()
    listeners.on_starting(job)
    job.job_type = "SchedulerJob"  # type: ignore[attr-defined]
    airflow.wait_for(lambda: states(airflow).count("UP") >= 3)
    airflow.wait_for(lambda: bool(airflow.records("LOG")))
    assert airflow.records("REGISTRATION")[0]["node_id"] == node_id("scheduler")
    assert str(airflow.records("LOG")[0]["message"]).startswith("Airflow's scheduler has started (Airflow 3.")
    listeners.before_stopping(job)
    listeners.before_stopping(job)
    airflow.wait_for(lambda: states(airflow)[-1] == "DOWN")


def test_one_that_airflow_itself_calls_unhealthy_does_not_beat(airflow: ForwardServer) -> None:
    job = Job()
    job.job_type = "TriggererJob"  # type: ignore[attr-defined]
    listeners.on_starting(job)
    airflow.wait_for(lambda: bool(states(airflow)))
    job.latest_heartbeat -= timedelta(minutes=5)
    looks: list[int] = []

    def silent() -> bool:
        looks.append(len(states(airflow)))
        return len(looks) > 4 and len(set(looks[-4:])) == 1

    airflow.wait_for(silent)
    job.latest_heartbeat = datetime.now(UTC)
    airflow.wait_for(lambda: len(states(airflow)) > looks[-1])


def test_tasks_and_unknown_jobs_are_no_nodes(airflow: ForwardServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "KNOWN_WITHIN_S", 0.1)
    listeners.on_starting(SimpleNamespace())
    assert listeners._pulses == {}
    job = Job()
    listeners.on_starting(job)
    listeners.before_stopping(job)
    assert airflow.records() == []


def test_a_task_that_is_forked_meanwhile_is_no_second_node(airflow: ForwardServer) -> None:
    job = Job()
    job.job_type = "SchedulerJob"  # type: ignore[attr-defined]
    listeners.on_starting(job)
    airflow.wait_for(lambda: bool(states(airflow)))
    child = os.fork()
    if child == 0:
        try:
            listeners.before_stopping(job)
            listeners.on_task_instance_failed(a_task(), "in the child")
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    airflow.wait_for(lambda: any("in the child" in str(log["message"]) for log in airflow.records("LOG")))
    before = len(states(airflow))
    airflow.wait_for(lambda: len(states(airflow)) > before)
    assert "DOWN" not in states(airflow)


def test_settings_that_cannot_be_used_are_told_and_fail_nothing(
    airflow: ForwardServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VIGIL_KAFKA_PORT", "many")
    listeners.on_starting(Job())
    listeners.on_task_instance_failed(a_task(), "no")
    assert "Airflow is not monitored as a node: VIGIL_KAFKA_PORT" in caplog.text
    assert "pipeline was not told: task t of d failed" in caplog.text
