"""The command line of every service on a machine, in one table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Address

from infra.machines.placement import Instance
from infra.services import MODULES

PYTHON = "/opt/vigil/venv/bin/python"
CONFIGURATION = "/etc/vigil"
AUTHORITY = f"{CONFIGURATION}/ca.pem"
BROKERS_FILE = "brokers.env"
"""In the same folder: where clients of Kafka begin. Apart, since those that run know the brokers."""


class Software(StrEnum):
    """How the software of the servers comes to a machine."""

    UPLOAD = "upload"
    """All of it over SSH; Kafka and the embedded Elasticsearch from jars, the built-in accumulators."""
    PACKAGES = "packages"
    """Elasticsearch, Kibana and Fluentd from their own package repositories; the rest as above."""


_MODULES: Mapping[str, str] = {
    "kafka": "infra.machines.kafka.serve",
    "elasticsearch": "infra.local.elasticsearch",
    "elasticsearch-proxy": "infra.machines.elasticsearch_proxy",
    **MODULES,
    "accumulator1": "streaming.accumulator",
    "accumulator2": "streaming.accumulator",
    "accumulator3": "streaming.accumulator",
}

_PACKAGED: Mapping[str, tuple[str, ...]] = {
    # It lays out what Elasticsearch reads, and becomes it.
    "elasticsearch": (PYTHON, "-m", "infra.machines.elastic.serve", f"{CONFIGURATION}/elasticsearch"),
    # The second file holds what is secret, as a credential.
    "kibana": (
        "/usr/share/kibana/bin/kibana",
        *("--config", f"{CONFIGURATION}/kibana/kibana.yml"),
        *("--config", "/run/credentials/vigil-kibana.service/settings"),
    ),
}


def credential_path(unit: str, name: str) -> str:
    """Where a unit's program finds a credential (systemd.exec(5))."""
    return f"/run/credentials/{unit}/{name}"


def has(service: str, software: Software) -> bool:
    """Whether there is such a service where software comes this way."""
    if software is Software.PACKAGES:
        return service != "elasticsearch-proxy"  # the packaged one does TLS itself
    return service in _MODULES


def command(instance: Instance, address: IPv4Address, software: Software) -> tuple[str, ...] | None:
    """Program and arguments of a service on the machine of that address; None: this way of software has it not."""
    name = instance.service
    if not has(name, software):
        return None
    if software is Software.PACKAGES:
        if name in _PACKAGED:
            return _PACKAGED[name]
        if name.startswith("accumulator"):
            return ("/opt/fluent/bin/fluentd", "-c", _fluentd_file(name))
    return (PYTHON, "-m", _MODULES[name], *_arguments(instance, address))


def _arguments(instance: Instance, address: IPv4Address) -> tuple[str, ...]:
    match instance.service:
        case "kafka":
            return (f"{CONFIGURATION}/kafka",)
        case "elasticsearch-proxy":
            keystore = credential_path(instance.unit, "keystore")
            return (str(address), "--keystore", keystore, "--ca", AUTHORITY)
        case name if name.startswith("accumulator"):
            return (_fluentd_file(name), "--name", name)
        case _ if instance.slot:
            return ("--slot", str(instance.slot))
        case _:
            return ()


def _fluentd_file(accumulator: str) -> str:
    return f"{CONFIGURATION}/fluentd/fluent{accumulator.removeprefix('accumulator')}.conf"
