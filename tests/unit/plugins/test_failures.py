"""What Slack is told of failures: readable, bounded, harmless."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from vigil_airflow.failures import (
    FailedTask,
    Failure,
    Lateness,
    Message,
    failure_message,
    lateness_message,
    reason_in_log,
    reason_of,
    task_url,
    was_told,
)

from streaming.errors import Unavailable
from tests.support.fake_slack import content_fault

AT = datetime(2026, 11, 26, 11, 52, 6, tzinfo=timezone(timedelta(hours=1)))


def words(message: Message) -> str:
    return json.dumps(message.blocks, ensure_ascii=False)


def test_tells_dag_task_run_reason_log_and_time() -> None:
    task = FailedTask("start_kafka", "Kafka: not healthy within 60 s", 2, 2, "http://h/dags/d/runs/r/tasks/start_kafka")
    message = failure_message(Failure("deploy_platform", "manual__1", AT, [task], run_url="http://h/dags/d/runs/r"))
    assert message.text == ":red_circle: Airflow: *deploy_platform* failed: start_kafka"
    told = words(message)
    assert "<http://h/dags/d/runs/r/tasks/start_kafka|start_kafka> · try 2 of 2" in told
    assert "```\\nKafka: not healthy within 60 s\\n```" in told
    assert "<http://h/dags/d/runs/r|The run> `manual__1` · 2026-11-26 10:52:06 UTC" in told


def test_many_tasks_are_one_message_that_names_the_first() -> None:
    tasks = [FailedTask(f"t{n}", "x") for n in range(40)]
    message = failure_message(Failure("d", "r", AT, tasks))
    assert "t0, t1, t2, t3, t4 and 35 more" in message.text
    assert "and 35 more tasks" in words(message)


def test_a_run_without_a_failed_task_says_why() -> None:
    assert "dagrun_timeout" in failure_message(Failure("d", "r", AT, why="timed_out")).text
    assert "failed: The run failed." in failure_message(Failure("d", "r", AT)).text


def test_told_once_an_hour() -> None:
    assert not was_told(None, AT)
    assert was_told(AT.astimezone(UTC) - timedelta(minutes=52), AT)
    assert not was_told(AT - timedelta(minutes=53), AT)
    assert not was_told(AT - timedelta(days=1), AT)


def test_a_late_run_names_its_deadline() -> None:
    message = lateness_message(Lateness("roll_indices", "scheduled__1", AT, "running", "http://h/r"))
    assert "*roll_indices* is late: it was to be done by 2026-11-26 10:52:06 UTC and is running" in message.text
    assert "<http://h/r|The run> `scheduled__1`" in words(message)


@given(st.text(max_size=3000), st.text(max_size=400), st.integers(1, 9))
def test_hostile_text_is_taken_by_slack_and_pages_nobody(reason: str, name: str, count: int) -> None:
    hostile = "<!channel> <@U12345678> ```" + reason
    tasks = [FailedTask(name, hostile, 1, 2, task_url("http://h/", name, name, name)) for _ in range(count)]
    message = failure_message(Failure(name, name, AT, tasks, hostile, "http://h"))
    assert content_fault({"text": message.text, "blocks": [dict(block) for block in message.blocks]}) is None
    assert "<!channel>" not in words(message)
    assert "<@U" not in words(message)


def test_reasons_are_the_first_lines_of_an_error() -> None:
    assert reason_of(Unavailable("Kafka does not answer at h:9092; `vigil up`")) == (
        "Kafka does not answer at h:9092; `vigil up`"
    )
    assert reason_of(ValueError("no")) == "ValueError: no"
    assert reason_of(KeyError()) == "KeyError:"
    assert reason_of(None) == ""
    assert reason_of("\n".join(str(n) for n in range(100))).splitlines()[-2:] == ["11", "..."]
    assert len(reason_of("x" * 10_000)) == 1_500


def write_log(folder: Path, attempt: int, *events: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    (folder / f"attempt={attempt}.log").write_text("\n".join(lines))


def raised(kind: str, text: str) -> dict[str, object]:
    detail = [{"exc_type": kind, "exc_value": text, "frames": []}]
    return {"level": "error", "event": "Task failed with exception", "error_detail": detail}


def test_finds_the_reason_in_the_newest_log(tmp_path: Path) -> None:
    assert reason_in_log(tmp_path / "elsewhere") == ""
    write_log(tmp_path, 1, raised("ValueError", "first try"))
    write_log(tmp_path, 2, {"level": "info", "event": "x"}, "half of a li", raised("ValueError", "second try"), [1])
    assert reason_in_log(tmp_path) == "ValueError: second try"
    write_log(tmp_path, 3, raised("Unavailable", "Kafka is away"))
    assert reason_in_log(tmp_path) == "Kafka is away"
    write_log(tmp_path, 4, {"level": "error", "event": "killed", "error_detail": 7})
    assert reason_in_log(tmp_path) == "killed"
    write_log(tmp_path, 5, {"level": "info", "event": "x"})
    assert reason_in_log(tmp_path) == ""


def test_reads_only_the_end_of_a_huge_log(tmp_path: Path) -> None:
    write_log(tmp_path, 1, raised("ValueError", "early"), *["x" * 1000] * 300)
    assert reason_in_log(tmp_path) == ""
    write_log(tmp_path, 2, *["x" * 1000] * 300, raised("ValueError", "late"))
    assert reason_in_log(tmp_path) == "ValueError: late"


def test_addresses_are_quoted() -> None:
    address = task_url("http://h:8080/", "d", "manual__2026-01-01T00:00:00+00:00", "a/b", "3")
    assert address == "http://h:8080/dags/d/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/a%2Fb/mapped/3"
    assert AT.astimezone(UTC).hour == 10
