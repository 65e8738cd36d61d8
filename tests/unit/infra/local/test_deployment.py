"""Reasons out of task logs, and the alert that a new user waits for."""

from __future__ import annotations

import time

import pytest

from infra.local.airflow_client import AirflowClient, TaskState
from infra.local.deployment import deploy, reason
from infra.local.up import latest_real
from streaming.alerting.messages import Action, Receipt, Severity
from streaming.errors import VigilError


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ([], ""),
        (["one", "::group::Pre Execute", ""], ""),
        (["Task failed with exception AirflowException: kafka: port taken", "bye"], "kafka: port taken"),
        (["Task failed with exception airflow.sdk.exceptions.TaskDeferralTimeout: no: luck"], "no: luck"),
        (["Task failed with exception something went: wrong"], "something went: wrong"),
        (["Task failed with exception A: first", "Task failed with exception B: last"], "last"),
        (["Task failed with exception", "last"], ""),
    ],
)
def test_the_reason_is_the_last_exceptions_text(log: list[str], expected: str) -> None:
    assert reason(log) == expected


RAISED = "Task failed with exception NotHealthy: kafka: port taken"


class Airflow(AirflowClient):
    """Runs that end as told: each the states of its tasks, and the log of a failed one."""

    def __init__(self, *runs: tuple[dict[str, str], str]) -> None:
        self.runs = list(runs)
        self.triggered = 0

    def unpause(self, dag_id: str) -> None:
        pass

    def trigger(self, dag_id: str, conf: dict[str, str]) -> str:
        self.triggered += 1
        return str(self.triggered - 1)

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        return [TaskState(name, state, 1, None, None) for name, state in self.runs[int(run_id)][0].items()]

    def run_state(self, dag_id: str, run_id: str) -> str:
        return "failed" if "failed" in self.runs[int(run_id)][0].values() else "success"

    def log(self, dag_id: str, run_id: str, task: str, attempt: int) -> list[str]:
        return [self.runs[int(run_id)][1]]


def run(client: Airflow) -> list[str]:
    said: list[str] = []
    deploy(client, "local", time.monotonic() + 10, lambda _: None, said.append)
    return said


def test_a_deployment_that_succeeds_is_made_once() -> None:
    client = Airflow(({"start_kafka": "success"}, ""))
    assert run(client) == []
    assert client.triggered == 1


def test_a_task_with_a_reason_ends_it() -> None:
    client = Airflow(({"start_kafka": "failed", "start_indexer": "upstream_failed"}, RAISED))
    with pytest.raises(VigilError, match="start_kafka: kafka: port taken"):
        run(client)
    assert client.triggered == 1


def test_a_task_that_airflow_lost_is_tried_once_more_and_no_more() -> None:
    lost = ({"start_kafka": "failed"}, "::group::Pre Execute")
    client = Airflow(lost, ({"start_kafka": "success"}, ""))
    assert run(client) == ["Airflow lost start_kafka; deploying once more"]
    client = Airflow(lost, lost)
    with pytest.raises(VigilError, match="start_kafka: its log gives no reason"):
        run(client)
    assert client.triggered == 2


def test_a_deployment_that_takes_too_long_names_what_it_waits_for() -> None:
    client = Airflow(({"start_kafka": "deferred", "start_indexer": "success"}, ""))
    with pytest.raises(VigilError, match="it waits for start_kafka"):
        deploy(client, "local", time.monotonic() - 1, lambda _: None, lambda _: None)


def receipt(rule: str, sent_ms: int) -> Receipt:
    return Receipt(
        incident_id=f"{rule}-{sent_ms}",
        receiver="console",
        version=1,
        action=Action.OPEN,
        rule_id=rule,
        severity=Severity.ERROR,
        title="t",
        sent_ms=sent_ms,
    )


def test_a_canary_is_not_the_alert_that_a_user_waits_for() -> None:
    assert latest_real([]) is None
    assert latest_real([receipt("canary-alert", 1)]) is None
    found = latest_real([receipt("canary-alert", 99), receipt("error-logs", 9), receipt("error-logs", 5)])
    assert found is not None
    assert found.sent_ms == 9
