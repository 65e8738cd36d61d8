"""The catalogue of services: their names, their start order and how one knows that each works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from streaming.settings import Settings


class GateKind(StrEnum):
    """How a health gate asks (`infra.gates`)."""

    KAFKA = "kafka"
    """Metadata over the real client listener."""
    ELASTICSEARCH = "elasticsearch"
    """Cluster health at least yellow."""
    HTTP = "http"
    """200 from a worker's or a service's `/health`."""
    PORT = "port"
    """Its port takes connections: all that can be asked of a real Fluentd."""


class Stage(StrEnum):
    """Start order of a deployment; all of a stage are healthy before the next begins."""

    KAFKA = "kafka"
    ELASTICSEARCH = "elasticsearch"
    ACCESS = "access"
    """By which others reach it, on machines alone: the proxy that speaks TLS for it, Kibana."""
    WORKERS = "workers"
    ACCUMULATORS = "accumulators"
    MICROSERVICES = "microservices"
    CUSTOMERS = "customers"
    """Who uses the example services, and would find one of them missing before all are there."""


GIVES_WAY = 10
"""Niceness of what only makes logs searchable: where the cores are not enough for everything, alerts go first, and
logs wait in Kafka. A tenth of the weight of the others (sched(7)), and all that they leave."""


@dataclass(frozen=True)
class Service:
    """One service. `port` is the one its gate asks at; `timeout_s` how long its gate waits; `niceness` is nice(2)'s."""

    name: str
    stage: Stage
    gate: GateKind
    port: int
    timeout_s: float = 60.0
    niceness: int = 0


MODULES: Mapping[str, str] = {
    "indexer": "streaming.indexer",
    "templates": "streaming.templates",
    "matcher": "streaming.alerting.matcher",
    "manager": "streaming.alerting.manager",
    "notifier": "streaming.alerting.notifier",
    "heartbeat-monitor": "streaming.heartbeat",
    "order": "microservices.order",
    "payment": "microservices.payment",
    "inventory": "microservices.inventory",
    "loadgen": "microservices.loadgen",
}
"""The programs, run by `python -m`, of services that are the same wherever they run."""

OF_MACHINES_ALONE: Mapping[Stage, tuple[str, ...]] = {Stage.ACCESS: ("elasticsearch-proxy", "kibana")}
"""Names of services that this machine never has, by stage."""

WHY_LACKING: Mapping[str, str] = {
    "elasticsearch-proxy": "only an Elasticsearch without TLS, on machines, has a proxy in front of it",
    "kibana": "Kibana comes with software by packages, to a machine with the role kibana; Vigil's own screen shows "
    "logs, incidents and nodes without it",
}
"""Why a platform may lack them, for a person."""


def catalogue(settings: Settings) -> tuple[Service, ...]:
    """All services of the platform in start order (Airflow's own are not among them: they start these)."""

    def worker(name: str, stage: Stage, niceness: int = 0) -> Service:
        return Service(name, stage, GateKind.HTTP, settings.health_port(name), niceness=niceness)

    def accumulator(name: str) -> Service:
        if settings.accumulator_engine == "fluentd":
            return Service(name, Stage.ACCUMULATORS, GateKind.PORT, getattr(settings, f"{name}_port"))
        return worker(name, Stage.ACCUMULATORS)

    return (
        Service("kafka", Stage.KAFKA, GateKind.KAFKA, settings.kafka_port),
        Service(
            "elasticsearch", Stage.ELASTICSEARCH, GateKind.ELASTICSEARCH, settings.elasticsearch_port, 120.0, GIVES_WAY
        ),
        worker("indexer", Stage.WORKERS, GIVES_WAY),
        worker("templates", Stage.WORKERS, GIVES_WAY),
        worker("matcher", Stage.WORKERS),
        worker("manager", Stage.WORKERS),
        worker("notifier", Stage.WORKERS),
        worker("heartbeat-monitor", Stage.WORKERS),
        accumulator("accumulator1"),
        accumulator("accumulator2"),
        accumulator("accumulator3"),
        Service("order", Stage.MICROSERVICES, GateKind.HTTP, settings.order_port),
        Service("payment", Stage.MICROSERVICES, GateKind.HTTP, settings.payment_port),
        Service("inventory", Stage.MICROSERVICES, GateKind.HTTP, settings.inventory_port),
        worker("loadgen", Stage.CUSTOMERS, GIVES_WAY),
    )
