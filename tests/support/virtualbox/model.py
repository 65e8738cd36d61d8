"""What the emulated VirtualBox knows: machines, networks, media, extra data. Kept in one file of the state folder."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.virtualbox.boot import BootMachine, BootNetwork, Rule
from tests.support.virtualbox.failures import com

HOME = "VBOX_EMULATED_HOME"


def home() -> Path:
    """The state folder."""
    return Path(os.environ[HOME])


@dataclass
class Attachment:
    """What is in a slot of a controller: `hdd` or `dvddrive`, and its file."""

    kind: str
    file: str


@dataclass
class Machine:
    """A registered machine."""

    name: str
    uuid: str
    ostype: str
    folder: str
    state: str = "poweroff"
    extra: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    """Options of modifyvm without their dashes, lower case, to their values."""
    controllers: dict[str, dict[str, Attachment]] = field(default_factory=dict)
    """Name to slots, `PORT-DEVICE`."""
    locked_calls: int = 0
    """So many calls still find it locked after a power-off."""

    @property
    def cfg(self) -> str:
        """Its settings file."""
        return f"{self.folder}/{self.name}.vbox"

    @property
    def network(self) -> str | None:
        """The NAT network of its first adapter."""
        return self.settings.get("nat-network1") if self.settings.get("nic1") == "natnetwork" else None

    @property
    def uart(self) -> str | None:
        """The file of its first serial port."""
        mode = self.settings.get("uartmode1", "")
        return mode.removeprefix("file ") if mode.startswith("file ") else None

    def file(self, kind: str) -> str | None:
        """The first attached file of a kind."""
        slots = (slot for slots in self.controllers.values() for _, slot in sorted(slots.items()))
        return next((slot.file for slot in slots if slot.kind == kind), None)


@dataclass
class Network:
    """A NAT network."""

    name: str
    cidr: str
    enabled: bool = True
    dhcp: bool = True
    ipv6: bool = False
    prefix: str = ""
    rules: dict[str, Rule] = field(default_factory=dict)
    started: bool = False


@dataclass
class Medium:
    """A registered disk or image. `machine`: in that machine's registry, and gone with it."""

    uuid: str
    file: str
    kind: str
    form: str
    megabytes: int
    machine: str | None = None


@dataclass
class State:
    """All of it."""

    machines: dict[str, Machine] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    media: list[Medium] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)

    def machine(self, name: str) -> Machine:
        """By name or UUID."""
        for machine in self.machines.values():
            if name in (machine.name, machine.uuid, f"{{{machine.uuid}}}"):
                return machine
        raise com(
            f"Could not find a registered machine named '{name}'",
            "VBOX_E_OBJECT_NOT_FOUND",
            "VirtualBoxWrap",
            "IVirtualBox",
        )

    def medium(self, name: str, kind: str) -> Medium | None:
        """By UUID or file."""
        return next(
            (medium for medium in self.media if medium.kind == kind and name in (medium.uuid, medium.file)), None
        )

    def users(self, file: str) -> list[Machine]:
        """The machines that have a file attached."""
        return [
            machine
            for machine in self.machines.values()
            if any(slot.file == file for slots in machine.controllers.values() for slot in slots.values())
        ]

    def on(self, network: str) -> list[Machine]:
        """The running machines on a network."""
        return [m for m in self.machines.values() if m.network == network and m.state == "running"]


def load() -> State:
    """The state; an empty one where there is none yet."""
    try:
        state: State = pickle.loads((home() / "state").read_bytes())
    except FileNotFoundError:
        return State()
    return state


def save(state: State) -> None:
    """Replaces the state whole."""
    part = home() / "state.part"
    part.write_bytes(pickle.dumps(state))
    part.replace(home() / "state")


def boot_network(network: Network) -> BootNetwork:
    """As the boot program takes it."""
    return BootNetwork(network.name, network.cidr, list(network.rules.values()))


def boot_machine(state: State, machine: Machine) -> BootMachine:
    """As the boot program takes it."""
    network = state.networks.get(machine.network or "")
    mac = machine.settings.get("macaddress1", "080027000000").lower()
    return BootMachine(
        name=machine.name,
        uuid=machine.uuid,
        folder=machine.folder,
        disk=machine.file("hdd"),
        seed=machine.file("dvddrive"),
        mac=":".join(mac[at : at + 2] for at in range(0, 12, 2)),
        memory_mb=int(machine.settings.get("memory", "128")),
        cpus=int(machine.settings.get("cpus", "1")),
        uart=machine.uart,
        network=boot_network(network) if network else None,
    )
