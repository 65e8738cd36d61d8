"""The configuration of each node of a cluster over several machines. Pure.

| listener | port | who | how it shows who it is |
|---|---|---|---|
| CLIENTS | 9092 | workers on the machines | SASL_SSL, SCRAM-SHA-512 |
| CONTROLLER | 9093 | brokers and controllers | SSL, certificate of CN `kafka` |
| HOST | 9094 | clients on the host, through a forward | SASL_SSL, SCRAM-SHA-512 |
| BROKERS | 9095 | brokers among themselves; the command that manages users | SSL, certificate of CN `kafka` |

No password is in it: brokers know the users from Kafka's own metadata, and each other by certificates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.local.kafka import tuning
from infra.machines.inventory import KAFKA_CONTROLLER, KAFKA_INSIDE, KAFKA_OUTSIDE, ForwardName, Inventory
from infra.machines.placement import Role

KAFKA_BROKERS = 9095
"""Port of the listener for brokers among themselves."""

SUPER_USER = "kafka"
"""Common name of the certificates of brokers and controllers, which may do everything."""

MECHANISM = "SCRAM-SHA-512"

MOST_COPIES = 3

OF_NEW_TOPICS = (
    "default.replication.factor",
    *("offsets.topic.replication.factor", "transaction.state.log.replication.factor"),
    *("share.coordinator.state.topic.replication.factor", "share.coordinator.state.topic.min.isr"),
    "transaction.state.log.min.isr",
)
"""Properties that follow from the number of brokers and are asked for when a topic is made: a broker that runs need not
be restarted for them, so they have a file of their own."""


@dataclass(frozen=True)
class Files:
    """Where a node finds its state and its certificates (PEM): `keystore` holds its key and its chain, `truststore` the
    authority that signs everybody's."""

    data: Path
    keystore: Path
    truststore: Path


def copies(inventory: Inventory) -> int:
    """Of each record, on different brokers: as many as there are brokers, three at most."""
    return min(MOST_COPIES, len(inventory.having(Role.BROKER)))


def node_id(inventory: Inventory, machine: str) -> int:
    """The last part of the machine's address: it stays when machines are added."""
    return int(inventory.machines[machine].address) - int(inventory.network.network_address)


def server_properties(inventory: Inventory, machine: str, files: Files) -> dict[str, str]:
    """`server.properties` of the node on a machine that is broker, controller or both.

    A transaction commits as long as one broker lives (`min.insync.replicas` 1 with two of them): with both needed none
    would, as soon as one machine is lost. The cost: what one broker alone has acknowledged is lost if that machine's
    disk is lost before the other has caught up.
    """
    found = inventory.machines[machine]
    broker, controller = Role.BROKER in found.roles, Role.CONTROLLER in found.roles
    listeners = _listeners(str(found.address), broker=broker, controller=controller)
    properties = {
        "process.roles": ",".join(role for role, has in (("broker", broker), ("controller", controller)) if has),
        "node.id": str(node_id(inventory, machine)),
        "controller.quorum.voters": ",".join(
            f"{node_id(inventory, name)}@{one.address}:{KAFKA_CONTROLLER}"
            for name, one in inventory.having(Role.CONTROLLER).items()
        ),
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(f"{name}://{place}" for name, place in listeners.items()),
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,HOST:SASL_SSL,BROKERS:SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "BROKERS",
        "log.dirs": str(files.data),
    }
    if broker:
        advertised = {name: place for name, place in listeners.items() if name != "CONTROLLER"}
        advertised["HOST"] = found.outside(ForwardName.KAFKA, KAFKA_OUTSIDE)
        properties["advertised.listeners"] = ",".join(f"{name}://{place}" for name, place in advertised.items())
    number = copies(inventory)
    return properties | _security(files) | tuning(number, min_isr=max(1, number - 1))


def _listeners(address: str, *, broker: bool, controller: bool) -> dict[str, str]:
    ports = {"CLIENTS": KAFKA_INSIDE, "HOST": KAFKA_OUTSIDE, "BROKERS": KAFKA_BROKERS} if broker else {}
    if controller:
        ports["CONTROLLER"] = KAFKA_CONTROLLER
    return {name: f"{address}:{port}" for name, port in ports.items()}


def _security(files: Files) -> dict[str, str]:
    by_certificate = {f"listener.name.{name}.ssl.client.auth": "required" for name in ("brokers", "controller")}
    return (
        by_certificate
        | {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(files.keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(files.truststore),
            "ssl.enabled.protocols": "TLSv1.3,TLSv1.2",
            "ssl.principal.mapping.rules": r"RULE:^CN=([^,]+).*$/$1/,DEFAULT",
            "sasl.enabled.mechanisms": MECHANISM,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{SUPER_USER}",
            "allow.everyone.if.no.acl.found": "false",
        }
        | {
            # The broker's own side needs no user; without this line a SASL listener does not start.
            f"listener.name.{name}.{MECHANISM.lower()}.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            )
            for name in ("clients", "host")
        }
    )
