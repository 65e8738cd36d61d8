"""Tells Slack of failed DAG runs, failed tasks and missed deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier, Context

from vigil_airflow.failures import (
    FailedTask,
    Failure,
    Lateness,
    Message,
    failure_message,
    lateness_message,
    reason_in_log,
    reason_of,
    run_url,
    task_url,
    was_told,
)

WAIT_AT_MOST_S = 20.0
"""How long Slack's 429 is waited for. Callbacks of a DAG run in the process that parses its file, which Airflow ends
after 50 s (`dag_file_processor_timeout`), and the call itself may take 10 s."""

FAILED = "failed"


class VigilSlackNotifier(BaseNotifier):
    """One readable message: what failed in which run, the first lines of why, where the log is, when (UTC).

    As a DAG's `on_failure_callback` it sends one message for the run, however many of its tasks failed, and where its
    scheduled runs fail one after another, one an hour; as a task's, one for each task that fails for good (use either,
    not both). As the callback of a deadline alert,
    `AsyncCallback(VigilSlackNotifier)`, it tells of a run that is late.

    It needs Slack alone (`VigilSlackHook`), neither Kafka nor Elasticsearch nor the alert manager. What cannot be sent
    is written to the log, and nothing is raised, so that a failure is never hidden by the failure to tell of it.

    Args:
        slack_conn_id: Airflow's connection (templated). Without it and without SLACK_BOT_TOKEN the message is only
            logged.
    """

    template_fields: Sequence[str] = ("slack_conn_id",)

    def __init__(self, slack_conn_id: str = "vigil_slack", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id

    def notify(self, context: Context) -> None:
        """Sends it; from the process that parses DAG files, or from the task's own."""
        message = _message_of(context)
        if was_told(_run_before_failed_at(context), datetime.now(UTC)):
            self.log.info("Slack heard of the run before, which failed in the same hour. This one: %s", _plain(message))
        else:
            self._send(message)

    async def async_notify(self, context: Context) -> None:
        """Sends it from the triggerer, in a thread: neither connection nor Slack is asked asynchronously."""
        await asyncio.to_thread(self.notify, context)

    def _send(self, message: Message) -> None:
        from streaming.errors import VigilError
        from vigil_airflow.slack import VigilSlackHook

        try:
            hook = VigilSlackHook(self.slack_conn_id, wait_at_most_s=WAIT_AT_MOST_S)
            if hook.configured:
                posted = hook.post(message.text, message.blocks)
                self.log.info("Told Slack (%s): %s", posted.channel, message.text)
            else:
                self.log.warning("Slack is not set up (docs/airflow.md). It would have been told: %s", _plain(message))
        except VigilError as error:
            self.log.error("%s. Slack was to be told: %s", error, _plain(message))


def _message_of(context: Context) -> Message:
    found: Mapping[str, Any] = context  # what holds which keys is told by `notify` and `Failure`
    if "deadline" in found:
        return lateness_message(_lateness(found))
    return failure_message(_failure(found))


def _lateness(context: Mapping[str, Any]) -> Lateness:
    """The context of a deadline: what the scheduler knew as JSON, of run and deadline alone."""
    run, due = context["dag_run"], context["deadline"]["deadline_time"]
    dag_id, run_id = str(run["dag_id"]), str(run["dag_run_id"])
    at = due if isinstance(due, datetime) else datetime.fromisoformat(str(due))
    return Lateness(dag_id, run_id, at, str(run.get("state") or ""), run_url(_base_url(), dag_id, run_id))


def _failure(context: Mapping[str, Any]) -> Failure:
    dag_id, run_id = str(context["dag"].dag_id), str(context["run_id"])
    ti, error = context.get("ti"), context.get("exception")
    at = getattr(ti, "end_date", None) or datetime.now(UTC)
    why = str(context.get("reason") or "")
    tasks = [_this_task(ti, error)] if error is not None and ti is not None else _tasks_of_run(dag_id, run_id, ti)
    return Failure(dag_id, run_id, at, tasks, why, run_url(_base_url(), dag_id, run_id))


def _this_task(ti: Any, error: BaseException | str) -> FailedTask:
    """A task's own callback, which knows the error."""
    return FailedTask(ti.task_id, reason_of(error), ti.try_number, (ti.max_tries or 0) + 1, ti.log_url)


def _tasks_of_run(dag_id: str, run_id: str, last: Any) -> list[FailedTask]:
    """A run's callback, which knows only the task that ended last: the others are asked for, and why they failed is
    read from their logs, where those are on this machine."""
    from airflow.sdk.configuration import conf

    names = _failed_in(dag_id, run_id)
    # Only one that failed: of a run that timed out, it is the one that was under way.
    if not names and last is not None and getattr(last, "state", None) in (None, FAILED):
        names = [last.task_id]
    logs = Path(conf.get("logging", "base_log_folder")) / f"dag_id={dag_id}" / f"run_id={run_id}"
    tasks = [_task_and_index(name, logs) for name in names]
    return [
        FailedTask(name, reason_in_log(folder), log_url=task_url(_base_url(), dag_id, run_id, name, index))
        for name, index, folder in tasks
    ]


def _task_and_index(name: str, logs: Path) -> tuple[str, str, Path]:
    """Task, map index (empty: it is not mapped) and log folder of what the API calls `task`, or `task_7` for the
    eighth of a mapped task."""
    task, _, index = name.rpartition("_")
    mapped = logs / f"task_id={task}" / f"map_index={index}"
    if index.isdecimal() and mapped.is_dir() and not (logs / f"task_id={name}").is_dir():
        return task, index, mapped
    return name, "", logs / f"task_id={name}"


def _failed_in(dag_id: str, run_id: str) -> list[str]:
    """Tasks of the run that failed themselves, by name; none where nobody can be asked (a `dag.test()`)."""
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time import task_runner

    if not hasattr(task_runner, "SUPERVISOR_COMMS"):
        return []
    try:
        states = task_runner.RuntimeTaskInstance.get_task_states(dag_id, run_ids=[run_id])
    except AirflowRuntimeError:
        return []
    return sorted(name for name, state in states.get(run_id, {}).items() if state == FAILED)


def _run_before_failed_at(context: Context) -> datetime | None:
    """When the run before the one that failed did the same; None where it did not, or nobody knows. Runs by hand have
    none before them."""
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time import task_runner

    ti = context.get("ti")
    if ti is None or "exception" in context or not hasattr(task_runner, "SUPERVISOR_COMMS"):
        return None
    try:
        before = ti.get_previous_dagrun()
    except AirflowRuntimeError:
        return None
    return before.end_date if before is not None and before.state == FAILED else None


def _base_url() -> str:
    from airflow.sdk.configuration import conf

    return str(conf.get("api", "base_url", fallback="http://localhost:8080/"))


def _plain(message: Message) -> str:
    """The message for a log: all texts of its blocks."""
    texts = [block.get("text") or {} for block in message.blocks]
    return "\n".join(str(text["text"]) for text in texts if isinstance(text, dict) and "text" in text)
