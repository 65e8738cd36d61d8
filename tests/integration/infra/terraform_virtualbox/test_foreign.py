"""What this deployment did not make is refused and not changed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from vbox import drift
from vbox.errors import Refused

from tests.integration.infra.terraform_virtualbox.conftest import Deployment
from tests.support.virtualbox import harness
from tests.support.virtualbox.harness import Emulated


@contextmanager
def untouched(manage: Emulated) -> Iterator[None]:
    """Nothing in VirtualBox differs afterwards."""
    before = manage.state
    yield
    assert manage.state == before


def test_a_network_of_the_same_name(deployment: Deployment, manage: Emulated) -> None:
    manage.run("natnetwork", "add", "--netname", "vigil", "--network", "10.77.0.0/24", "--enable")
    with untouched(manage):
        with pytest.raises(Refused, match=r"NAT network 'vigil' \(10.77.0.0/24\) exists and was not made by"):
            deployment.network_up()
        for call in (deployment.forwards_up, deployment.machine_up):
            with pytest.raises(Refused, match="NAT network 'vigil'"):
                call()
        deployment.down()


def test_a_network_that_somebody_made_anew(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()
    deployment.forwards_up()
    manage.run("natnetwork", "remove", "--netname", "vigil")
    manage.run("natnetwork", "add", "--netname", "vigil", "--network", "10.77.0.0/24", "--enable")
    theirs = manage.state.networks
    with pytest.raises(Refused, match="was not made by this deployment"):
        deployment.network_up()
    deployment.down()
    assert manage.state.networks == theirs
    assert manage.state.extra == {}


def test_a_machine_of_the_same_name(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()
    folder = deployment.state_dir.parent / "elsewhere"
    manage.run(
        "createvm", "--name", "vigil-producer", "--ostype", "Debian_64", "--basefolder", str(folder), "--register"
    )
    with untouched(manage):
        with pytest.raises(Refused, match="machine 'vigil-producer' exists and was not made by this deployment"):
            deployment.machine_up()
        deployment.machine_down()
    assert any("was not made by this deployment" in line for line in manage.said)


@pytest.mark.parametrize("marked", ["vigil@elsewhere", None])
def test_a_machine_of_another_owner(marked: str | None, deployment: Deployment, manage: Emulated) -> None:
    deployment.up()
    deployment.owner, ours = "vigil@there", deployment.owner
    if marked:
        deployment.owner = ours
        manage.run("setextradata", "vigil-producer", "vigil/owner", marked)
    with untouched(manage), pytest.raises(Refused, match=r"belongs to '(vigil@elsewhere|vigil@here)'"):
        deployment.machine_up()
    with untouched(manage):
        deployment.machine_down()
    error = harness.failing(deployment.sweep)
    assert error is None or "on NAT network 'vigil'" in str(error) or "has the forward" in str(error)
    assert manage.state.machine("vigil-producer").state == "running"


def test_a_forward_of_the_same_name(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()
    manage.run(
        "natnetwork", "modify", "--netname", "vigil", "--port-forward-4", "vigil-producer-ssh:tcp:[]:1:[1.2.3.4]:5"
    )
    with untouched(manage):
        with pytest.raises(Refused, match="has a forward 'vigil-producer-ssh'"):
            deployment.forwards_up()
        deployment.forwards_down()
    with untouched(manage), pytest.raises(Refused, match="which this deployment did not make") as raised:
        deployment.network_down()
    assert "--port-forward-4 delete vigil-producer-ssh" in raised.value.remedy


def test_a_forward_that_somebody_changed(deployment: Deployment, manage: Emulated) -> None:
    deployment.up()
    rule = "vigil-producer-ssh"
    manage.run("natnetwork", "modify", "--netname", "vigil", "--port-forward-4", "delete", rule)
    manage.run("natnetwork", "modify", "--netname", "vigil", "--port-forward-4", f"{rule}:tcp:[]:1:[1.2.3.4]:5")
    with untouched(manage), pytest.raises(Refused):
        deployment.forwards_up()


def test_a_foreign_machine_on_our_network(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()
    folder = deployment.state_dir.parent / "elsewhere"
    manage.run("createvm", "--name", "guest", "--ostype", "Ubuntu_64", "--basefolder", str(folder), "--register")
    manage.run("modifyvm", "guest", "--nic1", "natnetwork", "--nat-network1", "vigil")
    with untouched(manage), pytest.raises(Refused, match="machine 'guest', which this deployment did not make"):
        deployment.network_down()


def test_host_ports_in_use_are_named_before_anything_is_made(deployment: Deployment, manage: Emulated) -> None:
    other = deployment.ports["consumer-kafka"]
    manage.run("natnetwork", "add", "--netname", "other", "--network", "10.1.0.0/24", "--enable")
    manage.run("natnetwork", "modify", "--netname", "other", "--port-forward-4", f"web:tcp:[]:{other}:[10.1.0.4]:80")
    held = socket.create_server(("127.0.0.1", deployment.ports["producer-ssh"]))
    with held, untouched(manage), pytest.raises(Refused) as raised:
        deployment.network_up()
    assert f"127.0.0.1:{deployment.ports['producer-ssh']} (a process of this host)" in str(raised.value)
    assert f"127.0.0.1:{other} (forward 'web' of NAT network 'other')" in str(raised.value)
    assert "port_bases" in raised.value.remedy


def test_a_host_port_that_was_taken_meanwhile(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()
    held = socket.create_server(("127.0.0.1", deployment.ports["producer-ssh"]))
    with held, untouched(manage), pytest.raises(Refused, match="host ports are in use"):
        deployment.forwards_up()


def _drift(deployment: Deployment) -> drift.Drift:
    spec = deployment.spec(
        network={"name": "vigil", "cidr": "10.77.0.0/24", "ports": [], "terraform": "net"},
        image={**_image(deployment), "terraform": "image"},
        machines={
            name: {
                "vm_name": f"vigil-{name}",
                "terraform": f"machine[{name}]",
                "terraform_forwards": f"forwards[{name}]",
                "forwards": [
                    {
                        "name": rule.name,
                        "host_port": rule.host_port,
                        "guest_address": rule.guest_address,
                        "guest_port": rule.guest_port,
                    }
                    for rule in deployment.spec(name).forwards
                ],
            }
            for name in ("producer", "consumer")
        },
    )
    return drift.look(deployment.manage, spec)


def _image(deployment: Deployment) -> dict[str, str]:
    image = deployment.spec().image
    return {"source": image.source, "checksum": f"{image.algorithm}:{image.digest}"}


def _by_hand(*commands: str) -> Callable[[Emulated], None]:
    def change(manage: Emulated) -> None:
        for command in commands:
            assert manage.run(*command.split()).status == 0, command

    return change


@pytest.mark.parametrize(
    ("change", "replace", "start", "foreign"),
    [
        (_by_hand(), [], [], []),
        (
            _by_hand("controlvm vigil-consumer poweroff", "unregistervm vigil-consumer --delete"),
            ["machine[consumer]"],
            [],
            [],
        ),
        (_by_hand("controlvm vigil-producer poweroff"), [], ["producer"], []),
        (_by_hand("natnetwork remove --netname vigil"), ["net"], [], []),
        (
            _by_hand("natnetwork modify --netname vigil --port-forward-4 delete vigil-producer-ssh"),
            ["forwards[producer]"],
            [],
            [],
        ),
        (_by_hand("setextradata vigil-producer vigil/made"), ["machine[producer]"], [], []),
        (_by_hand("setextradata vigil-producer vigil/owner somebody"), [], [], ["machine 'vigil-producer'"]),
        (_by_hand("setextradata global vigil/natnetwork/vigil"), [], [], ["NAT network 'vigil'"]),
    ],
)
def test_drift(
    change: Callable[[Emulated], None],
    replace: list[str],
    start: list[str],
    foreign: list[str],
    deployment: Deployment,
    manage: Emulated,
) -> None:
    deployment.up()
    change(manage)
    found = _drift(deployment)
    assert (found.replace, found.start, found.foreign) == (replace, start, foreign)
    assert len(found.found) == len(replace) + len(start)
    assert found.vboxmanage == "7.1.4r165100"


def test_drift_names_ports_before_anything_is_there(deployment: Deployment) -> None:
    port = deployment.ports["consumer-ssh"]
    with socket.create_server(("127.0.0.1", port)):
        found = _drift(deployment)
    assert found.ports == {port: "a process of this host"}
    assert found.replace == ["image", "net", "machine[producer]", "machine[consumer]"]
