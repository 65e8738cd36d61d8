"""The services as a DAG file needs them: names by stage, known without reading any file."""

from __future__ import annotations

from infra.services import Stage, catalogue
from streaming.settings import Settings


def services_by_stage() -> dict[Stage, tuple[str, ...]]:
    """Names of the services of each stage, both in start order.

    The catalogue of the default settings: names and stages are the same in every installation; ports and time-outs,
    which are not, are read when a task runs. So parsing a DAG reads neither `vigil.toml` nor the environment.
    """
    services = catalogue(Settings.model_construct())
    return {stage: tuple(s.name for s in services if s.stage is stage) for stage in Stage}


def task_name(verb: str, service: str) -> str:
    """Task id for an order to a service: `start_heartbeat_monitor`."""
    return f"{verb}_{service.replace('-', '_')}"
