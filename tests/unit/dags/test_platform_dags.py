"""The DAG files load, serialise, explain themselves, and order the platform's start and end."""

from __future__ import annotations

import time
import warnings
from itertools import pairwise

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from vigil_airflow.catalogue import task_name

from infra.services import Stage, catalogue
from infra.targets import TARGETS
from streaming.settings import CHECKOUT, Settings

DAG_IDS = ("deploy_platform", "teardown_platform")
SERVICES = catalogue(Settings.model_construct())


@pytest.fixture(scope="module")
def bag() -> DagBag:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return DagBag(dag_folder=CHECKOUT / "dags")


@pytest.fixture(params=DAG_IDS)
def dag(request: pytest.FixtureRequest, bag: DagBag) -> DAG:
    return the_dag(bag, request.param)


def the_dag(bag: DagBag, dag_id: str) -> DAG:
    found = bag.dags[dag_id]
    assert isinstance(found, DAG)
    return found


def of_stage(verb: str, stage: Stage) -> set[str]:
    return {task_name(verb, s.name) for s in SERVICES if s.stage is stage}


def test_all_files_load_without_a_warning(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    assert set(DAG_IDS) <= set(bag.dags)


def test_a_file_is_parsed_fast(bag: DagBag) -> None:
    began = time.monotonic()
    DagBag(dag_folder=CHECKOUT / "dags")
    assert time.monotonic() - began < 2.0


def test_survives_serialization(dag: DAG) -> None:
    again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert set(again.task_ids) == set(dag.task_ids)
    assert all(again.get_task(t).downstream_task_ids == dag.get_task(t).downstream_task_ids for t in dag.task_ids)


def test_explains_itself(dag: DAG) -> None:
    assert dag.doc_md
    assert dag.description
    assert "vigil" in dag.tags
    assert dag.owner == "vigil"
    assert dag.max_active_runs == 1


def test_the_target_is_chosen_from_those_that_exist(dag: DAG) -> None:
    target = dag.params.get_param("target")
    assert target.schema["title"]
    assert target.description
    assert target.resolve() in TARGETS
    assert target.schema["enum"] == list(TARGETS)
    with pytest.raises(ParamValidationError, match="moon"):
        target.resolve("moon")


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_every_service_has_one_task(bag: DagBag, verb: str) -> None:
    dag = the_dag(bag, "deploy_platform" if verb == "start" else "teardown_platform")
    tasks = [t.task_id for t in dag.tasks if t.task_id.startswith(f"{verb}_")]
    assert sorted(tasks) == sorted(task_name(verb, s.name) for s in SERVICES)


def test_deployment_goes_from_kafka_to_the_canaries(bag: DagBag) -> None:
    assert_in_this_order(
        the_dag(bag, "deploy_platform"),
        [
            {"record_intent"},
            {"start_kafka"},
            {"start_elasticsearch"},
            {"create_topics", "install_index_templates"},
            of_stage("start", Stage.WORKERS),
            of_stage("start", Stage.ACCUMULATORS),
            of_stage("start", Stage.MICROSERVICES),
            {"canary_log", "canary_alert"},
        ],
    )


def test_teardown_is_the_reverse(bag: DagBag) -> None:
    assert_in_this_order(
        the_dag(bag, "teardown_platform"),
        [{"record_intent"}, *(of_stage("stop", stage) for stage in reversed(Stage))],
    )


def assert_in_this_order(dag: DAG, steps: list[set[str]]) -> None:
    """All of a step wait for all of the step before, and nothing else is in the DAG."""
    assert set.union(*steps) == set(dag.task_ids)
    for before, after in pairwise(steps):
        for task_id in after:
            assert dag.get_task(task_id).upstream_task_ids == before
