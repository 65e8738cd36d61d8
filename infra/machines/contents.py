"""What each machine of a deployment is to have: settings, certificates, secrets, rules, units. Pure.

From the same inventory, settings and secrets come the same bytes, so that a second deployment changes nothing and what
differs on a machine is drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from infra.local.kafka import as_properties
from infra.machines import firewall, fluentd, packaged
from infra.machines.administration import CREATION_FILE, Wanted
from infra.machines.certificates import Issued
from infra.machines.environment import environment_file
from infra.machines.inventory import Firewall, Inventory
from infra.machines.kafka.configuration import OF_NEW_TOPICS, Files, server_properties
from infra.machines.kafka.rights import USERS, user_of
from infra.machines.packaged import Packaged
from infra.machines.placement import Instance
from infra.machines.programs import AUTHORITY, BROKERS_FILE, CONFIGURATION, Software, credential_path, has
from infra.machines.units import Given, credential_file, units
from infra.services import catalogue
from streaming.settings import Settings

ASKS_ELASTICSEARCH = frozenset({"indexer"})
"""Services that speak to it; each shows a certificate of its own name."""

HAS_KEYSTORE = frozenset({"kafka", "elasticsearch-proxy"}) | packaged.KEYSTORES
"""Services that others connect to by TLS, in one way of software or the other (`certificates_of`)."""

_OF_THE_MACHINE = frozenset(
    {
        *("home", "jars_path", "bind_host", "rules_path", "fluentd_path", "airflow_port", "health_port_base"),
        *("snapshot_repository", "accumulator_engine", "machines_firewall"),
    }
)


@dataclass(frozen=True)
class Deployed:
    """What a deployment consists of beside its machines. Secrets appear in no text of this object.

    `rules` and `fluentd` are texts by their paths below their folders. `passwords` are of the users of Kafka,
    `certificates` by `certificate_name`.
    """

    settings: Settings
    software: Software
    cluster_id: str
    authority: str
    rules: Mapping[str, str]
    fluentd: Mapping[str, str]
    passwords: Mapping[str, str] = field(repr=False)
    certificates: Mapping[str, Issued] = field(repr=False)
    forgotten_clusters: tuple[str, ...] = ()
    packaged: Packaged | None = None
    """Where Elasticsearch and Kibana come from packages."""
    receivers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secrets of receivers, by the variables that rule files name."""


def certificate_name(service: str, machine: str) -> str:
    """Under which the certificate of a service on a machine is kept."""
    return f"{service}@{machine}"


