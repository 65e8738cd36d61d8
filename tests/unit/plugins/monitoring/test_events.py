"""Failures of Airflow as logs: canonical, and one incident for each DAG by the rules that Vigil starts with."""

from __future__ import annotations

import msgspec
import pytest
from vigil_airflow.monitoring.events import STACK_LIMIT, Event, component_started, run_failed, task_failed
from vigil_airflow.monitoring.reporter import SERVICE, _record

from microservices.client.identity import Identity
from microservices.client.records import log_of
from streaming.alerting.fields import group_of
from streaming.alerting.matching.engine import Engine
from streaming.alerting.rules.loading import load_rules
from streaming.errors import Unavailable
from streaming.events.model import Level, LogEvent
from streaming.events.parse import parse
from streaming.settings import CHECKOUT


def failed(error: BaseException | str | None = None, *, again: bool = False, **given: object) -> Event:
    fields = {"dag_id": "roll_indices", "task_id": "roll", "run_id": "r", "map_index": -1} | given
    return task_failed(**{"try_number": 2, "max_tries": 1, "error": error, "again": again, **fields})  # type: ignore[arg-type]


def test_a_task_that_failed_is_an_error_with_its_reason_and_where() -> None:
    try:
        raise Unavailable("Elasticsearch does not answer at h:9200")
    except Unavailable as error:
        event = failed(error, log_url="http://h/log")
    assert event.level == "ERROR"
    assert event.message == "task roll of roll_indices failed (try 2 of 2): Elasticsearch does not answer at h:9200"
    assert {k: event.fields[k] for k in ("dag_id", "task_id", "run_id", "try_number", "log_url")} == {
        "dag_id": "roll_indices",
        "task_id": "roll",
        "run_id": "r",
        "try_number": 2,
        "log_url": "http://h/log",
    }
    details = event.fields["error_details"]
    assert isinstance(details, dict)
    assert (details["error_code"], details["error_type"]) == ("roll_indices", "Unavailable")
    assert "Traceback" in details["stack"]


def test_one_that_will_be_tried_again_is_a_warning() -> None:
    event = failed("killed", again=True, try_number=1, map_index=4)
    assert (event.level, event.message) == (
        "WARN",
        "task roll[4] of roll_indices failed and will be tried again (try 1 of 2): killed",
    )
    assert "map_index" not in failed().fields
    assert failed(max_tries=0).message == "task roll of roll_indices failed: its log says why"


def test_what_is_known_already_is_a_warning() -> None:
    assert run_failed(dag_id="d", run_id="r", why="task_failure").level == "WARN"
    assert run_failed(dag_id="d", run_id="r", why="Dag Run's state was manually set to `failed`.").level == "WARN"
    assert failed("TaskInstance's state was manually set to `failed`.").level == "WARN"


def test_a_traceback_is_bounded() -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("x" * 30_000)

    with pytest.raises(ValueError) as raised:
        deep(5)
    details = failed(raised.value).fields["error_details"]
    assert isinstance(details, dict)
    assert len(details["stack"]) == STACK_LIMIT


def as_log(event: Event) -> LogEvent:
    """What comes of it at the other end of the pipeline."""
    record = log_of(_record(event), Identity(SERVICE, "airflow-h"), 1_700_000_000_000_000_000, None)
    found = parse(msgspec.json.encode(record), received_ns=1)
    assert isinstance(found, LogEvent)
    return found


@pytest.mark.parametrize("event", [failed("no"), run_failed(dag_id="roll_indices", run_id="r", why="timed_out")])
def test_the_rules_that_vigil_starts_with_make_one_incident_for_a_dag(event: Event) -> None:
    log = as_log(event)
    assert (log.level, log.service, log.node_id) == (Level.ERROR, "airflow", "airflow-h")
    (rule,) = Engine(load_rules(CHECKOUT / "rules")).match(log)
    assert (rule.id, group_of(log, rule.group_by)) == (
        "error-log",
        {"service.name": "airflow", "error.code": "roll_indices"},
    )
    assert log.labels["dag_id"] == "roll_indices"


def test_a_start_is_no_incident() -> None:
    log = as_log(component_started("scheduler", "3.3.2"))
    assert (log.level, log.message) == (Level.INFO, "Airflow's scheduler has started (Airflow 3.3.2)")
