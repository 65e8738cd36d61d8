"""What VBoxManage says there is: machines, networks, media, extra data. Reading alone; the parsers are pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vbox.errors import ManageFailed, VboxError
from vbox.manage import Manage

RUNNING = frozenset({"running", "paused", "stuck", "starting", "stopping", "restoring", "saving", "teleporting"})
"""States in which a machine's process is there."""

_MACHINE = re.compile(r'^"(.*)" \{([0-9a-fA-F-]{36})\}$')
_PAIR = re.compile(r'^("[^"]*"|[^="]+)=(.*)$')


@dataclass(frozen=True)
class Forward:
    """One port forward as VBoxManage writes and takes it: `name:tcp:[host]:port:[guest]:port`."""

    name: str
    host_port: int
    guest_address: str
    guest_port: int
    host_address: str = "127.0.0.1"
    protocol: str = "tcp"

    def __str__(self) -> str:
        return (
            f"{self.name}:{self.protocol}:[{self.host_address}]:{self.host_port}"
            f":[{self.guest_address}]:{self.guest_port}"
        )

    @staticmethod
    def parse(text: str) -> Forward | None:
        """The rule of a line; None where it is none."""
        found = re.fullmatch(r"(.*):(tcp|udp):\[(.*)\]:(\d+):\[(.*)\]:(\d+)", text.strip())
        if found is None:
            return None
        name, protocol, host, port, guest, guest_port = found.groups()
        return Forward(name, int(port), guest, int(guest_port), host, protocol)


@dataclass(frozen=True)
class Network:
    """A NAT network. `ipv6_prefix` is the fingerprint of those that are made here (`owner.fingerprint`)."""

    name: str
    cidr: str
    ipv6_prefix: str
    forwards: tuple[Forward, ...]


@dataclass(frozen=True)
class Medium:
    """A disk or an image in VirtualBox's media registry."""

    uuid: str
    location: str


def parse_machines(text: str) -> dict[str, str]:
    """Name to UUID, from `list vms` or `list runningvms`."""
    found = (_MACHINE.match(line.strip()) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}


def parse_info(text: str) -> dict[str, str]:
    """Keys to values, both without quotes, from `showvminfo --machinereadable`."""
    pairs = (_PAIR.match(line) for line in text.splitlines())
    return {match[1].strip('"'): match[2].strip('"') for match in pairs if match}


def parse_networks(text: str) -> dict[str, Network]:
    """Name to network, from `natnetwork list`."""
    networks: dict[str, Network] = {}
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        rules: list[Forward] = []
        for line in block.splitlines():
            if line[:1].isspace():
                if rule := Forward.parse(line):
                    rules.append(rule)
            else:
                key, _, value = line.partition(":")
                fields.setdefault(key.strip().lower(), value.strip())
        # 6.1 wrote "NetworkName" in one of its two lists.
        name = fields.get("name") or fields.get("networkname")
        if name:
            networks[name] = Network(name, fields.get("network", ""), fields.get("ipv6 prefix", ""), tuple(rules))
    return networks


def parse_extra(text: str) -> dict[str, str]:
    """Keys to values, from `getextradata X enumerate`."""
    found = (re.match(r"^Key: (.*?), Value: (.*)$", line) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}


def parse_media(text: str) -> list[Medium]:
    """From `list hdds` or `list dvds`."""
    media = []
    for block in re.split(r"\n\s*\n", text):
        fields = dict(line.partition(":")[::2] for line in block.splitlines())
        uuid, location = fields.get("UUID", "").strip(), fields.get("Location", "").strip()
        if uuid and location:
            media.append(Medium(uuid, location))
    return media


def version(manage: Manage) -> str:
    """VirtualBox's own version."""
    # Warnings, as of a kernel module that is missing, come before it.
    said = manage("--version", doing="asking VBoxManage for its version").strip().splitlines()
    return said[-1] if said else ""


def require_version(manage: Manage) -> None:
    """Raises VboxError where VirtualBox is too old: before 7.0 it does not list the forwards of NAT networks."""
    found = version(manage)
    if not (found.partition(".")[0].isdigit() and int(found.partition(".")[0]) >= 7):
        raise VboxError(f"this is VirtualBox {found or 'of no known version'}", remedy="Install 7.0 or newer")


def machines(manage: Manage) -> dict[str, str]:
    """All machines, name to UUID."""
    return parse_machines(manage("list", "vms", doing="listing machines"))


def running(manage: Manage) -> dict[str, str]:
    """The machines that run, name to UUID."""
    return parse_machines(manage("list", "runningvms", doing="listing running machines"))


def info(manage: Manage, machine: str) -> dict[str, str]:
    """All that is known of a machine."""
    return parse_info(manage("showvminfo", machine, "--machinereadable", doing=f"looking at machine {machine!r}"))


def state(manage: Manage, machine: str) -> str | None:
    """`running`, `poweroff`, `aborted`, `saved`, …; None: there is no such machine."""
    try:
        return info(manage, machine).get("VMState", "")
    except ManageFailed as error:
        if error.code == "VBOX_E_OBJECT_NOT_FOUND":
            return None
        raise


def networks(manage: Manage) -> dict[str, Network]:
    """All NAT networks."""
    return parse_networks(manage("natnetwork", "list", doing="listing NAT networks"))


def extra_data(manage: Manage, target: str) -> dict[str, str]:
    """The extra data of a machine, or VirtualBox's own (`global`)."""
    return parse_extra(manage("getextradata", target, "enumerate", doing=f"reading extra data of {target!r}"))


def media(manage: Manage, kind: str) -> list[Medium]:
    """All disks (`hdds`) or images (`dvds`) in the registry."""
    return parse_media(manage("list", kind, doing=f"listing {kind}"))


def below(media_: list[Medium], folder: Path) -> list[Medium]:
    """Those in a folder, however deep."""
    return [medium for medium in media_ if Path(medium.location).is_relative_to(folder)]
