"""Facts of a deployment to two machines in which every link works, for tests that break one."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from infra.machines.doctor.facts import (
    Elasticsearch,
    Facts,
    Handshake,
    Inside,
    Kafka,
    Lag,
    Login,
    OfMachine,
    Tls,
    Unit,
    VirtualMachine,
    Way,
)
from infra.machines.firewall_loading import FirewallStatus
from infra.machines.flows import flows_to
from infra.machines.inventory import ForwardName
from infra.machines.placement import Instance
from infra.machines.programs import Software, has
from infra.service_manager import RunState, ServiceStatus
from tests.support.inventories import inventory

NOW = 1_800_000_000.0
GIB = 1024**3


def machine(name: str) -> OfMachine:
    """One that is well."""
    tree = inventory()
    own = tree.machines[name].address
    listening = [(str(own), flow.port) for flow in flows_to(tree, name, Software.UPLOAD)]
    tried = [
        (str(other.address), flow.port, Way.OPEN)
        for target, other in tree.machines.items()
        for flow in flows_to(tree, target, Software.UPLOAD)
        if target != name and own in flow.sources(tree, target, Software.UPLOAD)
    ]
    inside = Inside(NOW, NOW + 1, "done", True, {"/": (20 * GIB, 12 * GIB)}, (4 * GIB, 2 * GIB), listening, tried)
    units = {one: Unit(ServiceStatus(str(one), RunState.RUNNING, 7, "")) for one in instances() if one.machine == name}
    rules = FirewallStatus(nftables=True, wanted=True, loaded=True, as_wanted=True, dropped=3)
    virtual = VirtualMachine(f"vigil-{name}", "running")
    return OfMachine(virtual, Way.OPEN, Login(), inside, "", NOW, NOW + 1, units, rules)


def instances() -> tuple[Instance, ...]:
    """Every service that is there."""
    return tuple(one for one in inventory().placement if has(one.service, Software.UPLOAD))


def facts() -> Facts:
    """Everything works."""
    tree = inventory()
    tls = tuple(
        Tls(name, flow, one.outside(flow.forward, flow.port), Handshake.DONE, 80.0)
        for name, one in tree.machines.items()
        for flow in flows_to(tree, name, Software.UPLOAD)
        if flow.forward is not None and flow.forward is not ForwardName.SSH
    )
    return Facts(
        inventory=tree,
        software=Software.UPLOAD,
        firewalls=dict.fromkeys(tree.machines, True),
        machines={name: machine(name) for name in tree.machines},
        tls=tls,
        kafka=Kafka(brokers=frozenset(tree.machines)),
        elasticsearch=Elasticsearch(ok=True, words="cluster green"),
        lag={"indexer": Lag(0, None), "matcher": Lag(12, 1.0)},
        instances=instances(),
    )


def with_machine(found: Facts, name: str, **changes: object) -> Facts:
    """Another state of one machine; those of `Inside` by their names, too."""
    of_machine = found.machines[name]
    within = {key: value for key, value in changes.items() if key in Inside.__struct_fields__}
    if within:
        assert of_machine.inside is not None
        changes["inside"] = msgspec.structs.replace(of_machine.inside, **within)
    rest = {key: value for key, value in changes.items() if key not in within}
    return replace(found, machines={**found.machines, name: replace(of_machine, **rest)})  # type: ignore[arg-type]


def with_unit(found: Facts, service: str, name: str, state: RunState, detail: str = "", restarts: int = 0) -> Facts:
    """Another state of one service."""
    units = dict(found.machines[name].units or {})
    instance = next(one for one in units if one.service == service)
    units[instance] = Unit(ServiceStatus(str(instance), state, None, detail), restarts)
    return with_machine(found, name, units=units)
