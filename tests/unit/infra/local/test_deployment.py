"""Reasons out of task logs, and the alert that a new user waits for."""

from __future__ import annotations

import pytest

from infra.local.deployment import reason
from infra.local.up import first_real
from streaming.alerting.messages import Action, Receipt, Severity


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ([], "its log is empty"),
        (["one", "two", ""], "two"),
        (["Task failed with exception AirflowException: kafka: port taken", "bye"], "kafka: port taken"),
        (["Task failed with exception airflow.sdk.exceptions.TaskDeferralTimeout: no: luck"], "no: luck"),
        (["Task failed with exception something went: wrong"], "something went: wrong"),
        (["Task failed with exception", "last"], "last"),
    ],
)
def test_the_reason_is_the_last_exceptions_text(log: list[str], expected: str) -> None:
    assert reason(log) == expected


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


def test_a_canary_is_no_first_alert() -> None:
    assert first_real([]) is None
    assert first_real([receipt("canary-alert", 1)]) is None
    found = first_real([receipt("canary-alert", 1), receipt("error-logs", 9), receipt("error-logs", 5)])
    assert found is not None
    assert found.sent_ms == 5
