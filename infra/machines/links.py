"""Where everything of a deployment is, for the person who has just made it."""

from __future__ import annotations

from infra.machines.placement import Role
from infra.machines.target import Machines


def links(machines: Machines) -> dict[str, str]:
    """Addresses, as this host reaches them, by what is there. Holds no secret."""
    inventory = machines.inventory
    found = {
        "inventory": str(machines.folder / "inventory.json"),
        "Kafka": f"{inventory.kafka_outside} (SASL_SSL, user control)",
        "Elasticsearch": f"{inventory.elasticsearch_outside} (TLS by {machines.store.authority})",
    }
    if "kibana" in machines.manager.services and (kibana := inventory.kibana_outside):
        found["Kibana"] = kibana
    for name, machine in inventory.machines.items():
        address = machine.ssh_address
        found[f"SSH to {name}"] = (
            f"ssh -i {machines.key} -o UserKnownHostsFile={machines.known_hosts} -p {address.port} "
            f"{machine.user}@{address.host}"
        )
    collecting = ", ".join(inventory.having(Role.COLLECTING))
    found["logs go to"] = f"the accumulators on {collecting}, loopback port 24224 and the two above it"
    found["any command of vigil"] = f"vigil machines run -d {inventory.deployment} -- incidents"
    return found
