"""Real machines in an emulated host: they boot from their seeds, are reached as VirtualBox's are, and leave nothing."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from infra.machines.host_keys import host_keys
from tests.support.platform import wait_until
from tests.support.virtualbox import boot, host
from tests.support.virtualbox.boot import BootMachine, BootNetwork, Rule
from tests.support.virtualbox.host import Host
from tests.support.virtualbox.seeds import write_seed

# A machine boots within 10 s; the first that is ever started has the base image made.
pytestmark = pytest.mark.timeout(900)

CIDR = "10.77.0.0/24"

_PATIENCE_S = 90.0
"""A boot takes 10 s of a processor, of which there are fewer than tests."""


class Lab:
    """Two machines on one NAT network of an emulated host, and what a test asks of them."""

    def __init__(self, on: Host, folder: Path) -> None:
        self.host = on
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.machines = [self._machine(folder / name, number) for name, number in (("producer", 11), ("consumer", 12))]
        self.network = BootNetwork("vigil", CIDR, [_ssh_forward(number) for number in (11, 12)])

    def _machine(self, folder: Path, number: int) -> BootMachine:
        folder.mkdir()
        (folder / "disk.vdi").touch()
        mac = f"08:00:27:00:00:{number}"
        public = self.key.export_public_key().decode().strip()
        write_seed(folder / "seed.iso", folder.name, f"10.77.0.{number}", mac, public)
        network = BootNetwork("vigil", CIDR)
        files = (str(folder), str(folder / "disk.vdi"), str(folder / "seed.iso"))
        return BootMachine(folder.name, str(uuid.uuid4()), *files, mac, 1024, 1, str(folder / "serial.log"), network)

    def ask(self, command: str, about: BootMachine | BootNetwork) -> str:
        """As the emulated VBoxManage does."""
        with self.host.inside():
            return boot.call(command, about)

    def up(self, machine: BootMachine) -> str:
        """Turns it on if it is off; its host key, once its serial console shows it."""
        if self.ask("state", machine) != "running":
            self.ask("start", machine)
        (key,) = wait_until(lambda: host_keys(console(machine)), _PATIENCE_S, "the host keys on the console")
        return key

    def ssh(self, machine: BootMachine, command: str, host_key: str) -> str:
        """What the command writes, run by SSH through the port forward."""
        port = 2200 + int(machine.mac[-2:])

        async def run() -> str:
            hosts = asyncssh.import_known_hosts(f"[127.0.0.1]:{port} {host_key}\n")
            async with asyncssh.connect(
                "127.0.0.1", port, username="vigil-operator", client_keys=[self.key], known_hosts=hosts, config=None
            ) as link:
                return str((await link.run(command, check=True)).stdout).strip()

        with self.host.inside():
            return asyncio.run(asyncio.wait_for(run(), _PATIENCE_S))


def console(machine: BootMachine) -> str:
    """What its serial console has shown since it was made."""
    assert machine.uart
    return Path(machine.uart).read_text(errors="replace")


def _ssh_forward(number: int) -> Rule:
    return Rule(f"ssh-{number}", "tcp", "127.0.0.1", 2200 + number, f"10.77.0.{number}", 22)


@pytest.fixture(scope="module")
def emulated() -> Iterator[Host]:
    try:
        with host.emulated_host() as up:
            yield up
    except host.HostUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def lab(emulated: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Both machines on; they boot at the same time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulated.environment.items():
            patch.setenv(name, value)
        lab = Lab(emulated, tmp_path_factory.mktemp("machines"))
        lab.ask("forwards", lab.network)
        for machine in lab.machines:
            lab.ask("start", machine)
        yield lab


def test_cloud_init_makes_of_the_seed_what_it_says_without_an_error(lab: Lab) -> None:
    for machine in lab.machines:
        key = lab.up(machine)
        status = lab.ssh(machine, "cloud-init status --wait --long; hostname; ip -4 -br address show scope global", key)
        assert "status: done" in status
        assert machine.name in status
        assert f"10.77.0.{machine.mac[-2:]}/24" in status
        assert lab.ask("state", machine) == "running"


def test_ssh_goes_through_the_forward_and_trusts_the_pinned_key_alone(lab: Lab) -> None:
    producer, consumer = lab.machines
    assert lab.ssh(producer, "hostname", lab.up(producer)) == "producer"
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        lab.ssh(producer, "hostname", lab.up(consumer))


def test_machines_reach_each_other_and_nothing_else(lab: Lab) -> None:
    producer, consumer = lab.machines
    key = lab.up(producer)
    lab.up(consumer)
    reach = "timeout 20 bash -c '</dev/tcp/{}' 2>&1 || true"
    assert lab.ssh(producer, reach.format("10.77.0.12/22"), key) == ""
    assert "Network is unreachable" in lab.ssh(producer, reach.format("192.0.2.1/22"), key)  # RFC 5737: nobody's
    assert "Connection refused" in lab.ssh(producer, reach.format("10.77.0.1/22"), key)
    with lab.host.inside(), pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("10.77.0.11", 22), timeout=20)  # the host has the forwards alone


def test_forwards_come_and_go_while_machines_run(lab: Lab) -> None:
    lab.up(lab.machines[0])
    more = Rule("again", "tcp", "127.0.0.1", 2299, "10.77.0.11", 22)
    lab.ask("forwards", BootNetwork("vigil", CIDR, [*lab.network.forwards, more]))
    with lab.host.inside(), socket.create_connection(("127.0.0.1", 2299), timeout=20) as through:
        assert through.recv(4) == b"SSH-"
    lab.ask("forwards", lab.network)
    with lab.host.inside(), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 2299), timeout=20)


def test_what_was_written_survives_that_the_plug_is_pulled(lab: Lab) -> None:
    _, machine = lab.machines
    key = lab.up(machine)
    lab.ssh(machine, "sudo tee /var/lib/mark <<<kept", key)
    lab.ask("poweroff", machine)
    lab.ask("poweroff", machine)  # as often as one likes
    assert lab.ask("state", machine) == "poweroff"

    shown = len(console(machine))
    lab.ask("start", machine)
    wait_until(lambda: "Started ssh.service" in console(machine)[shown:], _PATIENCE_S, "sshd's second start")
    assert lab.ssh(machine, "cat /var/lib/mark", key) == "kept"  # and the host key is the same
