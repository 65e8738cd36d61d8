"""Runs the deployment DAG and follows it to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from infra.local.airflow_client import AirflowClient, TaskState
from streaming.errors import VigilError

DAG_ID = "deploy_platform"

POLL_S = 1.0
"""Airflow's single API worker also serves the tasks: asking more often slows down what is asked for."""

ENDED = frozenset(["success", "failed", "upstream_failed", "skipped", "removed"])


def deploy(
    client: AirflowClient,
    target: str,
    deadline: float,
    show: Callable[[Sequence[TaskState]], None],
    say: Callable[[str], None],
) -> None:
    """Triggers a deployment and returns when it has succeeded. `deadline` is of `time.monotonic()`.

    A run in which Airflow itself lost a task is made once more. That happens on a busy machine (3.3.2): a deferred
    task whose trigger fires before the scheduler has seen the end of its first part is taken for one that was ended
    from outside ("finished with state success, but the task instance's state attribute is queued").

    Raises:
        VigilError: a task failed (the text names each with its reason), or the deadline passed.
        Unavailable: Airflow does not answer.
    """
    client.unpause(DAG_ID)
    for again in (True, False):
        run = client.trigger(DAG_ID, {"target": target})
        if follow(client, run, deadline, show):
            return
        failed = reasons(client, run)
        if not (again and failed and not any(failed.values())):
            raise VigilError(failure(run, failed))
        say(f"Airflow lost {', '.join(failed)}; deploying once more")


def follow(client: AirflowClient, run: str, deadline: float, show: Callable[[Sequence[TaskState]], None]) -> bool:
    """Shows the tasks of a run until it has ended; whether it succeeded.

    Raises:
        VigilError: the deadline passed; the text names the tasks that it waits for.
    """
    while True:
        tasks = client.tasks(DAG_ID, run)
        show(tasks)
        if tasks and all(task.state in ENDED for task in tasks):
            state = client.run_state(DAG_ID, run)
            if state in ("success", "failed"):
                return state == "success"
        if time.monotonic() > deadline:
            waits = [t.name for t in tasks if t.state and t.state not in ENDED]
            raise VigilError(
                f"the deployment ({run}) is not done in time; it waits for {', '.join(waits) or 'its turn'}"
            )
        time.sleep(POLL_S)


def reasons(client: AirflowClient, run: str) -> dict[str, str]:
    """The failed tasks of a run, each with the reason that its log gives; empty where it gives none."""
    failed = [task for task in client.tasks(DAG_ID, run) if task.state == "failed"]
    return {task.name: reason(client.log(DAG_ID, run, task.name, max(task.tries, 1))) for task in failed}


def failure(run: str, failed: dict[str, str]) -> str:
    """Why a run failed, a line for each task."""
    if not failed:
        return f"the deployment ({run}) failed as a whole: it was stopped, or it ran out of time"
    return "\n".join(
        ["the deployment failed:", *(f"  {name}: {why or 'its log gives no reason'}" for name, why in failed.items())]
    )


def reason(log: Sequence[str]) -> str:
    """The text of the last exception in a task's log; empty where the task itself raised none.

    A line `Task failed with exception pkg.SomeError: TEXT` gives TEXT.
    """
    for line in reversed(log):
        _, found, text = line.partition("Task failed with exception")
        if found and text.strip():
            return _after_type(text.strip())
    return ""


def _after_type(text: str) -> str:
    """`pkg.SomeError: TEXT` without the type's name, which says nothing to an operator."""
    kind, separator, rest = text.partition(": ")
    return rest if separator and " " not in kind and rest else text
