"""How an Airflow that does not answer in time is asked."""

from __future__ import annotations

import httpx
import pytest

from infra.local.airflow_client import PATIENT_ATTEMPTS, AirflowClient
from streaming.errors import Unavailable


def client(answers: list[httpx.Response | Exception]) -> tuple[AirflowClient, list[str]]:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(200, json={"access_token": "t"})
        asked.append(f"{request.method} {request.url.path}")
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    made = AirflowClient("http://airflow.example", "u", "p")
    made._http = httpx.Client(base_url="http://airflow.example", transport=httpx.MockTransport(answer))
    return made, asked


def test_a_question_that_is_not_answered_in_time_is_asked_again() -> None:
    late = httpx.ReadTimeout("timed out")
    made, asked = client([late, late, httpx.Response(200, json={"dag_run_id": "r", "state": "running"})])
    assert made.run_state("d", "r") == "running"
    assert len(asked) == 3


def test_but_not_for_ever() -> None:
    made, asked = client([httpx.ReadTimeout("timed out")] * PATIENT_ATTEMPTS)
    with pytest.raises(Unavailable, match="does not answer"):
        made.run_state("d", "r")
    assert len(asked) == PATIENT_ATTEMPTS


@pytest.mark.parametrize("error", [httpx.ReadTimeout("timed out"), httpx.ConnectError("refused")])
def test_what_changes_something_is_asked_once(error: Exception) -> None:
    made, asked = client([error])
    with pytest.raises(Unavailable):
        made.trigger("d", {})
    assert len(asked) == 1
