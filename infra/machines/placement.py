"""Which services a machine runs, by its roles: one table, from which units, sudo commands and statuses follow. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Protocol


class Role(StrEnum):
    """What a machine is for; a machine has one or several."""

    CONTROLLER = "controller"
    """Votes in Kafka's quorum."""
    BROKER = "broker"
    """Holds Kafka's topics."""
    ELASTICSEARCH = "elasticsearch"
    KIBANA = "kibana"
    """Only where the software comes from packages."""
    INDEXING = "indexing"
    ALERTING = "alerting"
    STANDBY = "standby"
    """Alerting workers that share the work of the first ones, or wait to take it over."""
    COLLECTING = "collecting"
    """The three accumulators."""
    SERVICES = "services"
    """The example microservices and their load."""


@dataclass(frozen=True)
class Multiplicity:
    """How many machines of a deployment may have a role, and what a person reads where that does not hold."""

    counts: range | tuple[int, ...]
    said: str


_ANY = 1_000_000

MULTIPLICITY: Mapping[Role, Multiplicity] = {
    # A quorum of two is lost with either of its members.
    Role.CONTROLLER: Multiplicity((1, 3), "1 or 3 machines"),
    Role.BROKER: Multiplicity(range(1, _ANY), "at least 1 machine"),
    Role.ELASTICSEARCH: Multiplicity(range(1, _ANY), "at least 1 machine"),
    Role.KIBANA: Multiplicity(range(2), "at most 1 machine"),
    Role.INDEXING: Multiplicity(range(1, _ANY), "at least 1 machine"),
    Role.ALERTING: Multiplicity((1,), "exactly 1 machine; more have the role standby"),
    Role.STANDBY: Multiplicity(range(_ANY), "any number of machines"),
    # An accumulator's name is part of the coordinates of every event.
    Role.COLLECTING: Multiplicity((1,), "exactly 1 machine"),
    # A service's name is its node's: two of a name would be one node that beats twice.
    Role.SERVICES: Multiplicity(range(2), "at most 1 machine"),
}

SERVICES: Mapping[Role, tuple[str, ...]] = {
    Role.CONTROLLER: ("kafka",),
    Role.BROKER: ("kafka",),
    Role.ELASTICSEARCH: ("elasticsearch", "elasticsearch-proxy"),
    Role.KIBANA: ("kibana",),
    Role.INDEXING: ("indexer", "templates"),
    Role.ALERTING: ("matcher", "manager", "notifier", "heartbeat-monitor"),
    Role.STANDBY: ("matcher", "manager", "notifier", "heartbeat-monitor"),
    Role.COLLECTING: ("accumulator1", "accumulator2", "accumulator3"),
    Role.SERVICES: ("order", "payment", "inventory", "loadgen"),
}
"""Of each role, in start order."""

# A single worker merges templates; a second one would do the same work again.
_ONLY_ON_FIRST = frozenset({"templates"})

START_ORDER: tuple[str, ...] = tuple(dict.fromkeys(name for role in Role for name in SERVICES[role]))
"""Every service that machines run, in the order of a deployment."""

_STANDBY_SERVICES = frozenset(SERVICES[Role.STANDBY])

UNIT_PREFIX, STANDBY_SUFFIX = "vigil-", "-standby"
TARGET_UNIT = "vigil.target"


def unit_name(service: str, slot: int = 0) -> str:
    """systemd's name of a service's unit; a slot above 0 is a second one of its kind."""
    return f"{UNIT_PREFIX}{service}{STANDBY_SUFFIX if slot else ''}.service"


UNITS: tuple[str, ...] = tuple(
    unit_name(service, slot) for service in START_ORDER for slot in (0, 1) if not slot or service in _STANDBY_SERVICES
)
"""Every unit that a machine of any roles may have."""


class Placed(Protocol):
    """What placement needs to know of a machine."""

    @property
    def address(self) -> IPv4Address: ...
    @property
    def roles(self) -> tuple[Role, ...]: ...


@dataclass(frozen=True)
class Instance:
    """One service on one machine. `slot` numbers those of a kind over all machines where they must differ, from 0."""

    service: str
    machine: str
    slot: int = 0

    @property
    def unit(self) -> str:
        """Its systemd unit."""
        return unit_name(self.service, self.slot)

    def __str__(self) -> str:
        return f"{self.service}@{self.machine}"


def placement(machines: Mapping[str, Placed]) -> tuple[Instance, ...]:
    """Every service of a deployment on its machines, in start order.

    Of a service on several machines the order is that of their addresses, standbys last: a machine that is added above
    the others changes no slot of theirs.
    """
    ordered = sorted(machines, key=lambda name: machines[name].address)
    return tuple(instance for service in START_ORDER for instance in _placed(service, ordered, machines))


def _placed(service: str, ordered: list[str], machines: Mapping[str, Placed]) -> list[Instance]:
    primary = {role for role in Role if role is not Role.STANDBY and service in SERVICES[role]}
    first = [name for name in ordered if primary.intersection(machines[name].roles)]
    if service in _ONLY_ON_FIRST:
        first = first[:1]
    found = [Instance(service, name) for name in first]
    if service in _STANDBY_SERVICES:
        standbys = (name for name in ordered if Role.STANDBY in machines[name].roles)
        found += [Instance(service, name, slot) for slot, name in enumerate(standbys, start=1)]
    return found
