"""The wrapper as a program of its own: killed, interrupted, run twice at once, asked for wrongly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.infra.terraform_virtualbox.conftest import Deployment
from tests.support.virtualbox.harness import Emulated
from tests.support.virtualbox.terraform import MODULE

PATIENCE_S = 120


def start(command: str, deployment: Deployment, file: Path) -> subprocess.Popen[str]:
    """Begins a command; what it is asked for is in `file`."""
    return subprocess.Popen(
        [sys.executable, str(MODULE / "vbox"), command, "--spec", str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], **deployment.manage.environment()},
    )


@pytest.fixture
def spec_file(deployment: Deployment, executable: Emulated, tmp_path: Path) -> Path:
    """What the producer machine is asked for."""
    assert deployment.manage is executable
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(deployment.value()), encoding="utf-8")
    return file


def until(met: Callable[[], bool]) -> None:
    """Waits for a condition."""
    end = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(process: subprocess.Popen[str]) -> str:
    """What it said, once it has ended well."""
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return err


@pytest.mark.parametrize(
    "step",
    [
        "createvm",
        "clonemedium",
        pytest.param("setextradata .* vigil/owner", marks=pytest.mark.slow),
        pytest.param("startvm", marks=pytest.mark.slow),
    ],
)
def test_killed_while_virtualbox_works(
    step: str, deployment: Deployment, manage: Emulated, spec_file: Path, tmp_path: Path
) -> None:
    """Its call of VBoxManage goes on: the next run waits for that, and begins anew."""
    deployment.network_up()
    deployment.image_up()
    go = tmp_path / "go"
    manage.fail(pattern=step, hold=str(go))
    killed = start("machine-up", deployment, spec_file)
    until(Path(f"{go}.waiting").exists)
    killed.kill()
    killed.wait(PATIENCE_S)
    assert killed.stderr is not None
    assert killed.stdout is not None
    killed.stderr.close()
    killed.stdout.close()
    following = start("machine-up", deployment, spec_file)
    try:
        assert following.stderr is not None
        assert following.stderr.readline().startswith("waiting for VBoxManage (process ")
    finally:
        go.touch()
    ended(following)
    state = manage.state
    assert [made.state for made in state.machines.values()] == ["running"]
    assert len(state.media) == 2
    deployment.down()
    manage.assert_empty()


def test_two_runs_at_once(deployment: Deployment, manage: Emulated, spec_file: Path, tmp_path: Path) -> None:
    deployment.network_up()
    go = tmp_path / "go"
    manage.fail(pattern="createvm", hold=str(go))
    first = start("machine-up", deployment, spec_file)
    until(Path(f"{go}.waiting").exists)
    second = start("machine-up", deployment, spec_file)
    try:
        assert second.stderr is not None
        assert second.stderr.readline().startswith("waiting for another run in ")
    finally:
        go.touch()
    ended(first)
    assert "machine 'vigil-producer' is there" in ended(second)
    assert len([call for call in manage.calls if call[0] == "createvm"]) == 1


def test_asked_to_end(deployment: Deployment, manage: Emulated, spec_file: Path, tmp_path: Path) -> None:
    deployment.network_up()
    go = tmp_path / "go"
    manage.fail(pattern="clonemedium .* .*/producer/", hold=str(go))
    process = start("machine-up", deployment, spec_file)
    until(Path(f"{go}.waiting").exists)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    until(lambda: process.stderr is not None and "SIGINT: ending after this step" in process.stderr.readline())
    go.touch()
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "vbox: error: ended by a signal" in err
    assert manage.state.machines == {}
    assert manage.state.media == []


def test_what_it_says_of_a_failure(deployment: Deployment, manage: Emulated, spec_file: Path) -> None:
    deployment.network_up()
    manage.run("natnetwork", "remove", "--netname", "vigil")
    manage.run("natnetwork", "add", "--netname", "vigil", "--network", "10.9.0.0/24", "--enable")
    process = start("network-up", deployment, spec_file)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3
    assert err.splitlines()[0].startswith("vbox: error: NAT network 'vigil' (10.9.0.0/24) exists and was not made by")
    assert err.splitlines()[1].startswith("remedy: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "no JSON"), ('{"owner": "a", "state_dir": "/nowhere/x"}', "cannot be used|network is missing")],
)
def test_asked_for_wrongly(text: str, said: str, deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(text.replace("/nowhere", str(tmp_path)), encoding="utf-8")
    process = start("network-up", deployment, file)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert any(part in err for part in said.split("|"))


def test_without_virtualbox(deployment: Deployment, spec_file: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(MODULE / "vbox"), "network-up", "--spec", str(spec_file)],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("vbox: error: VBoxManage is not on the PATH\nremedy: Install VirtualBox 7.0 or newer")
