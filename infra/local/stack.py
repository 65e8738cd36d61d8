"""The platform without Airflow: services in start order with their gates; for tests, benchmarks, small machines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator

from infra.gates import Probe, probe
from infra.local import programs, supervisor
from infra.local.down import down
from infra.local.isolated import as_environment
from infra.local.jars import ensure_jars
from infra.local.layout import Layout
from infra.local.supervisor import SupervisorManager
from infra.service_manager import RunState
from infra.services import Service, Stage, catalogue
from streaming.errors import Unavailable
from streaming.settings import Settings

Report = Callable[[str], None]


@contextlib.contextmanager
def running(
    settings: Settings, names: Collection[str] | None = None, report: Report = print
) -> Iterator[SupervisorManager]:
    """Starts a supervisor of its own and the named services (all, if None), in start order; ends everything after.

    Raises:
        Unavailable: a service did not become healthy; the text says why.
    """
    layout = Layout(settings.home)
    ensure_jars(settings.home, report)
    all_programs = programs.commands(settings)
    conf = supervisor.configuration(all_programs, (), programs.PLAIN_TEXT, supervisor.socket_setting(layout))
    # The environment, and never a file, carries the secrets of these settings.
    environment = programs.inherited(layout, settings) | as_environment(settings)
    supervisor.launch(layout, conf, programs.declaration(layout, settings), environment)
    manager = SupervisorManager(settings)
    try:
        bring_up(manager, settings, names, report)
        yield manager
    finally:
        down(settings, report)


def bring_up(
    manager: SupervisorManager, settings: Settings, names: Collection[str] | None = None, report: Report = print
) -> None:
    """Starts the named services stage by stage, and makes topics and templates once their servers are there.

    Raises:
        Unavailable: a service did not become healthy in its time.
    """
    wanted = [s for s in catalogue(settings) if names is None or s.name in names]
    for stage in Stage:
        members = [s for s in wanted if s.stage is stage]
        for service in members:
            manager.start(service.name)
        for service in members:
            started = time.monotonic()
            await_healthy(manager, service, settings)
            report(f"{service.name} is up ({time.monotonic() - started:.1f} s)")
        _prepare(stage, settings, members)


def await_healthy(manager: SupervisorManager, service: Service, settings: Settings) -> None:
    """Waits for a service's gate.

    Raises:
        Unavailable: not healthy within the service's time; with the gate's reason and the supervisor's.
    """
    deadline = time.monotonic() + service.timeout_s
    answer = Probe(False, "not asked yet")
    while time.monotonic() < deadline:
        answer = probe(service, settings)
        if answer.ok:
            return
        status = manager.status(service.name)
        if status.state is RunState.FAILED:
            raise Unavailable(f"{service.name} failed: {status.detail}")
        time.sleep(0.1)
    status = manager.status(service.name)
    raise Unavailable(f"{service.name} is not healthy after {service.timeout_s:g} s: {answer.reason}; {status.detail}")


def _prepare(stage: Stage, settings: Settings, members: list[Service]) -> None:
    if stage is Stage.KAFKA and members:
        from streaming.kafka.admin import ensure_topics

        ensure_topics(settings)
    if stage is Stage.ELASTICSEARCH and members:
        from streaming.elastic.ensure import ensure_templates

        ensure_templates(settings)
