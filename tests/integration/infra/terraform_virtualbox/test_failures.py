"""VBoxManage fails at each call in turn: its reason is told, no orphan is left, and the next run succeeds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from vbox.errors import ManageFailed, VboxError

from tests.integration.infra.terraform_virtualbox.conftest import Deployment
from tests.support.virtualbox import harness
from tests.support.virtualbox.harness import Emulated

REASON = "The virtual machine is in a bad mood"

# Of one deployment: the steps in Terraform's order, and how many calls each makes at the most.
STEPS: dict[str, Callable[[Deployment], None]] = {
    "network": Deployment.network_up,
    "forwards": Deployment.forwards_up,
    "image": Deployment.image_up,
    "machine": Deployment.machine_up,
}


@pytest.mark.parametrize("after", [False, True], ids=["at once", "after its work was done"])
@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_each_call(step: str, after: bool, deployment: Deployment, manage: Emulated) -> None:
    names = list(STEPS)
    for earlier in names[: names.index(step)]:
        STEPS[earlier](deployment)
    before = manage.state
    nth = 0
    while True:
        nth += 1
        manage.forget_calls()
        manage.fail(nth=nth, after=after, message=REASON)
        error = harness.failing(lambda: STEPS[step](deployment))
        made = len(manage.calls)
        manage.heal()
        if error is None and made < nth:
            break
        if error is not None:
            assert isinstance(error, ManageFailed), error
            assert REASON in str(error)
            assert manage.state == before, f"call {nth}: {manage.calls[nth - 1]}"
            assert not [
                name for name in deployment.files() if "machines/" in name and "serial" not in name and "/." not in name
            ]
        STEPS[step](deployment)
        _undo(step, deployment)
        assert manage.state == before
    assert nth > 3


def _undo(step: str, deployment: Deployment) -> None:
    if step == "network":
        deployment.network_down()
    elif step == "forwards":
        deployment.forwards_down()
    elif step == "image":
        deployment.image_down()
    else:
        deployment.machine_down()


def test_a_failure_at_each_call_of_the_end(deployment: Deployment, manage: Emulated, tmp_path: Path) -> None:
    deployment.up()
    kept = tmp_path / "kept"
    shutil.copytree(deployment.state_dir, kept / "state")
    shutil.copy2(manage.home / "state", kept / "virtualbox")
    nth = 0
    while True:
        nth += 1
        shutil.copytree(kept / "state", deployment.state_dir, dirs_exist_ok=True)
        shutil.copy2(kept / "virtualbox", manage.home / "state")
        manage.forget_calls()
        manage.fail(nth=nth, message=REASON)
        error = harness.failing(deployment.down)
        made = len(manage.calls)
        manage.heal()
        if error is None and made < nth:
            break
        if error is not None:
            assert REASON in str(error)
        deployment.down()
        manage.assert_empty()
        assert deployment.files() == []
    assert nth > 20


def test_what_cannot_be_removed_now_is_removed_by_the_next_run(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()
    manage.fail(pattern="startvm|unregistervm", times=2, message=REASON)
    with pytest.raises(VboxError, match="starting machine"):
        deployment.machine_up()
    assert len(manage.state.machines) == 1
    manage.heal()
    deployment.machine_up()
    assert len(manage.state.machines) == 1
    assert len(manage.state.media) == 2
