"""`back_up`: the gate first, every hour."""

from __future__ import annotations

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG


def test_the_gate_comes_first(bag: DagBag) -> None:
    dag = bag.dags["back_up"]
    assert isinstance(dag, DAG)
    assert dag.get_task("back_up").upstream_task_ids == {"platform_is_up"}
    assert dag.max_active_runs == 1