def certificates_of(
    inventory: Inventory, software: Software = Software.UPLOAD
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """All that have to be issued: by `certificate_name`, the common name and what it is reached by."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    keystores = {"kafka", *(packaged.KEYSTORES if software is Software.PACKAGES else ("elasticsearch-proxy",))}
    for instance in _placed(inventory, software):
        if instance.service in keystores:
            address = str(inventory.machines[instance.machine].address)
            # Through a forward the host reaches it as 127.0.0.1.
            more = packaged.names_of(instance.service) if software is Software.PACKAGES else ()
            names = (address, instance.machine, "127.0.0.1", "localhost", *more)
            found[certificate_name(instance.service, instance.machine)] = (instance.service, names)
        elif instance.service in ASKS_ELASTICSEARCH and software is Software.UPLOAD:
            found[certificate_name(instance.service, instance.machine)] = (instance.service, ())
    return found


def _placed(inventory: Inventory, software: Software) -> list[Instance]:
    return [one for one in inventory.placement if has(one.service, software)]


def contents(inventory: Inventory, machine: str, deployed: Deployed, systemd: int = Given.systemd) -> Wanted:
    """Of one machine, whose systemd has that version."""
    placed = [one for one in _placed(inventory, deployed.software) if one.machine == machine]
    secrets = _secrets(placed, deployed)
    niceness = {service.name: service.niceness for service in catalogue(deployed.settings)}
    files = _files(inventory, machine, placed, deployed)
    unit_texts = units(inventory, machine, Given(deployed.software, frozenset(secrets), niceness, systemd))
    if firewall.kind(inventory, machine, deployed.settings) is not Firewall.NONE:
        files[firewall.FILE] = firewall.ruleset(inventory, machine, deployed.software)
        unit_texts[firewall.UNIT] = firewall.unit()
    return Wanted(files, secrets, unit_texts)


def _files(inventory: Inventory, machine: str, placed: Iterable[Instance], deployed: Deployed) -> dict[str, str]:
    found = {
        "ca.pem": deployed.authority,
        "vigil.env": environment_file(_common(inventory, deployed.settings)),
        BROKERS_FILE: environment_file({"VIGIL_KAFKA_BOOTSTRAP": inventory.kafka_inside}),
    }
    for instance in placed:
        service = instance.service
        found[f"env/{service}.env"] = environment_file(_own(instance, deployed))
        if deployed.software is Software.PACKAGES:
            found |= packaged.files(inventory, instance)
        elif service in ASKS_ELASTICSEARCH:
            certificate = deployed.certificates[certificate_name(service, machine)]
            found[f"tls/{service}.pem"] = certificate.chain.decode()
        if service == "kafka":
            keystore = Path(credential_path(instance.unit, "keystore"))
            files = Files(Path("/var/lib/vigil/kafka/data"), keystore, Path(AUTHORITY))
            properties = server_properties(inventory, machine, files)
            at_creation = {name: properties.pop(name) for name in OF_NEW_TOPICS}
            found["kafka/server.properties"] = as_properties(properties)
            found[CREATION_FILE] = as_properties(at_creation)
            found["kafka/cluster.id"] = f"{deployed.cluster_id}\n"
            if deployed.forgotten_clusters:
                found["kafka/forgotten.ids"] = "".join(f"{one}\n" for one in deployed.forgotten_clusters)
        if service.startswith("accumulator"):
            found |= {f"fluentd/{name}": text for name, text in _fluentd(service, deployed).items()}
        if service in ("matcher", "manager", "notifier"):
            found |= {f"rules/{name}": text for name, text in deployed.rules.items()}
    return found


def _secrets(placed: Iterable[Instance], deployed: Deployed) -> dict[str, str]:
    found: dict[str, str] = {}
    for instance in placed:
        service, machine = instance.service, instance.machine
        own: dict[str, str] = {}
        if certificate_name(service, machine) in deployed.certificates and service in HAS_KEYSTORE:
            own["keystore"] = deployed.certificates[certificate_name(service, machine)].keystore.decode()
        if deployed.packaged is not None:
            own |= packaged.secrets(instance, deployed.packaged)
        elif service in ASKS_ELASTICSEARCH:
            own["elasticsearch_key"] = deployed.certificates[certificate_name(service, machine)].key.decode()
        if _has_user(service):
            own["kafka_password"] = deployed.passwords[user_of(service)]
        if service == "notifier":
            own |= {name: value for name, value in deployed.receivers.items() if name not in own}
            own |= {
                name: token.get_secret_value()
                for name in ("slack_bot_token", "slack_app_token")
                if (token := getattr(deployed.settings, name)).get_secret_value()
            }
        found |= {credential_file(service, name): value for name, value in own.items()}
    return found


def _has_user(service: str) -> bool:
    return service.rstrip("0123456789") in USERS


def _common(inventory: Inventory, settings: Settings) -> dict[str, str]:
    """Settings of all services of a machine: where everything is, and what the person who deploys has chosen."""
    chosen = {
        Settings.variable(name): str(getattr(settings, name))
        for name in Settings.model_fields
        if name not in _OF_THE_MACHINE
        and not name.startswith(("kafka_", "elasticsearch_", "forward_", "kibana_"))
        and not name.endswith("_port")
        and not isinstance(getattr(settings, name), SecretStr)
    }
    return chosen | {
        "VIGIL_CONFIG": "/dev/null",
        "VIGIL_JARS_PATH": "/opt/vigil/jars",
        "VIGIL_RULES_PATH": f"{CONFIGURATION}/rules",
        "VIGIL_FLUENTD_PATH": f"{CONFIGURATION}/fluentd",
        "VIGIL_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "VIGIL_KAFKA_CA_PATH": AUTHORITY,
        "VIGIL_ELASTICSEARCH_URL": inventory.elasticsearch_inside,
        "VIGIL_ELASTICSEARCH_CA_PATH": AUTHORITY,
    }


def _own(instance: Instance, deployed: Deployed) -> dict[str, str]:
    service = instance.service
    found = {"VIGIL_KAFKA_USERNAME": user_of(service)} if _has_user(service) else {}
    if deployed.software is Software.PACKAGES:
        if service.startswith("accumulator"):
            found |= fluentd.environment(deployed.settings, service)
        return found | packaged.variables(instance)
    if service in ASKS_ELASTICSEARCH:
        found["VIGIL_ELASTICSEARCH_CERT_PATH"] = f"{CONFIGURATION}/tls/{service}.pem"
        found["VIGIL_ELASTICSEARCH_KEY_PATH"] = credential_path(instance.unit, "elasticsearch_key")
    return found


def _fluentd(service: str, deployed: Deployed) -> Mapping[str, str]:
    if deployed.software is Software.PACKAGES:
        return fluentd.configuration(deployed.fluentd, service)
    return deployed.fluentd
