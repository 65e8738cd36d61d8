"""The services as a DAG file needs them: names by stage, known without reading any file."""

from __future__ import annotations

from infra.services import OF_MACHINES_ALONE, Stage, catalogue
from streaming.settings import Settings


def services_by_stage(*, of_machines: bool = False) -> dict[Stage, tuple[str, ...]]:
    """Names of the services of each stage that has any, both in start order.

    The catalogue of the default settings: names and stages are the same in every installation; ports and time-outs,
    which are not, are read when a task runs. So parsing a DAG reads neither `vigil.toml` nor the environment.

    Args:
        of_machines: those too that only machines have.
    """
    found: dict[Stage, tuple[str, ...]] = {}
    for stage in Stage:
        names = tuple(s.name for s in catalogue(Settings.model_construct()) if s.stage is stage)
        names += OF_MACHINES_ALONE.get(stage, ()) if of_machines else ()
        if names:
            found[stage] = names
    return found


def task_name(verb: str, service: str) -> str:
    """Task id for an order to a service: `start_heartbeat_monitor`."""
    return f"{verb}_{service.replace('-', '_')}"
