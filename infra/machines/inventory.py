"""The inventory: which machines a deployment has, what each is for, and how it is reached. Pure but for `load`.

Terraform's output `inventory` has this shape (target `virtualbox`), and so has a file that a person writes for machines
that exist already (target `inventory`), as JSON or YAML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated

import msgspec
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from infra.machines.placement import MULTIPLICITY, Instance, Role, placement
from infra.machines.sudo_commands import OPERATOR
from streaming.decoding import decode
from streaming.errors import ConfigError

MAX_BYTES = 1024 * 1024
"""A machine takes some 500 bytes; what is larger is another file."""

KAFKA_INSIDE, KAFKA_OUTSIDE, KAFKA_CONTROLLER = 9092, 9094, 9093
"""Ports of a broker: for clients on the machines, for clients on the host through a forward, and of a controller."""
ELASTICSEARCH_TLS, KIBANA_TLS, SSH = 9243, 5601, 22

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}[a-z0-9]$|^[a-z]$")]
"""Of a deployment or a machine: part of host names, unit names' neighbours and paths."""
Account = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Mac = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")]


def _text(value: object) -> object:
    # ipaddress takes 3232235777 and b"\xc0\xa8\x01\x01" for addresses too.
    if not isinstance(value, str | IPv4Address | IPv4Network):
        raise ValueError("is no text")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ForwardName(StrEnum):
    """What a port of the host may lead to."""

    SSH = "ssh"
    KAFKA = "kafka"
    ELASTICSEARCH = "elasticsearch"
    KIBANA = "kibana"


class Firewall(StrEnum):
    """Whether a machine has a firewall of Vigil's (`infra.machines.firewall`)."""

    REQUIRED = "required"
    """A deployment to a machine without nftables fails."""
    OPTIONAL = "optional"
    """Such a machine goes without, and the deployment says so."""
    NONE = "none"
    """It has none; one that was loaded is taken away."""


class Forward(_Strict):
    """`host_port` of the host's loopback leads to `guest_port` of the machine."""

    host_port: Port
    guest_port: Port


class SshAddress(_Strict):
    """Where a machine's SSH answers, as seen from here."""

    host: Host
    port: Port = SSH


class Machine(_Strict):
    """One machine. Without `ssh` it is reached at its own address, port 22; without forwards at its own ports."""

    address: Annotated[IPv4Address, BeforeValidator(_text)]
    roles: tuple[Role, ...] = Field(min_length=1)
    user: Account = OPERATOR
    ssh: SshAddress | None = None
    forwards: Mapping[ForwardName, Forward] = Field(default_factory=dict)
    serial: Path | None = None
    mac: Mac | None = None
    firewall: Firewall | None = None
    """None: as `machines_firewall` of the settings says."""

    @property
    def ssh_address(self) -> SshAddress:
        """Where its SSH answers."""
        return self.ssh or SshAddress(host=str(self.address))

    def outside(self, forward: ForwardName, port: int) -> str:
        """HOST:PORT by which this host reaches a port of the machine."""
        found = self.forwards.get(forward)
        return f"127.0.0.1:{found.host_port}" if found else f"{self.address}:{port}"


class Inventory(_Strict):
    """The machines of one deployment, checked as a whole (`check`)."""

    deployment: Name
    network: Annotated[IPv4Network, BeforeValidator(_text)]
    machines: Mapping[Name, Machine] = Field(min_length=1)

    def having(self, role: Role) -> dict[str, Machine]:
        """The machines of a role, in the order of their addresses."""
        found = (item for item in self.machines.items() if role in item[1].roles)
        return dict(sorted(found, key=lambda item: item[1].address))

    @property
    def placement(self) -> tuple[Instance, ...]:
        """Every service on its machines, in start order."""
        return placement(self.machines)

    def instances(self, machine: str) -> tuple[Instance, ...]:
        """The services of one machine, in start order."""
        return tuple(instance for instance in self.placement if instance.machine == machine)

    @property
    def kafka_inside(self) -> str:
        """`bootstrap.servers` for clients on the machines."""
        return ",".join(f"{machine.address}:{KAFKA_INSIDE}" for machine in self.having(Role.BROKER).values())

    @property
    def kafka_outside(self) -> str:
        """`bootstrap.servers` for clients on this host."""
        brokers = self.having(Role.BROKER).values()
        return ",".join(machine.outside(ForwardName.KAFKA, KAFKA_OUTSIDE) for machine in brokers)

    @property
    def elasticsearch_inside(self) -> str:
        """URL of the first Elasticsearch for clients on the machines."""
        return f"https://{next(iter(self.having(Role.ELASTICSEARCH).values())).address}:{ELASTICSEARCH_TLS}"

    @property
    def elasticsearch_outside(self) -> str:
        """URL of the first Elasticsearch for clients on this host."""
        first = next(iter(self.having(Role.ELASTICSEARCH).values()))
        return f"https://{first.outside(ForwardName.ELASTICSEARCH, ELASTICSEARCH_TLS)}"

    @property
    def kibana_outside(self) -> str | None:
        """URL of Kibana for browsers on this host; None where no machine has it."""
        found = next(iter(self.having(Role.KIBANA).values()), None)
        return f"https://{found.outside(ForwardName.KIBANA, KIBANA_TLS)}" if found else None


