"""Stops the one-machine platform: in reverse order, within half a minute, and whatever is left of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import psutil

from infra.local import airflow
from infra.local.layout import Layout
from infra.local.starting import starting
from infra.local.supervisor import STOP_WITHIN_S, SupervisorManager, is_running
from infra.local.sweep import marked, sweep
from infra.service_manager import RunState
from infra.services import Stage, catalogue
from streaming.errors import VigilError
from streaming.settings import Settings

IN_ORDER_WITHIN_S = 22.0
"""For the stop in order. With SUPERVISOR_WITHIN_S and the sweep's 2 x SWEEP_WITHIN_S it stays under 30 s; stages take
2 to 5 s each."""

STARTING_WITHIN_S = 20.0
"""A `vigil up` that has not started the supervisor yet: its checks take a second, the supervisor's start two. The
migration of Airflow's database, which takes longest, is ended by the sweep."""

SUPERVISOR_WITHIN_S = 3.0
SWEEP_WITHIN_S = 2.0


def down(settings: Settings, note: Callable[[str], None]) -> list[str]:
    """Stops everything; harmless where nothing runs. Returns what had to be ended by force, one line each.

    Raises:
        VigilError: a process survived even KILL.
    """
    layout = Layout(settings.home)
    if is_running(layout):
        _stop_in_order(settings, note)
        _end_supervisor(SupervisorManager(settings))
        note("sweeping")
        forced = sweep(layout, SWEEP_WITHIN_S, SWEEP_WITHIN_S)
    else:
        note("no supervisor; sweeping")
        forced = sweep(layout)
    left = marked(layout)
    if left:
        raise VigilError(f"still running after KILL: {', '.join(str(p.pid) for p in left)}. Is a disk stuck?")
    layout.remove_socket()
    return forced


def down_for_good(settings: Settings, note: Callable[[str], None]) -> list[str]:
    """The same, also while a `vigil up` is about to start it: waits until that has, or has failed, and stops again.

    Raises:
        VigilError: a process survived even KILL, or the `vigil up` goes on.
    """
    forced = down(settings, note)
    layout = Layout(settings.home)
    if layout.run.is_dir():
        with starting(layout, STARTING_WITHIN_S, note):
            if is_running(layout) or marked(layout):
                forced += down(settings, note)
    return forced


def _stop_in_order(settings: Settings, note: Callable[[str], None]) -> None:
    """Airflow stops meanwhile, from the start: it might start services again, and takes longest."""
    manager = SupervisorManager(settings)
    deadline = time.monotonic() + IN_ORDER_WITHIN_S
    for name in reversed(airflow.COMPONENTS):
        manager.begin_stop(name)
    for stage in reversed(Stage):
        names = [service.name for service in catalogue(settings) if service.stage is stage]
        if names:
            note(f"stopping {stage.value}")
        for name in reversed(names):
            manager.begin_stop(name)
        _wait(manager, names, deadline)
    note("stopping airflow")
    _wait(manager, airflow.COMPONENTS, deadline)


def _wait(manager: SupervisorManager, names: Iterable[str], deadline: float) -> None:
    """Until all have ended: the supervisor kills after STOP_WITHIN_S, so that a stage takes little longer."""
    names = list(names)
    deadline = min(deadline, time.monotonic() + STOP_WITHIN_S + 1)
    while time.monotonic() < deadline:
        if not any(status.state is RunState.RUNNING for status in manager.statuses(names)):
            return
        time.sleep(0.1)


def _end_supervisor(manager: SupervisorManager) -> None:
    try:
        supervisor = psutil.Process(manager.supervisor_pid())
        manager.shut_down()
        supervisor.wait(SUPERVISOR_WITHIN_S)
    except (psutil.NoSuchProcess, psutil.TimeoutExpired):
        return
