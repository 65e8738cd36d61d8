"""What a task gets from Airflow, as far as Vigil's operators ask for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from vigil_airflow.operators.intent import GIVES_WAY


def task_context(dag_id: str, *running: str, **more: Any) -> Any:
    """Of a task of this DAG, while others are running: by their runs, but `GIVES_WAY`, of which the task counts."""
    return {
        "ti": SimpleNamespace(
            get_dr_count=lambda dag_id, states: int(dag_id in running and dag_id != GIVES_WAY),
            get_ti_count=lambda dag_id, states: int(dag_id in running and dag_id == GIVES_WAY),
            **more,
        ),
        "dag": SimpleNamespace(dag_id=dag_id),
        "dag_run": SimpleNamespace(run_id="manual__1"),
        "params": {},
    }