_FORWARD_ROLES: Mapping[ForwardName, Role] = {
    ForwardName.KAFKA: Role.BROKER,
    ForwardName.ELASTICSEARCH: Role.ELASTICSEARCH,
    ForwardName.KIBANA: Role.KIBANA,
}


def parse(value: object, source: str) -> Inventory:
    """An inventory from what JSON or YAML decoded to.

    Args:
        value: dictionaries, lists and plain values.
        source: the file, or what else it came from; named in errors.

    Raises:
        ConfigError: names `source`, the field, what is wrong and the remedy.
    """
    try:
        inventory = Inventory.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"] if part != "[key]") or "the whole"
        raise ConfigError(
            first["msg"].removeprefix("Value error, "), file=source, field=field, remedy="See docs/machines.md"
        ) from None
    for problem in _problems(inventory):
        raise ConfigError(problem.reason, file=source, field=problem.field, remedy=problem.remedy)
    return inventory


def load(path: Path) -> Inventory:
    """Reads an inventory file, JSON or YAML.

    Raises:
        ConfigError: it cannot be read, is neither JSON nor YAML, or is no inventory.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ConfigError(f"has more than {MAX_BYTES} bytes", file=path, remedy="Is it an inventory?")
        return parse(_decoded(raw.decode("utf-8")), str(path))
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", file=path, remedy="Name an inventory file") from error
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8", file=path, remedy="Save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        said = getattr(error, "problem", None) or "is no YAML"
        raise ConfigError(f"is neither JSON nor YAML: {said}", file=path, line=line) from None


def _decoded(text: str) -> object:
    # YAML takes most JSON, but no tabs, with which some write it.
    with suppress(msgspec.DecodeError):
        return decode(text, object)
    return yaml.safe_load(text)


class _Problem(BaseModel):
    field: str
    reason: str
    remedy: str


def _problems(inventory: Inventory) -> Iterator[_Problem]:
    yield from _role_problems(inventory)
    yield from _address_problems(inventory)
    yield from _port_problems(inventory)


def _role_problems(inventory: Inventory) -> Iterator[_Problem]:
    for role, allowed in MULTIPLICITY.items():
        found = inventory.having(role)
        if len(found) not in allowed.counts:
            who = f"{len(found)} ({', '.join(found)})" if found else "none"
            yield _Problem(
                field="machines",
                reason=f"{who} of the machines has the role {role}",
                remedy=f"Give it to {allowed.said}",
            )
    for name, machine in inventory.machines.items():
        field = f"machines.{name}.roles"
        for role, count in Counter(machine.roles).items():
            if count > 1:
                yield _Problem(field=field, reason=f"has {role} {count} times", remedy="Name it once")
        if {Role.ALERTING, Role.STANDBY} <= set(machine.roles):
            yield _Problem(
                field=field,
                reason="is both alerting and standby, which would be lost together",
                remedy="Give standby to another machine",
            )


def _address_problems(inventory: Inventory) -> Iterator[_Problem]:
    network, seen = inventory.network, dict[IPv4Address, str]()
    for name, machine in inventory.machines.items():
        field, address = f"machines.{name}.address", machine.address
        if address not in network or address in (network.network_address, network.broadcast_address):
            yield _Problem(
                field=field, reason=f"{address} is no address of a machine in {network}", remedy="Take one inside it"
            )
        if address in seen:
            yield _Problem(field=field, reason=f"{address} is {seen[address]}'s too", remedy="Take a free one")
        seen[address] = name


def _port_problems(inventory: Inventory) -> Iterator[_Problem]:
    ports, places = dict[int, str](), dict[tuple[str, int], str]()
    for name, machine in inventory.machines.items():
        for forward, leads in machine.forwards.items():
            field = f"machines.{name}.forwards.{forward}"
            role = _FORWARD_ROLES.get(forward)
            if role and role not in machine.roles:
                yield _Problem(field=field, reason=f"leads to a machine without the role {role}", remedy="Remove it")
            if leads.host_port in ports:
                yield _Problem(
                    field=f"{field}.host_port",
                    reason=f"{leads.host_port} is {ports[leads.host_port]}'s too",
                    remedy="Take a free one",
                )
            ports[leads.host_port] = f"{name}.{forward}"
        reached = (machine.ssh_address.host, machine.ssh_address.port)
        if reached in places:
            yield _Problem(
                field=f"machines.{name}.ssh",
                reason=f"{reached[0]}:{reached[1]} is {places[reached]}'s too",
                remedy="Each machine has an SSH address of its own",
            )
        places[reached] = name
