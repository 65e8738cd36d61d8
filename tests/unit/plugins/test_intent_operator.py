from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from vigil_airflow.operators import intent
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


def test_the_renewal_of_certificates_gives_way_and_is_waited_for(
    platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intent, "LOOK_AGAIN_S", 0.0)
    answers = iter([1, 1, 0])
    counts = {"renew_certificates": lambda: next(answers)}
    asked = context({})
    asked["ti"].get_dr_count = lambda dag_id, states: counts.get(dag_id, lambda: 0)()
    RecordIntentOperator(task_id="t", intent=Intent.UP).execute(asked)
    assert last_order(platform.settings.home)
    assert next(answers, None) is None


def test_a_renewal_that_takes_long_is_named(platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intent, "GIVES_WAY_WITHIN_S", 0.0)
    with pytest.raises(Contradicted, match="renew_certificates is running; wait"):
        RecordIntentOperator(task_id="t", intent=Intent.UP).execute(context({"renew_certificates": 1}))
