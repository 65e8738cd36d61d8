"""The operators of `incident_response`, without servers, and the trigger that wakes it."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any, cast
from unittest.mock import Mock

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from vigil_airflow.operators import incident_response
from vigil_airflow.operators.incident_response import (
    CarryOutChoiceOperator,
    FindIncidentsOperator,
    answer_of,
    body_of,
)
from vigil_airflow.triggers import wakeup
from vigil_airflow.triggers.wakeup import IncidentOpenedTrigger

from infra.response import Choice
from streaming.alerting.context import response, wakeups
from streaming.alerting.messages import Severity
from streaming.alerting.orders import Orders, UnknownIncident
from streaming.errors import Unavailable
from streaming.settings import Settings
from tests.support.incidents import an_incident


def answer(choice: Choice, service: str = "", user: str | None = "ann") -> dict[str, object]:
    return {
        "chosen_options": [str(choice)],
        "params_input": {"service": service},
        "responded_at": datetime.now(UTC),
        "responded_by_user": None if user is None else {"id": user, "name": user},
    }


@pytest.mark.parametrize("text", ["plain", "``` <img src=x> [a](http://evil) ```", "`" * 9, "\x1b[31m"])
def test_nothing_ends_the_block_of_code(text: str) -> None:
    body = body_of(an_incident(), text, "payment")
    fence = re.findall(r"^(`{3,})text$", body, re.M)[0]
    assert body.count(fence) == 2
    assert "\x1b" not in body
    assert "`payment`" in body


def test_who_answered_and_who_did_not() -> None:
    assert answer_of(answer(Choice.RESTART, "kafka")) == (Choice.RESTART, "ann (Airflow)", "kafka")
    assert answer_of(answer(Choice.NOTHING, user=None)) == (Choice.NOTHING, "nobody in time (Airflow)", "")


def test_nothing_to_find_skips_the_rest(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    asked: list[object] = []

    def find(of: Settings, limit: int, severities: list[Severity]) -> list[object]:
        asked.append((limit, severities))
        return [an_incident(incident_id="A")] if Severity.ERROR in severities else []

    monkeypatch.setattr(response, "find_waiting", find)
    with pytest.raises(AirflowSkipException, match="no critical incident waits"):
        FindIncidentsOperator(task_id="f").execute({})
    # What a template makes of the run's parameter.
    several = FindIncidentsOperator(task_id="g", severities="['critical', 'error']", limit=3)
    assert several.execute({}) == ["A"]
    assert asked == [(10, [Severity.CRITICAL]), (3, [Severity.CRITICAL, Severity.ERROR])]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    made = Settings.model_construct()
    monkeypatch.setattr("vigil_airflow.hooks.load_settings", lambda: made)
    return made


def carried_out(given: dict[str, object]) -> str:
    ti = Mock(map_index=0)
    ti.xcom_pull.return_value = given
    operator = CarryOutChoiceOperator(task_id="c", incident_id="ABCDEFGHIJ", decided_by="respond.decide")
    return operator.execute(cast(Any, {"ti": ti, "run_id": "r"}))


def test_without_an_answer_nothing_is_asked_of_anybody(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Orders, "incident", Mock(side_effect=AssertionError))
    assert carried_out(answer(Choice.NOTHING, user=None)) == "nothing was to be done"


def test_one_that_is_forgotten_is_left_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Orders, "incident", Mock(side_effect=UnknownIncident("none")))
    with pytest.raises(AirflowSkipException, match="over for longer"):
        carried_out(answer(Choice.ACKNOWLEDGE))


def test_a_restart_waits_for_the_health_gate(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from vigil_airflow.outcomes import Outcome, Seen

    manager, looks = Mock(), [Seen(Outcome.MET, "200")]
    monkeypatch.setattr("infra.local.target.SupervisorManager", lambda *_: manager)
    monkeypatch.setattr(Orders, "incident", lambda *_: an_incident())
    monkeypatch.setattr(Orders, "annotate", Mock())
    monkeypatch.setattr(incident_response, "wait", lambda *_: looks.pop())
    assert carried_out(answer(Choice.RESTART)) == "payment was restarted; it is healthy: 200"
    manager.restart.assert_called_once_with("payment")
    looks.append(Seen(Outcome.WAITING, "connection refused"))
    with pytest.raises(incident_response.ServiceStaysUnhealthy, match="connection refused"):
        carried_out(answer(Choice.RESTART, "order"))


# ------------------------------------------------------------------------------------------ the trigger


def test_the_trigger_is_made_again_from_what_it_serializes() -> None:
    path, arguments = IncidentOpenedTrigger(severities=["critical", "error"]).serialize()
    assert path == "vigil_airflow.triggers.wakeup.IncidentOpenedTrigger"
    assert IncidentOpenedTrigger(**arguments).serialize() == (path, arguments)


class Follow:
    """Answers of `Wakeups.look`, one after another; then it is over."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers, self.closed = list(answers), 0

    def look(self, wait_s: float) -> list[str]:
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        self.closed += 1


def events(follow: Follow, monkeypatch: pytest.MonkeyPatch, number: int) -> tuple[list[object], list[str]]:
    monkeypatch.setattr(wakeups, "Wakeups", lambda *_: follow)
    monkeypatch.setattr(IncidentOpenedTrigger, "QUIET_S", 0.0)
    monkeypatch.setattr(IncidentOpenedTrigger, "AWAY_S", 0.0)
    trigger, said = IncidentOpenedTrigger(), list[str]()
    log = Mock()
    log.warning.side_effect = lambda text, *of: said.append(text % of)
    log.info.side_effect = lambda text, *of: said.append(text % of)
    monkeypatch.setattr(IncidentOpenedTrigger, "log", log)

    async def run() -> list[object]:
        stream = trigger.run()
        found = [(await anext(stream)).payload for _ in range(number)]
        await stream.aclose()  # type: ignore[attr-defined]
        return found

    return asyncio.run(run()), said


def test_it_goes_on_while_kafka_is_away_and_says_so_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    away = [Unavailable("Kafka does not answer")] * 5
    follow = Follow(*away, [], ["A"], [], *away, [f"I{n}" for n in range(30)])
    found, said = events(follow, monkeypatch, 2)
    assert found == [{"incidents": ["A"]}, {"incidents": [f"I{n}" for n in range(wakeup.LISTED)]}]
    assert said == ["waits until it can follow incidents: Kafka does not answer", "follows incidents again"] * 2
    assert follow.closed == 1
