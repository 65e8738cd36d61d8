"""State and health of every program of the one-machine platform."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from infra.gates import Probe, probe
from infra.local import airflow
from infra.local.airflow_client import AirflowClient
from infra.local.supervisor import SupervisorManager
from infra.service_manager import RunState, ServiceStatus
from infra.services import catalogue
from streaming.errors import Unavailable
from streaming.settings import Settings


@dataclass(frozen=True)
class Line:
    """One program: what its supervisor says, and what its health gate says."""

    name: str
    state: str
    pid: int | None
    healthy: bool
    port: int | None
    detail: str


def status(settings: Settings) -> list[Line]:
    """All programs, Airflow's first, each asked for its health.

    Raises:
        Unavailable: the platform is not running.
    """
    manager = SupervisorManager(settings)
    components, services = manager.statuses(airflow.COMPONENTS), manager.all()
    catalogued = catalogue(settings)
    with ThreadPoolExecutor(max_workers=len(catalogued) + 1) as pool:
        airflow_health = pool.submit(_airflow_health, settings)
        probes = list(pool.map(lambda service: probe(service, settings), catalogued))
        lines = [_line(s, airflow_health.result()[s.name], _airflow_port(s.name, settings)) for s in components]
    return lines + [_line(s, p, service.port) for s, p, service in zip(services, probes, catalogued, strict=True)]


def _line(found: ServiceStatus, health: Probe, port: int | None) -> Line:
    if found.state is RunState.STOPPED:
        return Line(found.name, found.state.value, None, False, port, "")
    detail = found.detail or ("" if health.ok else health.reason)
    return Line(found.name, found.state.value, found.pid, health.ok, port, detail)


def _airflow_port(name: str, settings: Settings) -> int | None:
    return settings.airflow_port if name == "airflow-api-server" else None


def _airflow_health(settings: Settings) -> dict[str, Probe]:
    """Health of each component by its program's name, as the API server reports it."""
    with AirflowClient(f"http://{settings.bind_host}:{settings.airflow_port}", "", "") as client:
        try:
            unhealthy = set(client.unhealthy())
        except Unavailable as error:
            return dict.fromkeys(airflow.COMPONENTS, Probe(False, str(error)))

    def of(program: str) -> Probe:
        component = program.removeprefix("airflow-").replace("-", "_")
        component = "metadatabase" if component == "api_server" else component
        return Probe(component not in unhealthy, "no heartbeat lately" if component in unhealthy else "")

    return {program: of(program) for program in airflow.COMPONENTS}
