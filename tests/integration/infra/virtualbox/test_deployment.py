"""A deployment's plan and its application: the real Terraform on an emulated VirtualBox (no machine boots)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.virtualbox.changes import Action
from infra.virtualbox.deployment import Deployment, Refused
from infra.virtualbox.engine import TerraformFailed
from infra.virtualbox.wanted import Wanted, parse
from streaming.errors import ConfigError, Unavailable
from streaming.settings import CHECKOUT, Settings
from tests.support.platform import wait_until
from tests.support.virtualbox import harness
from tests.support.virtualbox.harness import Emulated

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("terraform", "tofu"))), reason="neither terraform nor tofu is on the path"
)


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    return ()


class Place:
    """A home, an emulated VirtualBox and what is wanted of it; ports that nobody uses."""

    def __init__(self, folder: Path, free_port: Callable[[int], int]) -> None:
        self.box = Emulated(folder / "virtualbox")
        self.settings = Settings(home=folder / "home")
        self.said: list[str] = []
        source = harness.image(folder)
        self.value: dict[str, object] = {
            "image": {"source": str(source), "checksum": f"sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}"},
            "port_bases": harness.port_bases(free_port),
            "stop_timeout_s": 0,
        }

    def wanted(self, **more: object) -> Wanted:
        return parse(self.value | more, "test")

    def deployment(self) -> Deployment:
        return Deployment(self.settings, "vigil", self.said.append)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[int], int]) -> Place:
    made = Place(tmp_path, free_port)
    for name, value in made.box.environment().items():
        monkeypatch.setenv(name, value)
    return made


def test_plan_approve_apply_repair_end(place: Place) -> None:
    deployment = place.deployment()
    with pytest.raises(Unavailable, match="no machines yet"):
        deployment.inventory()
    first = deployment.propose(place.wanted())
    assert {one.action for one in first.changes} == {Action.MAKE}
    assert [one.what for one in first.changes][-2:] == ["machine consumer", "machine producer"]
    assert (place.box.state.machines, first.losses) == ({}, ())
    deployment.apply(first)
    assert any('machine["producer"]: Creation complete' in line for line in place.said)
    inventory = deployment.inventory()
    assert str(inventory.machines["consumer"].address) == "10.77.0.12"
    assert {machine.name for machine in place.box.state.machines.values()} == {"vigil-producer", "vigil-consumer"}

    # Again changes nothing.
    again = deployment.propose(place.wanted())
    assert again.is_empty
    assert again.drift == ()

    # Deleted by hand, and switched off by hand.
    for arguments in (("controlvm", "vigil-consumer", "poweroff"), ("unregistervm", "vigil-consumer", "--delete")):
        assert place.box.run(*arguments).status == 0
    assert place.box.run("controlvm", "vigil-producer", "poweroff").status == 0
    repair = deployment.propose(place.wanted())
    assert [(one.action, one.what) for one in repair.changes] == [(Action.REMAKE, "machine consumer")]
    assert repair.start == ("producer",)
    assert any("vigil-consumer" in line and "gone" in line for line in repair.drift)
    deployment.apply(repair)
    assert place.deployment().propose(place.wanted()).is_empty

    # A bigger machine is another machine: who approves reads what is lost.
    bigger = deployment.propose(
        place.wanted(nodes={n: node.model_dump() | {"memory_mb": 8192} for n, node in place.wanted().nodes.items()})
    )
    assert bigger.losses == tuple(
        f"machine {name}: its disk, with all that is on it" for name in ("consumer", "producer")
    )
    assert bigger.changes[-1].why.startswith("memory_mb 4096 becomes 8192")

    end = deployment.propose_end()
    assert {one.action for one in end.changes} == {Action.DESTROY}
    deployment.apply(end)
    place.box.assert_empty()
    assert not deployment.exists


def test_only_the_approved_plan_is_applied(place: Place) -> None:
    deployment = place.deployment()
    approved = deployment.propose(place.wanted())
    deployment.propose(place.wanted(dns=["9.9.9.9"]))
    with pytest.raises(ConfigError, match="another plan was made since"):
        deployment.apply(approved)
    place.box.assert_empty()
    assert not (deployment.folder / "plan").exists()


def test_what_is_somebody_elses_is_named_before_anything_is_made(place: Place) -> None:
    foreign = ("--name", "vigil-producer", "--ostype", "Debian_64", "--register")
    assert place.box.run("createvm", *foreign).status == 0
    with pytest.raises(Refused, match=r"vigil-producer.* is not this deployment's.*Nothing was changed"):
        place.deployment().propose(place.wanted())
    assert place.box.run("unregistervm", "vigil-producer", "--delete").status == 0
    port = place.wanted().port_bases.ssh + 11
    with socket.create_server(("127.0.0.1", port)), pytest.raises(Refused, match=f"host port {port} is in use"):
        place.deployment().propose(place.wanted())
    place.box.assert_empty()


@pytest.mark.slow
def test_a_failure_says_virtualboxs_reason_and_the_next_run_goes_on(place: Place) -> None:
    place.box.fail(pattern="startvm")
    deployment = place.deployment()
    with pytest.raises(TerraformFailed, match=r"(?s)terraform apply failed.*VBOX_E_|NS_ERROR"):
        deployment.apply(deployment.propose(place.wanted()))
    place.box.heal()
    rest = deployment.propose(place.wanted())
    assert {one.what for one in rest.changes} <= {"machine producer", "machine consumer"}
    deployment.apply(rest)
    assert place.deployment().propose(place.wanted()).is_empty


APPLY = """
import json, sys
from infra.virtualbox.deployment import Deployment
from infra.virtualbox.wanted import parse
from streaming.settings import load_settings
deployment = Deployment(load_settings(), "vigil", lambda line: print(line, flush=True))
deployment.apply(deployment.propose(parse(json.loads(sys.argv[1]), "test")))
"""


@pytest.mark.slow
def test_a_run_that_is_ended_half_way_hands_its_interruption_on(place: Place, tmp_path: Path) -> None:
    """As Airflow ends a task: TERM, which becomes an exception in it."""
    out, held = tmp_path / "out", tmp_path / "held"
    place.box.fail(pattern="startvm", times=1, hold=str(held))
    environment = {**os.environ, "VIGIL_HOME": str(place.settings.home), "PYTHONUNBUFFERED": "1"}
    program = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n" + APPLY
    with out.open("wb") as said:
        run = subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(place.value)],
            cwd=CHECKOUT,
            env=environment,
            stdout=said,
            stderr=said,
        )
    wait_until(held.with_name("held.waiting").exists, 90, "a machine is being started")
    run.send_signal(signal.SIGTERM)
    wait_until(lambda: "Terraform finishes the step in hand" in out.read_text(), 30, "it hands the interruption on")
    assert run.poll() is None
    held.touch()
    assert run.wait(120) == 143
    place.box.heal()
    deployment = place.deployment()
    deployment.apply(deployment.propose(place.wanted()))
    assert place.deployment().propose(place.wanted()).is_empty
