"""What Airflow calls when tasks and runs fail and components begin and end. Loaded by every process of Airflow, every
task included: whatever costs time to import is imported when something happens."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from datetime import datetime

    from vigil_airflow.monitoring.events import Event
    from vigil_airflow.monitoring.pulse import Pulse, Vitals
    from vigil_airflow.monitoring.reporter import Reporter

log = logging.getLogger(__name__)

_reporter: Reporter | None = None
_pulses: dict[int, Pulse] = {}
"""By the identity of the job that each beats for."""


@hookimpl
def on_starting(component: Any) -> None:
    """A component begins: it beats from now on. (Tasks begin too, and are no nodes.)"""
    if not _is_job(component):
        return
    # What is needed is imported here, in the main thread: a task that is forked while a thread imports would hang.
    from streaming.errors import ConfigError
    from vigil_airflow.monitoring.events import component_started
    from vigil_airflow.monitoring.pulse import Pulse

    try:
        reporter = _reports()
    except ConfigError as error:
        log.warning("Airflow is not monitored as a node: %s", error)
        return

    def started(name: str) -> None:
        from airflow import __version__

        reporter.later(component_started(name, __version__), name)

    pulse = Pulse(reporter.settings, lambda: _vitals(component), started)
    _pulses[id(component)] = pulse
    pulse.start()


@hookimpl
def before_stopping(component: Any) -> None:
    """A component ends on purpose, so that nobody takes it for dead."""
    pulse = _pulses.pop(id(component), None)
    if pulse is not None:
        pulse.stop()


@hookimpl
def on_task_instance_failed(task_instance: Any, error: BaseException | str | None) -> None:
    """A task failed, or will be tried again. From the task's own process, after its state was told; for one whose
    process is gone from the scheduler; for one that a person marked from the API server."""
    from vigil_airflow.monitoring.events import task_failed

    ti = task_instance
    _tell(
        task_failed(
            dag_id=ti.dag_id,
            task_id=ti.task_id,
            run_id=ti.run_id,
            map_index=ti.map_index,
            try_number=ti.try_number,
            max_tries=ti.max_tries,
            error=error,
            # The SDK's enumeration is written as its member's name, the core's as its value.
            again=str(getattr(ti.state, "value", ti.state)) == "up_for_retry",
            log_url=ti.log_url,
        ),
        now=type(ti).__name__ == "RuntimeTaskInstance",
    )


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """A run failed; from the scheduler, or from the API server where a person marked it."""
    from vigil_airflow.monitoring.events import run_failed

    _tell(run_failed(dag_id=dag_run.dag_id, run_id=dag_run.run_id, why=msg), now=False)


def _tell(event: Event, now: bool) -> None:
    from streaming.errors import ConfigError

    try:
        reporter = _reports()
        if now:
            reporter.now(event)
        else:
            reporter.later(event)
    except ConfigError as error:
        log.warning("%s. Vigil's pipeline was not told: %s", error, event.message)


def _reports() -> Reporter:
    global _reporter
    if _reporter is None:
        from streaming.settings import load_settings
        from vigil_airflow.monitoring.reporter import Reporter

        _reporter = Reporter(load_settings())
    return _reporter


def _is_job(component: Any) -> bool:
    return type(component).__name__ == "Job" and type(component).__module__ == "airflow.jobs.job"


def _vitals(job: Any) -> Vitals | None:
    """What is in memory of a job, by another thread than its own: its attributes are asked for past SQLAlchemy, which
    would go to the database for those that are not there."""
    from vigil_airflow.monitoring.pulse import Vitals

    known = vars(job)
    kind: str | None = known.get("job_type")
    last: datetime | None = known.get("latest_heartbeat")
    return None if kind is None else Vitals(kind, last, _healthy_for_s(kind))


def _healthy_for_s(kind: str) -> float:
    from airflow.jobs.job import health_check_threshold

    return float(health_check_threshold(kind, 5))
