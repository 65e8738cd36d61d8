"""Operators of machines, as far as they need none: what is skipped, asked, refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped, TaskAwaitingInput
from vigil_airflow.operators.choice import ChooseTargetOperator
from vigil_airflow.operators.intent import Contradicted
from vigil_airflow.operators.machines import ExportIndicesOperator, ReachMachinesOperator, TakeInventoryOperator
from vigil_airflow.operators.services import StartServiceOperator, StopServiceOperator
from vigil_airflow.operators.virtualbox import ApprovePlanOperator, CheckHostOperator, HostNotReady

from infra.targets import Kind
from streaming.errors import ConfigError
from tests.support.inventories import two_machines
from tests.support.task_context import task_context


def context(*running: str, **more: Any) -> Any:
    return task_context("deploy_platform", *running, **more)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an installation."""
    monkeypatch.setenv("VIGIL_CONFIG", "/dev/null")
    monkeypatch.setenv("VIGIL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


SKIPS = {Kind.LOCAL: ["plan", "reach"], Kind.INVENTORY: ["plan"]}


@pytest.mark.parametrize(
    ("target", "at_once", "skipped"),
    [
        ("local:vigil", "False", ["plan", "reach"]),
        ("inventory:vigil", "False", ["plan"]),
        ("inventory:vigil", "True", ["plan", "stop"]),
    ],
)
def test_what_a_target_does_not_have_is_skipped(home: Path, target: str, at_once: str, skipped: list[str]) -> None:
    choice = ChooseTargetOperator(
        task_id="c", skips=SKIPS, skips_at_once={Kind.INVENTORY: ["stop"]}, at_once=at_once, target=target
    )
    with pytest.raises(DownstreamTasksSkipped) as raised:
        choice.execute(context())
    assert raised.value.tasks == skipped


def test_what_has_all_skips_nothing_and_what_is_under_way_is_not_disturbed(home: Path) -> None:
    choice = ChooseTargetOperator(task_id="c", skips=SKIPS, target="virtualbox:vigil")
    choice.execute(context())
    with pytest.raises(Contradicted, match="teardown_platform is running"):
        choice.execute(context("teardown_platform"))
    with pytest.raises(ConfigError, match="'moon'"):
        ChooseTargetOperator(task_id="c", skips={}, target="moon:vigil").execute(context())


@pytest.mark.parametrize(("plan", "ask"), [({"is_empty": True}, "True"), ({"is_empty": False}, "False")])
def test_nobody_is_asked_without_need(plan: dict[str, bool], ask: str) -> None:
    approve = ApprovePlanOperator(task_id="approve", plan_task="plan", ask=ask)
    assert approve.execute(context(xcom_pull=lambda task_ids: plan)) is None


def test_a_person_is_asked_and_whoever_says_nothing_has_said_no(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **detail: asked.append(detail)
    )
    approve = ApprovePlanOperator(task_id="approve", plan_task="plan", ask="True")
    with pytest.raises(TaskAwaitingInput):
        approve.execute(
            context(xcom_pull=lambda task_ids: {"is_empty": False}) | {"task_instance": SimpleNamespace(id="1")}
        )
    assert asked[0]["options"] == ["Approve", "Reject"]
    assert asked[0]["defaults"] == ["Reject"]
    assert approve.fail_on_reject


def test_a_host_without_what_machines_need_is_told_all_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_VBOXMANAGE", "/nowhere/VBoxManage")
    check = CheckHostOperator(task_id="check")
    monkeypatch.setenv("VIGIL_TERRAFORM", "sh")  # it is only looked for
    with pytest.raises(ConfigError, match="the form: image"):
        check.execute(context())
    form = {"image": "/nowhere/debian.vmdk", "image_checksum": "sha256:" + "0" * 64}
    with pytest.raises(HostNotReady, match=r"(?s)VBoxManage: .*does not run.*image: .*cannot be read"):
        check.execute(context() | {"params": form})


def test_an_inventory_is_taken_over_and_known_from_then_on(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "machines.yaml"
    file.write_text(yaml.safe_dump(two_machines()))

    def take(path: str, name: str = "vigil") -> str:
        return TakeInventoryOperator(task_id="take", file=path, deployment=name).execute(context())

    with pytest.raises(ConfigError, match="no inventory is named"):
        take("")
    kept = take(str(file))
    assert kept == str(home / "machines" / "vigil" / "inventory.json")
    file.unlink()
    assert take("") == kept, "as the last time"
    with pytest.raises(ConfigError, match=r"machines\.yaml"):
        take(str(file))
    with pytest.raises(ConfigError, match="is of deployment 'vigil', and not of 'lab'"):
        take(kept, "lab")


def test_steps_of_machines_are_skipped_where_there_are_none(home: Path) -> None:
    with pytest.raises(AirflowSkipException, match="local has no machines"):
        ReachMachinesOperator(task_id="reach", target="local").execute(context())
    with pytest.raises(AirflowSkipException, match="no export was asked for"):
        ExportIndicesOperator(task_id="export", wanted="False", target="local").execute(context())
    with pytest.raises(ConfigError, match="no deployment 'lab' is known"):
        ReachMachinesOperator(task_id="reach", target="virtualbox:lab").execute(context())


@pytest.mark.parametrize("operator", [StartServiceOperator, StopServiceOperator])
def test_a_service_that_only_some_have_is_skipped_with_the_reason(platform: Any, operator: Any) -> None:
    with pytest.raises(AirflowSkipException, match="Vigil's own screen"):
        operator(task_id="kibana", service="kibana").execute(context())
    with pytest.raises(ConfigError, match="no service 'moon'"):
        operator(task_id="moon", service="moon").execute(context())
