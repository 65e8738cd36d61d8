"""`roll_indices`: the gate first, and one roll at a time."""

from __future__ import annotations

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from infra.pools import INDICES


def test_the_gate_comes_first_and_whoever_changes_indices_waits_for_the_other(bag: DagBag) -> None:
    dag = bag.dags["roll_indices"]
    assert isinstance(dag, DAG)
    assert set(dag.task_ids) == {"platform_is_up", "roll_indices"}
    assert dag.get_task("roll_indices").upstream_task_ids == {"platform_is_up"}
    assert dag.get_task("roll_indices").pool == INDICES
    assert dag.params.get_param("dry_run").resolve() is False
    assert dag.params.get_param("allow_deleting").resolve() is None
    assert dag.params.get_param("allow_deleting").resolve(0.5) == 0.5
