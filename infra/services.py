"""The catalogue of services: their names, their start order and how one knows that each works."""

from __future__ import annotations

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
    WORKERS = "workers"
    ACCUMULATORS = "accumulators"
    MICROSERVICES = "microservices"


@dataclass(frozen=True)
class Service:
    """One service. `port` is the one its gate asks at; `timeout_s` how long its gate waits."""

    name: str
    stage: Stage
    gate: GateKind
    port: int
    timeout_s: float = 60.0


def catalogue(settings: Settings) -> tuple[Service, ...]:
    """All services of the platform in start order (Airflow's own are not among them: they start these)."""

    def worker(name: str, stage: Stage) -> Service:
        return Service(name, stage, GateKind.HTTP, settings.health_port(name))

    def accumulator(name: str) -> Service:
        if settings.accumulator_engine == "fluentd":
            return Service(name, Stage.ACCUMULATORS, GateKind.PORT, getattr(settings, f"{name}_port"))
        return worker(name, Stage.ACCUMULATORS)

    return (
        Service("kafka", Stage.KAFKA, GateKind.KAFKA, settings.kafka_port),
        Service("elasticsearch", Stage.ELASTICSEARCH, GateKind.ELASTICSEARCH, settings.elasticsearch_port, 120.0),
        worker("indexer", Stage.WORKERS),
        worker("templates", Stage.WORKERS),
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
        worker("loadgen", Stage.MICROSERVICES),
    )
