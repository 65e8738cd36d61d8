"""An emulated VirtualBox and a deployment of two machines, as each test's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from vbox import forwards, image, machine, network
from vbox.spec import Spec

from tests.support.virtualbox import harness
from tests.support.virtualbox.harness import Emulated


@dataclass
class Deployment:
    """What Terraform would ask for, call by call."""

    manage: Emulated
    state_dir: Path
    source: Path
    ports: dict[str, int]
    owner: str = "vigil@here"

    def spec(self, name: str = "producer", **more: object) -> Spec:
        """What a command is asked for, with parts in place of the ordinary ones."""
        return harness.spec(self.value(name, **more))

    def value(self, name: str = "producer", **more: object) -> dict[str, object]:
        """The same, before it becomes JSON."""
        number = {"producer": 11, "consumer": 12}[name]
        machine_: dict[str, object] = {
            "name": name,
            "vm_name": f"vigil-{name}",
            "os_type": "Debian_64",
            "cpus": 2,
            "memory_mb": 1024,
            "disk_gb": 8,
            "mac": f"08:00:27:00:00:{number:02x}",
            "fingerprint": "0123456789abcdef",
            "stop_timeout_s": 60,
        }
        changes = more.pop("machine", {})
        assert isinstance(changes, dict)
        digest = hashlib.sha256(self.source.read_bytes()).hexdigest() if self.source.exists() else "0" * 64
        value: dict[str, object] = {
            "owner": self.owner,
            "state_dir": str(self.state_dir),
            "network": {"name": "vigil", "cidr": "10.77.0.0/24", "ports": sorted(self.ports.values())},
            "forwards": [
                {
                    "name": f"vigil-{name}-{what}",
                    "host_port": self.ports[f"{name}-{what}"],
                    "guest_address": f"10.77.0.{number}",
                    "guest_port": guest,
                }
                for what, guest in (("ssh", 22), ("kafka", 9094))
            ],
            "image": {"source": str(self.source), "checksum": f"sha256:{digest}"},
            "machine": machine_ | changes,
            "seed": {"meta-data": "a\n", "user-data": "#cloud-config\n", "network-config": "version: 2\n"},
        }
        return value | more

    def network_up(self, spec: Spec | None = None) -> None:
        """As the command."""
        spec = spec or self.spec()
        network.up(self.manage, spec.owner, spec.network, self.manage.say)

    def network_down(self) -> None:
        """As the command."""
        spec = self.spec()
        machine.sweep(self.manage, spec, self.manage.say)
        network.down(self.manage, spec.owner, spec.network.name, self.manage.say)

    def sweep(self) -> None:
        """As the command."""
        spec = self.spec()
        machine.sweep(self.manage, spec, self.manage.say, whole=True)
        network.down(self.manage, spec.owner, spec.network.name, self.manage.say)
        image.clear(self.manage, self.state_dir)

    def forwards_up(self, name: str = "producer", spec: Spec | None = None) -> None:
        """As the command."""
        spec = spec or self.spec(name)
        forwards.up(self.manage, spec.owner, spec.network.name, name, spec.forwards, self.manage.say)

    def forwards_down(self, name: str = "producer") -> None:
        """As the command."""
        forwards.down(self.manage, self.owner, "vigil", name, self.manage.say)

    def image_up(self) -> None:
        """As the command."""
        spec = self.spec()
        image.up(self.manage, self.state_dir, spec.image, self.manage.say)

    def image_down(self) -> None:
        """As the command."""
        image.down(self.manage, self.state_dir, self.spec().image, self.manage.say)

    def machine_up(self, name: str = "producer", **changes: object) -> None:
        """As the command."""
        machine.up(self.manage, self.spec(name, machine=changes), self.manage.say)

    def machine_down(self, name: str = "producer") -> None:
        """As the command."""
        machine.down(self.manage, self.spec(name), self.manage.say)

    def up(self) -> None:
        """Everything, in Terraform's order."""
        self.network_up()
        for name in ("producer", "consumer"):
            self.forwards_up(name)
        self.image_up()
        for name in ("producer", "consumer"):
            self.machine_up(name)

    def down(self) -> None:
        """Nothing, in Terraform's order."""
        for name in ("producer", "consumer"):
            self.machine_down(name)
        self.image_down()
        for name in ("producer", "consumer"):
            self.forwards_down(name)
        self.network_down()

    def files(self) -> list[str]:
        """What lies in the state folder, without folders."""
        return sorted(str(path.relative_to(self.state_dir)) for path in self.state_dir.rglob("*") if not path.is_dir())


@pytest.fixture(scope="session")
def vbox_socket() -> Iterator[str]:
    """Of the server that answers calls of the executable."""
    with harness.serving() as socket:
        yield socket


@pytest.fixture
def manage(tmp_path: Path) -> Emulated:
    """An emulated VirtualBox."""
    return Emulated(tmp_path / "virtualbox")


@pytest.fixture
def executable(manage: Emulated, vbox_socket: str) -> Emulated:
    """The same, for processes that call the executable."""
    manage.socket = vbox_socket
    return manage


@pytest.fixture
def deployment(tmp_path: Path, manage: Emulated, free_port: Callable[[], int]) -> Deployment:
    """A deployment that asks for two machines and has none yet."""
    ports = {f"{name}-{what}": free_port() for name in ("producer", "consumer") for what in ("ssh", "kafka")}
    return Deployment(manage, tmp_path / "state", harness.image(tmp_path / "images"), ports)
