"""`incident_response` loads, serialises, and holds what its page promises."""

from __future__ import annotations

import warnings

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from vigil_airflow.triggers.wakeup import IncidentOpenedTrigger

from infra.response import Choice
from streaming.settings import CHECKOUT


@pytest.fixture(scope="module")
def dag() -> DAG:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bag = DagBag(dag_folder=CHECKOUT / "dags" / "incident_response.py")
    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    found = bag.dags["incident_response"]
    assert isinstance(found, DAG)
    return found


def test_it_survives_serialization(dag: DAG) -> None:
    again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert set(again.task_ids) == set(dag.task_ids)
    assert again.get_task("respond.gather").downstream_task_ids == {"respond.decide"}
    assert again.get_task("respond.decide").downstream_task_ids == {"respond.carry_out"}


def test_it_is_woken_and_sweeps(dag: DAG) -> None:
    schedule = dag.timetable
    assert isinstance(schedule, AssetOrTimeSchedule)
    asset = schedule.asset_condition
    assert isinstance(asset, Asset)
    (watcher,) = asset.watchers
    assert isinstance(watcher.trigger, IncidentOpenedTrigger)
    assert "*/10" in str(schedule.timetable)


def test_who_does_not_answer_chooses_nothing_and_holds_nothing_up(dag: DAG) -> None:
    decide = dag.get_task("respond.decide")
    assert isinstance(decide, HITLOperator)
    assert decide.options == [str(choice) for choice in Choice]
    assert decide.defaults == [str(Choice.NOTHING)]
    assert decide.response_timeout is not None
    assert dag.dagrun_timeout is not None
    assert decide.response_timeout < dag.dagrun_timeout
    assert dag.max_active_runs > 1, "a run that waits for a person keeps no other waiting"
    assert dag.get_task("respond.carry_out").retries == 0, "a service is restarted once"


def test_its_parameters_explain_themselves(dag: DAG) -> None:
    severities = dag.params.get_param("severities")
    assert severities.schema["title"]
    assert severities.resolve() == ["critical"]
    with pytest.raises(ParamValidationError):
        severities.resolve(["urgent"])
    assert dag.doc_md
    assert dag.owner == "vigil"
    assert "vigil" in dag.tags
