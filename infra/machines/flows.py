"""Who connects to what over the network of the machines: one table, from which the firewalls and the picture in
docs/machines-network.md are made. Pure.

What is not in it stays on a machine's own loopback: health and metrics of workers, accumulators, the embedded
Elasticsearch. `python -m infra.machines.flows` prints the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from infra.machines.elastic.configuration import TRANSPORT
from infra.machines.inventory import (
    ELASTICSEARCH_TLS,
    KAFKA_CONTROLLER,
    KAFKA_INSIDE,
    KAFKA_OUTSIDE,
    KIBANA_TLS,
    SSH,
    ForwardName,
    Inventory,
)
from infra.machines.kafka.configuration import KAFKA_BROKERS
from infra.machines.placement import Role
from infra.machines.programs import Software, has


@dataclass(frozen=True)
class Flow:
    """One arrow of the picture.

    `port` (TCP) of each machine with the role `to` (None: of every machine) is asked by the services `by` of other
    machines, and, where there is a `forward`, by the host. `shows` is how a caller shows who it is.
    """

    name: str
    port: int
    to: Role | None
    by: frozenset[str]
    shows: str
    forward: ForwardName | None = None
    only: Software | None = None
    by_role: Role | None = None
    """A role that the machines of those who ask have: only brokers copy from brokers."""

    def sources(self, inventory: Inventory, machine: str, software: Software) -> tuple[IPv4Address, ...]:
        """Addresses of the other machines with a service that asks it of this one."""
        there = (one for one in inventory.placement if has(one.service, software))
        asking = {one.machine for one in there if one.service in self.by} - {machine}
        if self.by_role is not None:
            asking &= set(inventory.having(self.by_role))
        return tuple(sorted(inventory.machines[name].address for name in asking))


KAFKA_CLIENTS = frozenset(
    {
        *("indexer", "templates", "matcher", "manager", "notifier", "heartbeat-monitor"),
        *("accumulator1", "accumulator2", "accumulator3"),
    }
)
_BY_CERTIFICATE = "a certificate of Kafka's own"

FLOWS: tuple[Flow, ...] = (
    Flow("ssh", SSH, None, frozenset(), "the deployment's key", ForwardName.SSH),
    Flow("kafka", KAFKA_INSIDE, Role.BROKER, KAFKA_CLIENTS, "TLS, user and password (SCRAM)"),
    Flow("kafka-quorum", KAFKA_CONTROLLER, Role.CONTROLLER, frozenset({"kafka"}), _BY_CERTIFICATE),
    Flow("kafka-copies", KAFKA_BROKERS, Role.BROKER, frozenset({"kafka"}), _BY_CERTIFICATE, by_role=Role.BROKER),
    Flow("kafka-host", KAFKA_OUTSIDE, Role.BROKER, frozenset(), "TLS, user and password (SCRAM)", ForwardName.KAFKA),
    Flow(
        "elasticsearch",
        ELASTICSEARCH_TLS,
        Role.ELASTICSEARCH,
        frozenset({"indexer", "kibana"}),
        "TLS, a certificate or an API key",
        ForwardName.ELASTICSEARCH,
    ),
    Flow(
        "elasticsearch-nodes",
        TRANSPORT,  # the embedded one has it on loopback
        Role.ELASTICSEARCH,
        frozenset({"elasticsearch"}),
        "a certificate",
        only=Software.PACKAGES,
    ),
    Flow(
        "kibana",
        KIBANA_TLS,
        Role.KIBANA,
        frozenset(),
        "TLS, a user of Elasticsearch",
        ForwardName.KIBANA,
        only=Software.PACKAGES,
    ),
)


def flows_to(inventory: Inventory, machine: str, software: Software) -> tuple[Flow, ...]:
    """Those that end at a machine."""
    roles = inventory.machines[machine].roles
    return tuple(
        flow for flow in FLOWS if (flow.to is None or flow.to in roles) and (flow.only is None or flow.only is software)
    )


def port_of(flow: Flow, inventory: Inventory, machine: str) -> tuple[int, ...]:
    """Ports of a machine at which a flow ends: its own one, and that to which the machine's forward leads."""
    found = inventory.machines[machine]
    ports = {flow.port}
    if flow.forward is not None:
        if (forward := found.forwards.get(flow.forward)) is not None:
            ports.add(forward.guest_port)
        elif flow.forward is ForwardName.SSH:
            ports.add(found.ssh_address.port)
    return tuple(sorted(ports))


def picture() -> str:
    """All flows, as a person reads them."""
    rows = []
    for flow in FLOWS:
        to = "every machine" if flow.to is None else f"machines with {flow.to}"
        if flow.only is not None:
            to += f" (way of software: {flow.only})"
        if flow.forward is not None:
            rows.append(("the host", flow, to))
        if flow.by:
            rows.append((", ".join(sorted(flow.by)), flow, to))
    lines = ["| from | port | to | shows itself by |", "|---|---|---|---|"]
    lines += [f"| {source} | {flow.port} `{flow.name}` | {to} | {flow.shows} |" for source, flow, to in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(picture(), end="")
