"""The services that the machines of a deployment have, as the catalogue has those of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from infra.machines.inventory import ELASTICSEARCH_TLS, KIBANA_TLS
from infra.machines.target import Machines
from infra.services import GateKind, Service, Stage, catalogue

SLOWER = 3.0
"""A service has so many times what it has on the host: machines start all of theirs at once, on a part of its cores."""

OF_MACHINES = (
    Service("elasticsearch-proxy", Stage.ACCESS, GateKind.ELASTICSEARCH, ELASTICSEARCH_TLS),
    Service("kibana", Stage.ACCESS, GateKind.PORT, KIBANA_TLS, 120.0),
)
"""What machines have besides the catalogue's: TLS in front of an Elasticsearch that has none, and Kibana."""


def services_of(machines: Machines) -> Mapping[str, Service]:
    """Those that have a place on a machine, by name, in start order."""
    placed = set(machines.manager.services)
    settings = machines.settings.model_copy(update={"accumulator_engine": machines.accumulator_engine})
    found = [*catalogue(settings), *OF_MACHINES]
    found.sort(key=lambda service: list(Stage).index(service.stage))
    return {one.name: replace(one, timeout_s=one.timeout_s * SLOWER) for one in found if one.name in placed}
