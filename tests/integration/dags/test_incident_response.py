"""`incident_response` with a real manager and notifier: context, question and answer, once for each incident."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from airflow.providers.standard.operators.hitl import HITLOperator

from infra.response import Choice
from streaming.alerting.context.documents import KIND
from streaming.alerting.context.model import Context
from streaming.alerting.context.response import CONTEXT_NOTE, attach, find_waiting
from streaming.alerting.context.wakeups import Wakeups
from streaming.alerting.explaining.report import notes_of
from streaming.alerting.messages import Incident, IncidentState, Note
from streaming.alerting.orders import Orders
from streaming.elastic.documents import Documents
from streaming.settings import Settings
from tests.integration.dags.conftest import RunDag
from tests.support.alert_path import AlertPath, alert_path_of
from tests.support.fake_slack import FakeSlack

RULES = """\
rules:
  - id: fatal-log
    kind: match
    where: {levels: [FATAL]}
    group_by: [service.name]
    severity: critical
    title: "{{ service.name }}: {{ message }}"
    runbook: https://wiki.example/fatal
"""


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    server = FakeSlack()
    yield server
    server.close()


@pytest.fixture
def alert_path(
    settings: Settings,
    environment: dict[str, str],
    launch: Callable[..., subprocess.Popen[bytes]],
    wait_until: Callable[[Callable[[], object], float, str], object],
    slack: FakeSlack,
    meant_up: None,
    tmp_path: Path,
) -> Iterator[AlertPath]:
    yield from alert_path_of(settings, environment, launch, wait_until, slack, tmp_path, RULES)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A person answers every question at once: acknowledge. What was asked is listed."""
    asked: list[str] = []

    def execute(self: HITLOperator, context: Mapping[str, Any]) -> Any:
        asked.append(f"{self.subject}\n{self.body}")
        return self.execute_complete(
            context,  # type: ignore[arg-type]
            {
                "chosen_options": [str(Choice.ACKNOWLEDGE)],
                "params_input": {"service": ""},
                "responded_at": datetime.now(UTC),
                "responded_by_user": {"id": "ann", "name": "ann"},
            },
        )

    monkeypatch.setattr(HITLOperator, "execute", execute)
    return asked


def the_note(settings: Settings, incident: Incident) -> Note:
    (event,) = notes_of(settings, incident)
    assert event.note is not None
    return event.note


def test_an_incident_gets_its_context_once_and_a_person_decides(
    alert_path: AlertPath, run_dag: RunDag, settings: Settings, slack: FakeSlack, answered: list[str]
) -> None:
    alert_path.start()
    follow = Wakeups(settings)
    assert follow.look(0.1) == []
    for number in range(4):
        alert_path.log(level="INFO", service="payment", message=f"took payment {number} `rm -rf` <!channel>")
    alert_path.log(level="FATAL", service="payment", message="the ledger is gone")
    alert_path.flush()
    alert_path.await_that(lambda: len(find_waiting(settings, 10)) == 1 and slack.messages, "told")
    assert follow.look(10) == [alert_path.incidents()[0].incident_id]
    follow.close()

    ran = run_dag("incident_response")
    assert ran.state == "success", ran.tasks
    (incident,) = alert_path.incidents()
    assert (incident.state, incident.acknowledged_by) == (IncidentState.ACKNOWLEDGED, "ann (Airflow)")
    assert incident.notes == (CONTEXT_NOTE,)
    note = the_note(settings, incident)
    assert "took payment 2" in note.text
    assert "the ledger is gone" in note.text
    assert "Run book: https://wiki.example/fatal" in note.text
    assert "not known: " in note.text, "no process supervisor runs here"
    assert "the ledger is gone" in answered[0]

    alert_path.await_that(lambda: slack.replies, "the reply is there")
    (reply,) = slack.replies
    assert reply.thread_ts == slack.messages[0].ts
    assert "took payment 2" in reply.text
    assert "<!channel>" not in reply.text
    with Documents(settings, KIND) as documents:
        kept = documents.get(incident.incident_id)
    assert kept is not None
    assert len(msgspec.json.decode(kept)["logs"]["items"]) == 5

    assert find_waiting(settings, 10) == [], "the next run finds nothing"
    other = Context(incident, gathered_ms=0)
    assert not attach(settings, Orders(settings), other, author="x", work="run 2"), "nor does one that found it before"
    assert the_note(settings, alert_path.incidents()[0]) == note
    entries = [(entry.author, entry.order.value) for entry in Orders(settings).audit()]
    assert ("incident_response", "annotate") in entries
    assert ("ann (Airflow)", "acknowledge") in entries
