"""What Airflow's failures are as logs of the service `airflow`. Pure."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from vigil_airflow.failures import reason_of

STACK_LIMIT = 16_000
"""Characters of a traceback, of which the end is kept: it says where it was raised."""


_BY_HAND = "was manually set to"
"""In what Airflow says where a person marked a task or a run as failed."""


@dataclass(frozen=True)
class Event:
    """A log to be: `level` is canonical, `fields` stand beside the canonical ones."""

    level: str
    message: str
    logger: str
    fields: dict[str, object] = field(default_factory=dict)


def task_failed(
    *,
    dag_id: str,
    task_id: str,
    run_id: str,
    map_index: int | None,
    try_number: int | None,
    max_tries: int | None,
    error: BaseException | str | None,
    again: bool,
    log_url: str = "",
) -> Event:
    """A task that failed: for good (ERROR), or to be tried `again`, or because a person said so (WARN: no incident).

    Its `error_code` is the DAG, by which the rule `error-log` groups: one incident for each DAG that fails, however
    many of its tasks do.
    """
    index = map_index if map_index is not None and map_index >= 0 else None
    name = task_id if index is None else f"{task_id}[{index}]"
    tries = f"try {try_number} of {max_tries + 1}" if try_number and max_tries else ""
    reason = reason_of(error) or "its log says why"
    outcome = "failed and will be tried again" if again else "failed"
    message = f"task {name} of {dag_id} {outcome}" + (f" ({tries})" if tries else "") + f": {reason}"
    details: dict[str, object] = {"error_code": dag_id, "error_message": f"task {name} failed: {reason}"}
    if isinstance(error, BaseException):
        details["error_type"] = type(error).__name__
        details["stack"] = "".join(traceback.format_exception(error))[-STACK_LIMIT:]
    fields: dict[str, object] = {
        "dag_id": dag_id,
        "task_id": task_id,
        "run_id": run_id,
        "map_index": index,
        "try_number": try_number,
        "log_url": log_url or None,
        "error_details": details,
    }
    return Event(
        "WARN" if again or _BY_HAND in reason else "ERROR",
        message,
        "airflow.task",
        {key: value for key, value in fields.items() if value is not None},
    )


def run_failed(*, dag_id: str, run_id: str, why: str) -> Event:
    """A DAG run that failed; `why` is Airflow's word for it (`timed_out`, `all_tasks_deadlocked`). Where a task failed
    (`task_failure`), that was told as an ERROR with its reason, and this is a WARN; so it is where a person did it."""
    reason = why or "no reason given"
    return Event(
        "WARN" if why == "task_failure" or _BY_HAND in why else "ERROR",
        f"run {run_id} of {dag_id} failed: {reason}",
        "airflow.dag_run",
        {
            "dag_id": dag_id,
            "run_id": run_id,
            "error_details": {"error_code": dag_id, "error_message": f"run {run_id} failed: {reason}"},
        },
    )


def component_started(name: str, version: str) -> Event:
    """A component of Airflow that begins to work."""
    return Event("INFO", f"Airflow's {name} has started (Airflow {version})", f"airflow.{name}", {"component": name})
