"""The notifier of failures, by what Airflow 3.3.2 hands to callbacks of tasks, of runs and of deadlines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.sdk import DAG, BaseOperator, Context
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.execution_time import task_runner
from airflow.serialization.serialized_objects import DagSerialization
from vigil_airflow.notifier import VigilSlackNotifier

from streaming.errors import Unavailable
from tests.support.fake_slack import CHANNEL, TOKEN, FakeSlack

RUN = "manual__2026-11-26T10:00:00+00:00"


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeSlack]:
    server = FakeSlack()
    monkeypatch.setenv("VIGIL_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.test")
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    extra = {"base_url": server.url, "channel": CHANNEL}
    monkeypatch.setenv(
        "AIRFLOW_CONN_VIGIL_SLACK", json.dumps({"conn_type": "slack", "password": TOKEN, "extra": extra})
    )
    yield server
    server.close()


def of_run(
    last_task: str | None = "start_kafka",
    reason: str = "task_failure",
    before: Callable[[], object] = lambda: None,
) -> Context:
    """What the process that parses DAG files hands to a DAG's callback: no exception, one task at most."""
    ti = None if last_task is None else SimpleNamespace(task_id=last_task, end_date=None, get_previous_dagrun=before)
    found: dict[str, Any] = {"dag": DAG("deploy_platform", schedule=None), "run_id": RUN, "reason": reason}
    return cast(Context, found if ti is None else found | {"ti": ti})


def of_task() -> Context:
    """What a task's own callback gets."""
    ti = SimpleNamespace(
        task_id="report",
        try_number=2,
        max_tries=1,
        log_url="http://airflow.test/dags/d/runs/r/tasks/report?try_number=2",
        end_date=datetime(2026, 11, 26, 10, tzinfo=UTC),
    )
    error = Unavailable("Elasticsearch does not answer at h:9200; see `vigil status`")
    return cast(Context, {"dag": DAG("d", schedule=None), "run_id": RUN, "ti": ti, "exception": error})


def of_deadline() -> Context:
    """What the triggerer gets of the scheduler, as JSON."""
    run = {"dag_id": "roll_indices", "dag_run_id": RUN, "state": "running"}
    return cast(Context, {"dag_run": run, "deadline": {"id": "x", "deadline_time": "2026-11-26T10:30:00+00:00"}})


def states(monkeypatch: pytest.MonkeyPatch, found: dict[str, str]) -> None:
    """Airflow's answer about the tasks of the run."""
    comms = SimpleNamespace(send=lambda message: SimpleNamespace(task_states={RUN: found}))
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)


def fail(tmp_path: Path, task: str, text: str) -> None:
    folder = tmp_path / "dag_id=deploy_platform" / f"run_id={RUN}" / task
    folder.mkdir(parents=True)
    detail = [{"exc_type": "ServiceNotHealthy", "exc_value": text}]
    (folder / "attempt=1.log").write_text(json.dumps({"level": "error", "event": "x", "error_detail": detail}))


def test_a_run_with_several_failed_tasks_is_one_message(
    slack: FakeSlack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fail(tmp_path, "task_id=start_kafka", "kafka: not healthy <!channel>")
    fail(tmp_path, "task_id=check/map_index=3", "node 3 is gone")
    states(
        monkeypatch,
        {"start_kafka": "failed", "check_3": "failed", "check_4": "success", "canary_log": "upstream_failed"},
    )
    VigilSlackNotifier()(of_run())
    assert len(slack.messages) == 1
    told = slack.messages[0].everything
    assert "check, start_kafka" in slack.messages[0].text
    assert "kafka: not healthy &lt;!channel&gt;" in told
    assert "node 3 is gone" in told
    assert "/tasks/check/mapped/3|check>" in told
    assert "canary_log" not in told
    assert f"http://airflow.test/dags/deploy_platform/runs/{RUN.replace(':', '%3A').replace('+', '%2B')}|" in told


def test_a_run_whose_tasks_nobody_tells_names_the_last(slack: FakeSlack) -> None:
    VigilSlackNotifier()(of_run())
    VigilSlackNotifier()(of_run(last_task=None, reason="timed_out"))
    assert "failed: start_kafka" in slack.messages[0].text
    assert "Its log says why" in slack.messages[0].everything
    assert "dagrun_timeout" in slack.messages[1].text


@pytest.mark.parametrize(("state", "age", "told"), [("failed", 0, 0), ("success", 0, 1), ("failed", 3600, 1)])
def test_runs_that_fail_one_after_another_are_told_of_once_an_hour(
    slack: FakeSlack, monkeypatch: pytest.MonkeyPatch, state: str, age: int, told: int
) -> None:
    states(monkeypatch, {"start_kafka": "failed"})
    ended = datetime.now(UTC) - timedelta(seconds=age)
    VigilSlackNotifier()(of_run(before=lambda: SimpleNamespace(state=state, end_date=ended)))
    assert len(slack.messages) == told


def test_a_task_tells_its_own_error(slack: FakeSlack) -> None:
    VigilSlackNotifier()(of_task())
    told = slack.messages[0].everything
    assert "try 2 of 2" in told
    assert "Elasticsearch does not answer at h:9200; see" in told
    assert "2026-11-26 10:00:00 UTC" in told


def test_a_late_run_is_told_from_the_triggerer(slack: FakeSlack) -> None:
    async def told() -> None:
        await VigilSlackNotifier(context=of_deadline())

    asyncio.run(told())
    assert "*roll_indices* is late: it was to be done by 2026-11-26 10:30:00 UTC" in slack.messages[0].text
    assert AsyncCallback(VigilSlackNotifier).path == "vigil_airflow.notifier.VigilSlackNotifier"


def test_without_slack_the_log_says_what_it_would_have_been_told(
    slack: FakeSlack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_VIGIL_SLACK")
    VigilSlackNotifier()(of_task())
    told = capsys.readouterr().out
    assert "Slack is not set up" in told
    assert "Elasticsearch does not answer" in told


def test_a_slack_that_refuses_hides_no_failure(slack: FakeSlack, capsys: pytest.CaptureFixture[str]) -> None:
    slack.token_fault = "token_revoked"
    VigilSlackNotifier()(of_task())
    told = capsys.readouterr().out
    assert "token_revoked" in told
    assert "Elasticsearch does not answer" in told


def test_a_dag_with_it_is_serialised() -> None:
    with DAG("x", schedule=None, on_failure_callback=VigilSlackNotifier()) as dag:
        BaseOperator(task_id="t", on_failure_callback=VigilSlackNotifier("other"))
    assert DagSerialization.to_dict(dag)["dag"]["has_on_failure_callback"] is True
