from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from vigil_airflow.operators.intent import Contradicted, RecordIntentOperator

from infra.intent import Intent, last_order


def context(running: dict[str, int]) -> Any:
    """What a task gets from Airflow, as far as this operator asks."""
    return {
        "ti": SimpleNamespace(get_dr_count=lambda dag_id, states: running.get(dag_id, 0)),
        "dag": SimpleNamespace(dag_id="deploy_platform"),
        "dag_run": SimpleNamespace(run_id="manual__1"),
    }


def test_records_who_wants_what(platform: Any) -> None:
    RecordIntentOperator(task_id="t", intent=Intent.UP).execute(context({}))
    order = last_order(platform.settings.home)
    assert order
    assert (order.intent, order.by) == (Intent.UP, "deploy_platform manual__1")


def test_refuses_while_the_opposite_runs(platform: Any) -> None:
    operator = RecordIntentOperator(task_id="t", intent=Intent.UP)
    with pytest.raises(Contradicted, match="teardown_platform is running"):
        operator.execute(context({"teardown_platform": 1}))
    assert last_order(platform.settings.home) is None
