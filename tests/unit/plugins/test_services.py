"""Starting and stopping services from a task, over a platform in memory with real health endpoints."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from airflow.triggers.base import TriggerEvent
from vigil_airflow.operators.services import (
    RestartServiceOperator,
    ServiceNotHealthy,
    StartServiceOperator,
    StopServiceOperator,
)
from vigil_airflow.triggers.services import HealthGateTrigger

from streaming.errors import ConfigError, Unavailable

CONTEXT: Any = {}
"""The operators use nothing of it."""


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HealthGateTrigger, "POLL_S", 0.01)


def start(service: str = "indexer", patience_s: float = 5.0) -> StartServiceOperator:
    return StartServiceOperator(task_id="t", service=service, patience_s=patience_s)


def run_through(operator: StartServiceOperator) -> str:
    """Executes a task with all its deferrals, as scheduler and triggerer do."""
    try:
        return operator.execute(CONTEXT)
    except TaskDeferred as first:
        deferred = first
    while True:
        _, arguments = deferred.trigger.serialize()
        assert deferred.kwargs is not None
        event = fire(HealthGateTrigger(**arguments))
        try:
            resumed = getattr(operator, deferred.method_name)
            return str(resumed(CONTEXT, event=event, **deferred.kwargs))
        except TaskDeferred as again:
            deferred = again


def fire(trigger: HealthGateTrigger) -> dict[str, str]:
    async def first() -> TriggerEvent:
        async for event in trigger.run():
            return event
        raise AssertionError("it ended without an event")

    payload = asyncio.run(asyncio.wait_for(first(), 10)).payload
    assert isinstance(payload, dict)
    return payload


def test_starts_and_waits_for_the_gate(platform: Any) -> None:
    assert run_through(start()) == "healthy"
    assert platform.calls == [("start", "indexer")]


def test_again_changes_nothing(platform: Any) -> None:
    run_through(start())
    assert start(patience_s=0).execute(CONTEXT) == "healthy", "its first look suffices: it does not defer"
    assert ("restart", "indexer") not in platform.calls
    assert ("stop", "indexer") not in platform.calls


def test_defers_a_long_start_with_an_absolute_deadline(platform: Any) -> None:
    platform.looks_while_starting = 10
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        start(patience_s=0).execute(CONTEXT)
    path, arguments = deferred.value.trigger.serialize()
    assert path == "vigil_airflow.triggers.services.HealthGateTrigger"
    assert arguments["service"] == "indexer"
    assert before < arguments["deadline"] < time.time() + 60


def test_a_deferred_start_ends_well(platform: Any) -> None:
    platform.looks_while_starting = 5
    assert run_through(start(patience_s=0)) == "healthy"


@pytest.mark.parametrize("patience_s", [0.0, 5.0])
def test_a_service_that_ends_by_itself_fails_early_with_its_last_lines(platform: Any, patience_s: float) -> None:
    platform.fails.add("indexer")
    platform.settings.log_dir.mkdir(parents=True)
    log = platform.settings.log_dir / "indexer.out"
    log.write_text("one\nvigil: rules/default.yaml:3: severity: not a severity \x1b[31m\n")
    with pytest.raises(ServiceNotHealthy) as failure:
        run_through(start(patience_s=patience_s))
    text = str(failure.value)
    assert text.startswith("indexer: did not become healthy: it ended by itself: exited with 78 three times\n")
    assert "vigil: rules/default.yaml:3: severity: not a severity  [31m" in text
    assert str(log) in text


def test_a_gate_that_stays_shut_fails_at_the_time_out_with_its_last_reason(platform: Any) -> None:
    platform.sick.add("indexer")
    with pytest.raises(ServiceNotHealthy, match=r"^indexer: not healthy within 1 s: not connected \(no broker\)\n"):
        run_through(start(patience_s=0))
    assert platform.calls == [("start", "indexer")]


def test_what_ran_already_and_hangs_is_restarted_once(platform: Any) -> None:
    run_through(start())
    platform.sick.add("indexer")
    platform.healed_by_restart.add("indexer")
    assert run_through(start(patience_s=0.1)) == "healthy"
    assert platform.calls[-2:] == [("stop", "indexer"), ("start", "indexer")]


def test_and_only_once(platform: Any) -> None:
    run_through(start())
    platform.sick.add("indexer")
    with pytest.raises(ServiceNotHealthy, match="no broker"):
        run_through(start(patience_s=0.1))
    assert platform.calls.count(("stop", "indexer")) == 1


def test_stopped_by_someone_while_waiting(platform: Any) -> None:
    run_through(start())
    platform.stop("indexer")
    event = fire(HealthGateTrigger("indexer", "local", time.time() + 5))
    assert event == {"outcome": "hopeless", "reason": "it was stopped while its health gate waited"}


def test_a_silent_supervisor_is_waited_for_until_the_deadline(platform: Any) -> None:
    platform.away = True
    event = fire(HealthGateTrigger("indexer", "local", time.time() + 0.1))
    assert event == {"outcome": "waiting", "reason": "the supervisor does not answer; `vigil up` starts it"}


def test_a_start_without_supervisor_says_so(platform: Any) -> None:
    platform.away = True
    with pytest.raises(Unavailable, match="vigil up"):
        start().execute(CONTEXT)


def test_an_unknown_service_is_named_with_those_that_exist(platform: Any) -> None:
    with pytest.raises(ConfigError, match=r"no service 'indexr'.*indexer"):
        start("indexr").execute(CONTEXT)
    assert fire(HealthGateTrigger("indexr", "local", time.time() + 5))["outcome"] == "hopeless"


def test_stop(platform: Any) -> None:
    run_through(start())
    StopServiceOperator(task_id="t", service="indexer").execute(CONTEXT)
    StopServiceOperator(task_id="t", service="indexer").execute(CONTEXT)
    assert platform.calls == [("start", "indexer"), ("stop", "indexer"), ("stop", "indexer")]


def restart(chosen: Any) -> RestartServiceOperator:
    return RestartServiceOperator(task_id="t", service="indexer", chosen=chosen, patience_s=5.0)


@pytest.mark.parametrize("chosen", [None, ["indexer", "matcher"], "['indexer', 'matcher']"])
def test_restarts_what_was_chosen_and_waits_for_the_gate(platform: Any, chosen: Any) -> None:
    assert run_through(restart(chosen)) == "healthy"
    assert platform.calls == [("stop", "indexer"), ("start", "indexer")]


@pytest.mark.parametrize("chosen", [["matcher"], "['matcher']", "[]"])
def test_skips_what_was_not_chosen(platform: Any, chosen: Any) -> None:
    with pytest.raises(AirflowSkipException, match="indexer was not chosen"):
        restart(chosen).execute(CONTEXT)
    assert platform.calls == []


def test_one_that_does_not_come_back_fails(platform: Any) -> None:
    platform.fails.add("indexer")
    with pytest.raises(ServiceNotHealthy, match="indexer"):
        run_through(restart(None))
