"""Health gates of services on machines: the questions of `infra.gates`, asked through SSH or a forward."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from infra import gates
from infra.gates import Probe
from infra.machines.inventory import ELASTICSEARCH_TLS, KAFKA_OUTSIDE, ForwardName
from infra.machines.placement import Instance, Role
from infra.machines.programs import Software
from infra.machines.target import Machines
from infra.services import GateKind, Service
from streaming.errors import Unavailable
from streaming.settings import Settings

PROXY = "elasticsearch-proxy"
"""Asked as others ask Elasticsearch through it: by TLS, from here."""


def probe(machines: Machines, service: Service, timeout_s: float = 5.0) -> Probe:
    """Asks a service on every machine that has it; it is healthy where all are. Whatever happens becomes a `Probe`."""
    instances = [one for one in machines.inventory.placement if one.service == service.name]
    if not instances:
        return Probe(False, f"no machine of {machines.inventory.deployment} has {service.name}")
    if service.gate in (GateKind.KAFKA, GateKind.ELASTICSEARCH):
        machines.client_settings()  # issues this host's certificate at first use, which is for one thread alone
    with ThreadPoolExecutor(len(instances)) as pool:
        found = list(pool.map(lambda one: _probe(machines, service, one, timeout_s), instances))
    if len(found) == 1:
        return found[0]
    told = "; ".join(f"{one.machine}: {answer.reason}" for one, answer in zip(instances, found, strict=True))
    return Probe(all(answer.ok for answer in found), told)


def _probe(machines: Machines, service: Service, instance: Instance, timeout_s: float) -> Probe:
    match service.gate:
        case GateKind.KAFKA if Role.BROKER not in machines.inventory.machines[instance.machine].roles:
            # It listens to brokers alone, and they answer no metadata without a quorum.
            return Probe(True, "a controller, which brokers ask")
        case GateKind.KAFKA:
            place = machines.inventory.machines[instance.machine].outside(ForwardName.KAFKA, KAFKA_OUTSIDE)
            settings = machines.client_settings().model_copy(update={"kafka_bootstrap": place})
            return gates.probe(service, settings, timeout_s)
        case GateKind.ELASTICSEARCH if machines.software is Software.PACKAGES or service.name == PROXY:
            machine = machines.inventory.machines[instance.machine]
            place = machine.outside(ForwardName.ELASTICSEARCH, ELASTICSEARCH_TLS)
            settings = machines.client_settings().model_copy(update={"elasticsearch_url": f"https://{place}"})
            return gates.probe(service, settings, timeout_s)
        case GateKind.ELASTICSEARCH:
            return _through(machines, instance, service, timeout_s)
        case _ if service.name == "kibana":
            from infra.machines.kibana import health  # heavy, and rarely there

            return health(machines)  # it listens at the machine's address alone
        case _:
            port = machines.settings.health_port(service.name, instance.slot) if instance.slot else service.port
            return _through(machines, instance, replace(service, port=port), timeout_s)


def _through(machines: Machines, instance: Instance, service: Service, timeout_s: float) -> Probe:
    """Asks what listens on the machine's own loopback."""
    try:
        with machines.connections.forward(instance.machine, service.port) as port:
            here = Settings(bind_host="127.0.0.1", elasticsearch_port=port)
            return gates.probe(replace(service, port=port), here, timeout_s)
    except Unavailable as error:
        return Probe(False, str(error))
