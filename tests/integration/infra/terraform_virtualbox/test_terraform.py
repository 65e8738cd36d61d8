"""The whole module by Terraform, over the emulated VirtualBox."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.machines import inventory
from tests.integration.infra.terraform_virtualbox.conftest import Deployment
from tests.support.virtualbox import harness, terraform
from tests.support.virtualbox.harness import Emulated
from tests.support.virtualbox.terraform import MODULE, Terraform

pytestmark = pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed")

WRAPPER = MODULE / "vbox"


@pytest.fixture
def engine(deployment: Deployment, executable: Emulated, tmp_path: Path, free_port: Callable[[int], int]) -> Terraform:
    """Terraform with the deployment's variables, initialized."""
    digest = hashlib.sha256(deployment.source.read_bytes()).hexdigest()
    made = Terraform(
        tmp_path / "terraform",
        {
            "state_dir": str(deployment.state_dir),
            "image": {"source": str(deployment.source), "checksum": f"sha256:{digest}"},
            "ssh_public_key": harness.KEY,
            "python": sys.executable,
            "port_bases": harness.port_bases(free_port),
            "stop_timeout_s": 20,
        },
        executable.environment(),
    )
    made.init()
    return made


def test_it_is_written_as_terraform_writes_it(tmp_path: Path) -> None:
    made = Terraform(tmp_path, {}, {})
    made.run("fmt", "-check", "-recursive", "-diff")
    made.init()
    assert json.loads(made.run("validate", "-json"))["diagnostics"] == []


def test_what_it_plans_and_refuses(tmp_path: Path) -> None:
    made = Terraform(tmp_path, {}, {})
    made.init()
    assert ", 0 failed" in made.run("test", "-no-color")


def test_a_deployment_from_its_beginning_to_its_end(
    deployment: Deployment, manage: Emulated, engine: Terraform
) -> None:
    manage.fail(pattern="startvm", message="The VM session was aborted", code="VBOX_E_INVALID_OBJECT_STATE")
    out = engine.apply("-parallelism=1", status=1)
    assert "vbox: error: starting machine 'vigil-" in out
    assert "The VM session was aborted" in out
    # The other machine was made; of this one nothing is left.
    assert len(manage.state.machines) == 1

    engine.apply()
    assert sorted(made.name for made in manage.state.machines.values()) == ["vigil-consumer", "vigil-producer"]
    engine.plan(status=0)
    engine.plan(f"-var=ssh_public_key={harness.KEY.replace('tests', 'rotated')}", status=0)
    found = inventory.parse(engine.output("inventory"), "output")
    assert str(found.machines["consumer"].address) == "10.77.0.12"
    assert _drift(engine, manage)["found"] == []

    console = deployment.state_dir / "machines/producer/serial.log"
    console.write_text("of the first boot\n")
    for command in ("controlvm vigil-consumer poweroff", "unregistervm vigil-consumer --delete"):
        assert manage.run(*command.split()).status == 0
    assert manage.run("natnetwork", "remove", "--netname", "vigil").status == 0
    engine.plan(status=0)  # it does not see that
    replace = _drift(engine, manage)["replace"]
    assert replace == ["terraform_data.network", 'terraform_data.machine["consumer"]']
    assert isinstance(replace, list)
    engine.apply(*(f"-replace={address}" for address in replace))
    state = manage.state
    assert len(state.machines) == 2
    assert len(state.networks["vigil"].rules) == 6
    assert console.read_text() == "of the first boot\n"

    engine.destroy()
    manage.assert_empty()
    assert deployment.files() == ["vbox.lock"]


def _drift(engine: Terraform, manage: Emulated) -> dict[str, object]:
    ran = subprocess.run(
        [sys.executable, str(WRAPPER), "drift", "--spec", "-"],
        input=json.dumps(engine.output("deployment")),
        env=manage.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def test_a_second_apply_at_once_is_refused(manage: Emulated, engine: Terraform, tmp_path: Path) -> None:
    go = tmp_path / "go"
    manage.fail(pattern="natnetwork add", hold=str(go))
    first = engine.start(*engine.words("apply", "-auto-approve", "-target=terraform_data.network"))
    try:
        _wait_for(Path(f"{go}.waiting"), first)
        assert "Error acquiring the state lock" in engine.apply(status=1)
    finally:
        go.touch()
        out, _ = first.communicate(timeout=120)
    assert first.returncode == 0, out


@pytest.mark.slow
def test_terraform_killed_half_way(deployment: Deployment, manage: Emulated, engine: Terraform, tmp_path: Path) -> None:
    """What it had begun goes on without it, and is not in its state; the next apply takes it over."""
    go = tmp_path / "go"
    manage.fail(pattern="startvm", hold=str(go))
    killed = engine.start(*engine.words("apply", "-auto-approve"))
    try:
        _wait_for(Path(f"{go}.waiting"), killed)
        killed.kill()
    finally:
        go.touch()
    killed.communicate(timeout=120)
    engine.apply()
    assert len([call for call in manage.calls if call[0] == "createvm"]) == 2
    assert len(manage.state.machines) == 2
    engine.plan(status=0)


def _wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not file.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_failure_at_each_call_of_an_apply(deployment: Deployment, manage: Emulated, engine: Terraform) -> None:
    """Some eight minutes: forty applies, each failing at another call, and each mended by the next apply."""
    nth = 0
    while True:
        nth += 1
        shutil.rmtree(manage.home)
        manage.home.mkdir()
        shutil.rmtree(deployment.state_dir, ignore_errors=True)
        engine.forget()
        manage.fail(nth=nth, message="Injected")
        process = engine.start(*engine.words("apply", "-auto-approve", "-parallelism=1"))
        out, _ = process.communicate(timeout=240)
        made = len(manage.calls)
        manage.heal()
        if process.returncode == 0 and made < nth:
            break
        if process.returncode:
            assert "vbox: error: " in out
            assert "Injected" in out
            for machine in manage.state.machines.values():
                assert machine.extra.get("vigil/made"), f"call {nth}: {machine.name} is half made"
        engine.apply()
        assert len(manage.state.machines) == 2
        assert len(manage.state.networks["vigil"].rules) == 6
        assert len(manage.state.media) == 4
    engine.plan(status=0)
    engine.destroy()
    manage.assert_empty()
    assert nth > 40
