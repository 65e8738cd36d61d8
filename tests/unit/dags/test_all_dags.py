"""What holds for every DAG: its file loads fast and without a warning; it explains itself, its form, its tasks."""

from __future__ import annotations

import time

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Param
from airflow.serialization.serialized_objects import DagSerialization
from vigil_airflow.operators.gate import PlatformGateOperator

from streaming.settings import CHECKOUT

FILES = sorted(file.name for file in (CHECKOUT / "dags").glob("*.py"))

PARSED_WITHIN_S = 2.0
"""Of processor time, which a machine that does other things as well does not stretch."""


AT_ONCE = {"incident_response": 8}
"""Runs that may be under way together; of all others one."""


@pytest.fixture(params=[name.removesuffix(".py") for name in FILES])
def dag(request: pytest.FixtureRequest, bag: DagBag) -> DAG:
    """Each DAG; a file has one, of its name."""
    found = bag.dags[request.param]
    assert isinstance(found, DAG)
    return found


def test_all_files_load_without_a_warning(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    assert sorted(f"{dag_id}.py" for dag_id in bag.dags) == FILES


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_parsed_fast(bag: DagBag, file: str) -> None:
    began = time.process_time()
    DagBag(dag_folder=CHECKOUT / "dags" / file)
    assert time.process_time() - began < PARSED_WITHIN_S


def test_survives_serialization(dag: DAG) -> None:
    again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert set(again.task_ids) == set(dag.task_ids)
    assert all(again.get_task(t).downstream_task_ids == dag.get_task(t).downstream_task_ids for t in dag.task_ids)


def test_explains_itself(dag: DAG) -> None:
    assert dag.doc_md
    assert dag.description
    assert "vigil" in dag.tags
    assert len(dag.tags) == 2
    assert dag.owner == "vigil"
    assert dag.max_active_runs <= AT_ONCE.get(dag.dag_id, 1)
    assert dag.dagrun_timeout
    assert dag.catchup is False


def test_its_form_explains_itself(dag: DAG) -> None:
    for name in dag.params:
        param = dag.params.get_param(name)
        assert isinstance(param, Param)
        assert param.schema.get("title"), name
        assert param.description, name
        assert "`" not in param.description, f"{name}: the form shows it as plain text"
        assert param.schema.get("type"), name
        param.resolve()  # what is there if nobody changes it is valid


def test_no_task_runs_for_ever(dag: DAG) -> None:
    for task in dag.tasks:
        # One that waits for a person has a time-out of its own, and Airflow warns of the other.
        waits = getattr(task, "response_timeout", None)
        assert waits or task.execution_timeout, task.task_id


def test_a_failure_and_a_delay_are_told(dag: DAG) -> None:
    assert dag.on_failure_callback or any(task.on_failure_callback for task in dag.tasks)
    waits_for_a_person = any(hasattr(task, "response_timeout") for task in dag.tasks)
    assert dag.deadline or waits_for_a_person


OF_EVERY_PLATFORM = {"renew_certificates"}
"""DAGs that look at every deployment of this host, whichever platform was deployed last; they skip by themselves."""


def test_one_that_has_a_schedule_asks_first_whether_the_platform_is_up(dag: DAG) -> None:
    if dag.schedule is not None and dag.dag_id not in OF_EVERY_PLATFORM:
        assert all(isinstance(root, PlatformGateOperator) for root in dag.roots)
