"""The DAGs that start and stop services do so in their order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from vigil_airflow.catalogue import task_name
from vigil_airflow.operators.choice import ChooseTargetOperator
from vigil_airflow.operators.virtualbox import FORM

from infra.machines.programs import Software
from infra.services import Stage, catalogue
from infra.targets import DEPLOYED_LAST, TARGETS, Kind
from infra.virtualbox.wanted import Wanted
from streaming.settings import Settings

SERVICES = catalogue(Settings.model_construct())


def the_dag(bag: DagBag, dag_id: str) -> DAG:
    found = bag.dags[dag_id]
    assert isinstance(found, DAG)
    return found


def of_stage(verb: str, stage: Stage) -> set[str]:
    return {task_name(verb, s.name) for s in SERVICES if s.stage is stage}


@pytest.mark.parametrize("dag_id", ["deploy_platform", "teardown_platform"])
def test_the_target_is_chosen_from_those_that_exist(bag: DagBag, dag_id: str) -> None:
    target = the_dag(bag, dag_id).params.get_param("target")
    assert target.schema["title"]
    assert target.description
    assert target.resolve() in TARGETS
    assert target.schema["enum"] == list(TARGETS)
    with pytest.raises(ParamValidationError, match="moon"):
        target.resolve("moon")


def test_one_that_runs_is_the_last_one_deployed_unless_named(bag: DagBag) -> None:
    target = the_dag(bag, "restart_platform").params.get_param("target")
    assert target.resolve() == DEPLOYED_LAST
    for named in ("local", "virtualbox", "virtualbox:lab", "inventory:a-1"):
        assert target.resolve(named) == named
    for wrong in ("moon", "local:vigil", "virtualbox:", "inventory:../x"):
        with pytest.raises(ParamValidationError):
            target.resolve(wrong)


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_every_service_has_one_task(bag: DagBag, verb: str) -> None:
    dag = the_dag(bag, "deploy_platform" if verb == "start" else "teardown_platform")
    tasks = [t.task_id for t in dag.tasks if t.task_id.startswith(f"{verb}_")]
    of_machines = [task_name(verb, name) for name in ("elasticsearch-proxy", "kibana")]
    assert sorted(tasks) == sorted([*(task_name(verb, s.name) for s in SERVICES), *of_machines])


MAKE = ["check_host", "plan", "approve", "apply"]
PREPARE = ["reach_machines", "await_first_boot", "install_software", "configure_machines"]
MEND = ["restore_kafka", "index_again", "import_kibana_objects"]


@pytest.mark.parametrize("kind", Kind)
def test_deployment_goes_from_kafka_to_the_canaries(bag: DagBag, kind: Kind) -> None:
    dag = the_dag(bag, "deploy_platform")
    made = {Kind.LOCAL: [], Kind.VIRTUALBOX: MAKE, Kind.INVENTORY: ["take_inventory"]}[kind]
    of_machines = kind is not Kind.LOCAL
    assert_in_this_order(
        dag,
        kind,
        [
            {"choose_target"},
            *({name} for name in made),
            {"record_intent"},
            *({name} for name in PREPARE if of_machines),
            {"start_kafka"},
            {"start_elasticsearch"},
            *([{"start_elasticsearch_proxy", "start_kibana"}] if of_machines else []),
            {"create_topics", "install_index_templates"},
            *({name} for name in MEND if of_machines),
            of_stage("start", Stage.WORKERS),
            of_stage("start", Stage.ACCUMULATORS),
            of_stage("start", Stage.MICROSERVICES),
            of_stage("start", Stage.CUSTOMERS),
            {"canary_log", "canary_alert"},
            *([{"show_links"}] if of_machines else []),
        ],
    )


@pytest.mark.parametrize("kind", Kind)
def test_teardown_is_the_reverse(bag: DagBag, kind: Kind) -> None:
    of_machines = kind is not Kind.LOCAL
    assert_in_this_order(
        the_dag(bag, "teardown_platform"),
        kind,
        [
            {"choose_target"},
            *([{"plan"}, {"approve"}] if kind is Kind.VIRTUALBOX else []),
            {"record_intent"},
            of_stage("stop", Stage.CUSTOMERS),
            of_stage("stop", Stage.MICROSERVICES),
            of_stage("stop", Stage.ACCUMULATORS),
            *([{"drain"}, {"export_indices"}] if of_machines else []),
            of_stage("stop", Stage.WORKERS),
            *([{"stop_elasticsearch_proxy", "stop_kibana"}] if of_machines else []),
            {"stop_elasticsearch"},
            {"stop_kafka"},
            *([{"destroy_machines"}] if kind is Kind.VIRTUALBOX else []),
        ],
    )


def test_machines_are_destroyed_at_once_where_that_is_asked_for_but_not_unasked(bag: DagBag) -> None:
    dag = the_dag(bag, "teardown_platform")
    choice = dag.get_task("choose_target")
    assert isinstance(choice, ChooseTargetOperator)
    left = set(dag.task_ids) - set(choice.skips_at_once[Kind.VIRTUALBOX])
    assert left == {"choose_target", "plan", "approve", "record_intent", "destroy_machines"}
    assert {"approve", "record_intent"} <= dag.get_task("destroy_machines").upstream_task_ids


def test_the_form_of_machines_is_that_of_the_deployment(bag: DagBag) -> None:
    dag = the_dag(bag, "deploy_platform")
    for name in FORM:
        assert name in Wanted.model_fields
        assert dag.params.get_param(name).resolve() in (None, ""), "as the last time"
    assert set(Wanted.model_fields) == {*FORM, "image"}
    assert dag.params.get_param("software").schema["enum"] == [str(way) for way in Software]
    checksum = dag.params.get_param("image_checksum")
    assert checksum.resolve("sha256:" + "0" * 64)
    with pytest.raises(ParamValidationError):
        checksum.resolve("0" * 64)


def test_a_rolling_restart_goes_one_by_one_in_start_order(bag: DagBag) -> None:
    dag = the_dag(bag, "restart_platform")
    assert_steps(dag, [{"platform_is_up"}, *({task_name("restart", s.name)} for s in SERVICES)])
    restarts = [task for task in dag.tasks if task.task_id != "platform_is_up"]
    assert {task.trigger_rule for task in restarts} == {"none_failed"}, "one that was not chosen stops nothing"


def test_a_rolling_restart_restarts_workers_unless_told_otherwise(bag: DagBag) -> None:
    param = the_dag(bag, "restart_platform").params.get_param("services")
    assert set(param.resolve()) == {s.name for s in SERVICES if s.stage in (Stage.WORKERS, Stage.ACCUMULATORS)}
    for wrong in ([], ["moon"], ["indexer", "indexer"]):
        with pytest.raises(ParamValidationError):
            param.resolve(wrong)


def assert_steps(dag: DAG, steps: list[set[str]]) -> None:
    """All of a step wait for all of the step before, and nothing else is in the DAG."""
    assert set.union(*steps) == set(dag.task_ids)
    for before, after in pairwise(steps):
        for task_id in after:
            assert dag.get_task(task_id).upstream_task_ids == before


def assert_in_this_order(dag: DAG, kind: Kind, steps: list[set[str]]) -> None:
    """Without what a kind of target skips, these steps are all, and each waits for all of the step before; what is
    skipped stops nothing."""
    choice = dag.get_task("choose_target")
    assert isinstance(choice, ChooseTargetOperator)
    skipped = set(choice.skips.get(kind, ()))
    assert set.union(*steps) == set(dag.task_ids) - skipped
    place = {name: number for number, step in enumerate(steps) for name in step}
    for before, after in pairwise(steps):
        for task_id in after:
            waits_for = dag.get_task(task_id).upstream_task_ids - skipped
            assert before <= waits_for
            assert all(place[name] < place[task_id] for name in waits_for)
    assert {task.trigger_rule for task in dag.tasks} == {"none_failed"}
