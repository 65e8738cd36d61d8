"""What the doctor can find out of a deployment. Nothing here is an opinion; what was not asked is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from infra.machines.firewall_loading import FirewallStatus
from infra.machines.flows import Flow
from infra.machines.inventory import Inventory
from infra.machines.placement import Instance
from infra.machines.programs import Software
from infra.machines.unreachable import Trouble
from infra.service_manager import ServiceStatus


class Way(StrEnum):
    """What became of an attempt to connect."""

    OPEN = "open"
    REFUSED = "refused"
    """Something answers that nothing listens."""
    SILENT = "silent"
    """No answer at all, as where a firewall drops packets; or taken and closed at once, as by a forward that leads
    nowhere."""


@dataclass(frozen=True)
class VirtualMachine:
    """As VirtualBox has it. `state` is its own word, empty where there is no such machine; `error`: it cannot say."""

    name: str
    state: str = ""
    error: str = ""


@dataclass(frozen=True)
class Login:
    """An attempt to log in by SSH; without `trouble` it worked."""

    trouble: Trouble | None = None
    reason: str = ""
    remedy: str = ""


class Inside(msgspec.Struct, frozen=True):
    """What a machine says of itself (`infra.machines.doctor.inside`).

    `began` and `ended` are its clock, seconds since the epoch. `first_boot` is cloud-init's word, empty where there is
    none. `disks`: path to bytes in all and free. `listening`: addresses and ports. `tried`: connections to other
    machines, by address and port.
    """

    began: float
    ended: float
    first_boot: str
    software: bool
    disks: dict[str, tuple[int, int]]
    memory: tuple[int, int]
    listening: list[tuple[str, int]]
    tried: list[tuple[str, int, Way]]


@dataclass(frozen=True)
class Unit:
    """One service on one machine; `restarts` by systemd itself, since it was last started by somebody."""

    status: ServiceStatus
    restarts: int = 0


@dataclass(frozen=True)
class OfMachine:
    """Of one machine. `asked_at` and `answered_at` enclose `inside` by this host's clock; `inside_error`: it was
    reached and gave no answer."""

    virtual: VirtualMachine | None = None
    door: Way | None = None
    login: Login | None = None
    inside: Inside | None = None
    inside_error: str = ""
    asked_at: float = 0.0
    answered_at: float = 0.0
    units: Mapping[Instance, Unit] | None = None
    firewall: FirewallStatus | None = None
    firewall_error: str = ""


class Handshake(StrEnum):
    """How a TLS handshake from this host went."""

    DONE = "done"
    EXPIRED = "expired"
    STRANGER = "stranger"
    """The certificate is not of the deployment's authority, or names somebody else."""
    SILENT = "silent"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class Tls:
    """One server, asked from this host. `days_left` of its certificate; below 0: since."""

    machine: str
    flow: Flow
    place: str
    handshake: Handshake
    days_left: float | None = None
    words: str = ""


@dataclass(frozen=True)
class Kafka:
    """The cluster. `brokers` are names of machines that are in it; `under_replicated` and `offline` are partitions,
    `topic-number`."""

    error: str = ""
    brokers: frozenset[str] = frozenset()
    missing_topics: tuple[str, ...] = ()
    under_replicated: tuple[str, ...] = ()
    offline: tuple[str, ...] = ()


@dataclass(frozen=True)
class Elasticsearch:
    """`ok` with what it says, or not ok with the reason."""

    ok: bool
    words: str


@dataclass(frozen=True)
class Lag:
    """How far a worker's group is behind: records, and the age of the oldest of them in seconds, if it is known."""

    records: int
    oldest_s: float | None


@dataclass(frozen=True)
class Facts:
    """Of a whole deployment."""

    inventory: Inventory
    software: Software
    firewalls: Mapping[str, bool]
    """Whether each machine should have one."""
    machines: Mapping[str, OfMachine]
    tls: tuple[Tls, ...] = ()
    kafka: Kafka | None = None
    elasticsearch: Elasticsearch | None = None
    lag: Mapping[str, Lag] | None = None
    lag_error: str = ""
    instances: tuple[Instance, ...] = field(default=())
    """Every service that it should have."""
