"""Events on their way to an accumulator, and what a task notices when there is none: nothing."""

from __future__ import annotations

import json
import logging
import time

import pytest
from airflow.sdk.log import mask_secret
from vigil_airflow.monitoring.events import Event, task_failed
from vigil_airflow.monitoring.reporter import QUEUE_BYTES, Reporter, node_id

from streaming.settings import Settings
from tests.conftest import ForwardServer


@pytest.fixture
def reporter(forward_server: ForwardServer) -> Reporter:
    return Reporter(Settings(accumulator1_port=forward_server.port))


def failure(text: str = "no") -> Event:
    return task_failed(
        dag_id="d",
        task_id="t",
        run_id="r",
        map_index=-1,
        try_number=1,
        max_tries=0,
        error=text,
        again=False,
    )


def test_a_failure_is_a_canonical_log_of_the_node(reporter: Reporter, forward_server: ForwardServer) -> None:
    assert reporter.now(failure())
    (log,) = forward_server.records("LOG")
    assert log["node_id"] == node_id()
    assert (log["service_name"], log["log_level"], log["logger"]) == ("airflow", "ERROR", "airflow.task")
    assert (log["dag_id"], log["task_id"], log["run_id"], log["try_number"]) == ("d", "t", "r", 1)
    assert log["error_details"] == {"error_code": "d", "error_message": "task t failed: no"}


def test_a_component_hands_it_to_a_thread(reporter: Reporter, forward_server: ForwardServer) -> None:
    for _ in range(3):
        reporter.later(failure())
    reporter.later(Event("INFO", "started", "airflow.scheduler"), "scheduler")
    forward_server.wait_for(lambda: len(forward_server.records("LOG")) == 4)
    assert {log["node_id"] for log in forward_server.records("LOG")} == {node_id(), node_id("scheduler")}


def test_secrets_that_airflow_knows_are_masked(reporter: Reporter, forward_server: ForwardServer) -> None:
    mask_secret("xoxb-very-secret-token")
    try:
        raise ValueError("token xoxb-very-secret-token was refused")
    except ValueError as error:
        event = task_failed(
            dag_id="d", task_id="t", run_id="r", map_index=None, try_number=1, max_tries=0, error=error, again=False
        )
    assert reporter.now(event)
    told = json.dumps(forward_server.records("LOG"))
    assert "xoxb-very" not in told
    assert "token *** was refused" in told


@pytest.mark.parametrize("mode", ["mute", "refuse", "noise", "gone"])
def test_an_accumulator_that_takes_nothing_costs_a_task_its_bound_at_most(
    reporter: Reporter, forward_server: ForwardServer, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    if mode == "gone":
        forward_server.stop()
    forward_server.mode = mode
    began = time.monotonic()
    with caplog.at_level(logging.INFO):
        assert not reporter.now(failure(), within_s=0.2)
    assert time.monotonic() - began < 5  # a second would do; this machine may be busy
    if mode != "mute":
        assert "was not told to Vigil's pipeline" in caplog.text


def test_events_in_memory_are_bounded_and_cost_nothing(reporter: Reporter, forward_server: ForwardServer) -> None:
    forward_server.stop()
    for _ in range(2_000):
        reporter.later(failure("x" * 1000))
    handler = reporter._handlers[""]
    assert handler.waiting * 1000 < QUEUE_BYTES * 1.1
    forward_server.start()
    forward_server.wait_for(lambda: any("logs dropped" in str(log["message"]) for log in forward_server.records("LOG")))
