"""The first task of a DAG that needs the platform."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from vigil_airflow.operators.gate import PlatformGateOperator, PlatformIsNotUp

from infra.gates import Probe
from infra.intent import Intent, Order, record_order
from tests.support.task_context import task_context


def context(*running: str) -> Any:
    return task_context("heartbeat_audit", *running)


@pytest.fixture
def answers(platform: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Whether services answer, by name; those that are not named do. The platform is meant to be up."""
    record_order(platform.settings.home, Order(intent=Intent.UP, since_ms=1, by="deploy_platform"))
    found: dict[str, bool] = {}
    monkeypatch.setattr(
        platform, "probe", lambda service, timeout_s: Probe(found.get(service.name, True), "nobody listens")
    )
    return found


def asked(**arguments: Any) -> PlatformGateOperator:
    return PlatformGateOperator(task_id="platform_is_up", needs=("kafka",), **arguments)


def test_passes_where_it_is_up(answers: dict[str, bool]) -> None:
    assert asked().execute(context()) == "up"


def test_skips_while_it_is_meant_to_be_down(platform: Any, answers: dict[str, bool]) -> None:
    record_order(platform.settings.home, Order(intent=Intent.DOWN, since_ms=1, by="teardown_platform"))
    for runs_when_down in (False, True):
        with pytest.raises(AirflowSkipException, match=r"meant to be down since .* UTC: teardown_platform"):
            asked(runs_when_down=runs_when_down).execute(context())


@pytest.mark.parametrize("dag", ["deploy_platform", "teardown_platform", "restart_platform"])
def test_skips_while_it_is_being_changed(answers: dict[str, bool], dag: str) -> None:
    with pytest.raises(AirflowSkipException, match=f"{dag} is running"):
        asked().execute(context(dag))


def test_an_outage_skips_but_what_audits_it(answers: dict[str, bool]) -> None:
    answers["kafka"] = False
    with pytest.raises(AirflowSkipException, match="kafka: nobody listens"):
        asked().execute(context())
    assert asked(runs_when_down=True).execute(context()) == "down"


def test_what_a_person_triggered_fails(answers: dict[str, bool]) -> None:
    answers["kafka"] = False
    with pytest.raises(PlatformIsNotUp, match="kafka: nobody listens"):
        asked(manual=True).execute(context())
