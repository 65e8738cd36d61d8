"""The platform without Airflow: services in start order with their gates; for tests, benchmarks, small machines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator

from infra.bringing_up import bring_up
from infra.local import programs, supervisor
from infra.local.down import down
from infra.local.isolated import as_environment
from infra.local.jars import ensure_jars
from infra.local.layout import Layout
from infra.local.supervisor import SupervisorManager
from infra.local.target import LocalTarget
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
    ensure_jars(settings.jars, report)
    all_programs = programs.commands(settings)
    conf = supervisor.configuration(all_programs, (), programs.PLAIN_TEXT, supervisor.socket_setting(layout))
    # The environment, and never a file, carries the secrets of these settings.
    environment = programs.inherited(layout, settings) | as_environment(settings)
    supervisor.launch(layout, conf, programs.declaration(layout, settings), environment)
    manager = SupervisorManager(settings)
    try:
        bring_up(LocalTarget(settings), report, names)
        yield manager
    finally:
        down(settings, report)
