from __future__ import annotations

from typing import Any

import pytest
from vigil_airflow.operators import intent
from vigil_airflow.operators.intent import Contradicted, RecordIntentOperator

from infra.intent import Intent, last_order
from tests.support.task_context import task_context


def context(*running: str) -> Any:
    return task_context("deploy_platform", *running)


def test_records_who_wants_what(platform: Any) -> None:
    RecordIntentOperator(task_id="t", intent=Intent.UP).execute(context())
    order = last_order(platform.settings.home)
    assert order
    assert (order.intent, order.by) == (Intent.UP, "deploy_platform manual__1")


def test_refuses_while_the_opposite_runs(platform: Any) -> None:
    operator = RecordIntentOperator(task_id="t", intent=Intent.UP)
    with pytest.raises(Contradicted, match="teardown_platform is running"):
        operator.execute(context("teardown_platform"))
    assert last_order(platform.settings.home) is None


def test_the_renewal_of_certificates_gives_way_and_is_waited_for(
    platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intent, "LOOK_AGAIN_S", 0.0)
    answers = iter([1, 1, 0])
    asked = context()
    asked["ti"].get_ti_count = lambda dag_id, states: next(answers)
    RecordIntentOperator(task_id="t", intent=Intent.UP).execute(asked)
    assert last_order(platform.settings.home)
    assert next(answers, None) is None


def test_a_renewal_that_takes_long_is_named(platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intent, "GIVES_WAY_WITHIN_S", 0.0)
    with pytest.raises(Contradicted, match="renew_certificates is running; wait"):
        RecordIntentOperator(task_id="t", intent=Intent.UP).execute(context("renew_certificates"))
