"""State and health of every service of a deployment to machines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from infra.gates import Probe
from infra.machines.as_target import MachinesTarget
from infra.service_manager import RunState

ASKED_FOR_S = 5.0


@dataclass(frozen=True)
class Line:
    """One service: what systemd says, what its health gate says, where it is; of several the worst."""

    name: str
    state: str
    healthy: bool
    machines: tuple[str, ...]
    detail: str


def status(target: MachinesTarget) -> list[Line]:
    """All services, in start order.

    Raises:
        Unavailable: a machine cannot be reached.
    """
    services = list(target.services.values())
    with ThreadPoolExecutor(len(services)) as pool:
        asked = pool.map(lambda service: target.probe(service, ASKED_FOR_S), services)
        answers = dict(zip(target.services, asked, strict=True))
    lines = []
    for found in target.manager.all():
        answer = answers.get(found.name, Probe(True, ""))
        placed = (one for one in target.machines.inventory.placement if one.service == found.name)
        on = tuple(f"{one.machine} (standby)" if one.slot else one.machine for one in placed)
        healthy = found.state is RunState.RUNNING and answer.ok
        lines.append(Line(found.name, found.state, healthy, on, found.detail or ("" if answer.ok else answer.reason)))
    return lines
