"""Starts the services of a platform in their order, each stage behind its health gates; without Airflow."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from infra.gates import Probe
from infra.service_manager import RunState, ServiceManager
from infra.services import Service, Stage
from infra.targets import Report, Target
from streaming.errors import Unavailable

LOOKS_EVERY_S = 0.2
ANSWERS_WITHIN_S = 5.0


def bring_up(target: Target, report: Report, names: Collection[str] | None = None) -> None:
    """Starts what does not run, and what each stage completes is made as soon as its services are there. Harmless where
    everything runs: nothing is restarted.

    Args:
        target: the platform.
        report: is told of each service that is up.
        names: the services to start; None: all.

    Raises:
        Unavailable: a service did not become healthy in its time; the text says why.
    """
    wanted = [service for service in target.services.values() if names is None or service.name in names]
    for stage in Stage:
        members = [service for service in wanted if service.stage is stage]
        for service in members:
            target.start(service.name, report)
        for service in members:
            began = time.monotonic()
            await_healthy(target.manager, target.probe, service)
            report(f"{service.name} is up ({time.monotonic() - began:.1f} s)")
        if members:
            target.complete(stage, report)


def await_healthy(manager: ServiceManager, ask: Callable[[Service, float], Probe], service: Service) -> None:
    """Waits for a service's gate.

    Args:
        manager: says whether it runs.
        ask: asks its gate once, in so many seconds.
        service: which one; it has the time that it says.

    Raises:
        Unavailable: it ended by itself, or is not healthy in its time; with the reasons of gate and manager.
    """
    deadline = time.monotonic() + service.timeout_s
    answer = Probe(False, "not asked yet")
    while time.monotonic() < deadline:
        answer = ask(service, ANSWERS_WITHIN_S)
        status = manager.status(service.name)
        if answer.ok and status.state is RunState.RUNNING:
            return
        if status.state is RunState.FAILED:
            raise Unavailable(f"{service.name} failed: {status.detail}")
        time.sleep(LOOKS_EVERY_S)
    status = manager.status(service.name)
    raise Unavailable(f"{service.name} is not healthy after {service.timeout_s:g} s: {answer.reason}; {status.detail}")
