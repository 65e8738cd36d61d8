"""Runs the deployment DAG and follows it to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from infra.local.airflow_client import AirflowClient, TaskState
from streaming.errors import VigilError

DAG_ID = "deploy_platform"

POLL_S = 0.5


def deploy(client: AirflowClient, target: str, deadline: float, show: Callable[[Sequence[TaskState]], None]) -> None:
    """Triggers a deployment and returns when it has succeeded. `deadline` is of `time.monotonic()`.

    Raises:
        VigilError: a task failed (the text names each with its reason), or the deadline passed.
        Unavailable: Airflow does not answer.
    """
    client.unpause(DAG_ID)
    run = client.trigger(DAG_ID, {"target": target})
    while True:
        tasks = client.tasks(DAG_ID, run)
        show(tasks)
        state = client.run_state(DAG_ID, run)
        if state == "success":
            show(client.tasks(DAG_ID, run))
            return
        if state == "failed":
            raise VigilError(failure(client, run))
        if time.monotonic() > deadline:
            open_tasks = [t.name for t in tasks if t.state in ("running", "deferred", "queued", "up_for_retry")]
            raise VigilError(
                f"the deployment ({run}) is not done in time; it waits for {', '.join(open_tasks) or 'a slot'}"
            )
        time.sleep(POLL_S)


def failure(client: AirflowClient, run: str) -> str:
    """Why a run failed: each failed task with the reason that its log ends with."""
    tasks = client.tasks(DAG_ID, run)
    failed = [t for t in tasks if t.state == "failed"]
    if not failed:
        return f"the deployment ({run}) failed as a whole: it was stopped, or it ran out of time"
    reasons = [f"  {task.name}: {reason(client.log(DAG_ID, run, task.name, max(task.tries, 1)))}" for task in failed]
    return "\n".join(["the deployment failed:", *reasons])


def reason(log: Sequence[str]) -> str:
    """The reason in a task's log: the value of its last exception, else its last line.

    Pure text work: a line `... AirflowException: TEXT` gives TEXT.
    """
    lines = [line.strip() for line in log if line.strip()]
    for line in reversed(lines):
        _, found, text = line.partition("Task failed with exception")
        if found and text.strip():
            return _after_type(text.strip())
    return lines[-1] if lines else "its log is empty"


def _after_type(text: str) -> str:
    """`pkg.SomeError: TEXT` without the type's name, which says nothing to an operator."""
    kind, separator, rest = text.partition(": ")
    return rest if separator and " " not in kind and rest else text
