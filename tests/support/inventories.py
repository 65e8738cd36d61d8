"""Inventories for tests: the two machines of a deployment, as Terraform's output gives them."""

from __future__ import annotations

from infra.machines.inventory import Inventory, parse

PRODUCER_ROLES = ["controller", "broker", "indexing", "collecting", "services", "standby"]
CONSUMER_ROLES = ["broker", "elasticsearch", "alerting"]


def machine(number: int, roles: list[str]) -> dict[str, object]:
    """One machine with the forwards that its roles bring."""
    forwards = {"ssh": {"host_port": 2200 + number, "guest_port": 22}}
    if "broker" in roles:
        forwards["kafka"] = {"host_port": 19000 + number, "guest_port": 9094}
    if "elasticsearch" in roles:
        forwards["elasticsearch"] = {"host_port": 19200 + number, "guest_port": 9243}
    return {
        "address": f"10.77.0.{number}",
        "roles": roles,
        "user": "vigil-operator",
        "ssh": {"host": "127.0.0.1", "port": 2200 + number},
        "forwards": forwards,
        "serial": f"/state/machine-{number}/serial.log",
        "mac": f"08:00:27:00:00:{number:02x}",
    }


def two_machines(*, kibana: bool = False) -> dict[str, object]:
    """The value of the output; with Kibana on the consumer machine where that is asked for."""
    consumer = machine(12, [*CONSUMER_ROLES, "kibana"] if kibana else CONSUMER_ROLES)
    return {
        "deployment": "vigil",
        "network": "10.77.0.0/24",
        "machines": {"producer": machine(11, PRODUCER_ROLES), "consumer": consumer},
    }


def inventory() -> Inventory:
    """The same, parsed."""
    return parse(two_machines(), "test")


def with_kibana() -> Inventory:
    """The two machines with Kibana beside Elasticsearch, as where software comes from packages."""
    consumer = machine(12, ["broker", "elasticsearch", "kibana", "alerting"])
    forwards = consumer["forwards"]
    assert isinstance(forwards, dict)
    forwards["kibana"] = {"host_port": 19612, "guest_port": 5601}
    machines = {"producer": machine(11, PRODUCER_ROLES), "consumer": consumer}
    return parse({"deployment": "vigil", "network": "10.77.0.0/24", "machines": machines}, "test")
