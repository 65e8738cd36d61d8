"""What a failed DAG run, a failed task or a missed deadline looks like in Slack. No Airflow and no Slack in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

SHOWN_TASKS = 5
"""Of so many tasks the reason is shown; all blocks of a message may have some 13,000 characters, and each reason has
up to `REASON_LIMIT`."""

REASON_LIMIT, REASON_LINES = 1_500, 12

TAIL = 256 * 1024
"""So much of a task's log is read, from its end, for the reason of its failure."""


@dataclass(frozen=True)
class FailedTask:
    """One task of a run that failed. `reason` is empty where it is known to its log alone."""

    task_id: str
    reason: str = ""
    try_number: int | None = None
    tries: int | None = None
    log_url: str = ""


@dataclass(frozen=True)
class Failure:
    """What happened to a DAG run."""

    dag_id: str
    run_id: str
    at: datetime
    tasks: Sequence[FailedTask] = ()
    why: str = ""
    """Why the run failed where no task says it: `timed_out`, `all_tasks_deadlocked`."""
    run_url: str = ""


@dataclass(frozen=True)
class Lateness:
    """A DAG run that was to be done by `due` and is not."""

    dag_id: str
    run_id: str
    due: datetime
    state: str = ""
    run_url: str = ""


@dataclass(frozen=True)
class Message:
    """`text` for phones and logs, in mrkdwn; `blocks` for all others."""

    text: str
    blocks: Sequence[Mapping[str, object]]


_RUN_REASONS = {
    "timed_out": "The run took longer than its `dagrun_timeout`.",
    "all_tasks_deadlocked": "No task of it can run any more.",
}


def failure_message(failure: Failure) -> Message:
    """One message for all that failed in the run. Reasons are log text: they are shown as they are and obeyed
    nowhere."""
    from streaming.alerting.messages import Severity
    from streaming.alerting.receivers.slack.elements import SIGN, context, section
    from streaming.alerting.receivers.slack.mrkdwn import line, link

    names = [line(task.task_id, 200) for task in failure.tasks]
    what = _listed(names) if names else _RUN_REASONS.get(failure.why, line(failure.why, 200) or "The run failed.")
    headline = f"{SIGN[Severity.ERROR]} Airflow: *{line(failure.dag_id, 200)}* failed: {what}"
    blocks = [section(headline)]
    for task in failure.tasks[:SHOWN_TASKS]:
        blocks.append(section(_told(task)))
    if len(failure.tasks) > SHOWN_TASKS:
        blocks.append(context(f"and {len(failure.tasks) - SHOWN_TASKS} more tasks"))
    if names and failure.why in _RUN_REASONS:
        blocks.append(context(_RUN_REASONS[failure.why]))
    run = link(failure.run_url, "The run") or "Run"
    blocks.append(context(f"{run} `{line(failure.run_id, 250)}` · {utc(failure.at)}"))
    return Message(headline, blocks)


def was_told(before_failed_at: datetime | None, at: datetime) -> bool:
    """Whether Slack heard of this DAG already: its run before failed in the same hour (UTC). One that fails every five
    minutes is told of once an hour."""
    if before_failed_at is None:
        return False
    return before_failed_at.astimezone(UTC).strftime("%F %H") == at.astimezone(UTC).strftime("%F %H")


def lateness_message(late: Lateness) -> Message:
    """One message for a run that missed its deadline."""
    from streaming.alerting.messages import Severity
    from streaming.alerting.receivers.slack.elements import SIGN, context, section
    from streaming.alerting.receivers.slack.mrkdwn import line, link

    state = f" and is {line(late.state, 50)}" if late.state else ""
    headline = (
        f"{SIGN[Severity.WARNING]} Airflow: *{line(late.dag_id, 200)}* is late: it was to be done by "
        f"{utc(late.due)}{state}"
    )
    run = link(late.run_url, "The run") or "Run"
    return Message(headline, [section(headline), context(f"{run} `{line(late.run_id, 250)}`")])


def run_url(base_url: str, dag_id: str, run_id: str) -> str:
    """Address of a run in Airflow's UI."""
    return f"{base_url.rstrip('/')}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


def task_url(base_url: str, dag_id: str, run_id: str, task_id: str, map_index: str = "") -> str:
    """Address of a task's log in Airflow's UI, of its last try."""
    mapped = f"/mapped/{map_index}" if map_index else ""
    return f"{run_url(base_url, dag_id, run_id)}/tasks/{quote(task_id, safe='')}{mapped}"


def utc(at: datetime) -> str:
    """`2026-11-26 10:52:06 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def first_lines(text: str) -> str:
    """The first lines of a reason: `REASON_LINES`, `REASON_LIMIT` characters."""
    lines = text.strip().splitlines()
    cut = ["..."] if len(lines) > REASON_LINES else []
    return "\n".join([*lines[:REASON_LINES], *cut])[:REASON_LIMIT]


def reason_of(error: BaseException | str | None) -> str:
    """`Type: text`, or the text alone of one that is meant to be read as it is."""
    from streaming.errors import VigilError

    if error is None or isinstance(error, str):
        return first_lines(error or "")
    text = str(error)
    return first_lines(text if isinstance(error, VigilError) and text else f"{type(error).__name__}: {text}")


def reason_in_log(folder: Path) -> str:
    """Why the task whose log folder this is failed the last time, by the last error in its newest log there; empty
    where the log is elsewhere (another machine) or tells of none."""
    logs = sorted(folder.glob("**/attempt=*.log"), key=lambda path: path.stat().st_mtime_ns)
    if not logs:
        return ""
    with logs[-1].open("rb") as log:
        log.seek(max(0, log.seek(0, 2) - TAIL))
        return _last_error(log.read().decode("utf-8", "replace").splitlines())


def _last_error(lines: Iterable[str]) -> str:
    found = ""
    for text in lines:
        try:
            event = json.loads(text)
        except ValueError:
            continue  # the first line may be half of one; whatever else a task prints is wrapped in JSON
        if isinstance(event, dict) and str(event.get("level")) in ("error", "critical"):
            found = _raised(event.get("error_detail")) or str(event.get("event") or "") or found
    return first_lines(found)


def _raised(detail: object) -> str:
    first = detail[0] if isinstance(detail, list) and detail else None
    if not isinstance(first, dict):
        return ""
    kind, text = str(first.get("exc_type") or ""), str(first.get("exc_value") or "")
    return text if kind in _MEANT_TO_BE_READ and text else f"{kind}: {text}"


_MEANT_TO_BE_READ = frozenset({"VigilError", "ConfigError", "Unavailable", "ServiceNotHealthy"})


def _told(task: FailedTask) -> str:
    from streaming.alerting.receivers.slack.mrkdwn import escaped, line, link
    from streaming.alerting.text import one_line

    name = link(task.log_url, one_line(task.task_id, 100) or "Log") or f"`{line(task.task_id, 200)}`"
    tried = f" · try {task.try_number} of {task.tries}" if task.try_number and task.tries and task.tries > 1 else ""
    reason = f"\n```\n{escaped(task.reason, REASON_LIMIT)}\n```" if task.reason.strip() else "\nIts log says why."
    return f"{name}{tried}{reason}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_TASKS])
    return shown if len(names) <= SHOWN_TASKS else f"{shown} and {len(names) - SHOWN_TASKS} more"
