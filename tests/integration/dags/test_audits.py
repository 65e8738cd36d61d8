"""`heartbeat_audit` and `pipeline_audit` on a real Kafka and Elasticsearch, and a real alert manager where it matters;
Slack is one that keeps the real one's rules."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import msgspec
import pytest
from vigil_airflow import hooks

from streaming.alerting.audit_rule import AUDIT_RULE
from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.messages import Incident
from streaming.alerting.state import read_incidents
from streaming.audit.findings import Verdict
from streaming.audit.store import latest, stored_between
from streaming.events.model import NodeState
from streaming.heartbeat.messages import NodeRecord
from streaming.heartbeat.states import State
from streaming.kafka import topics
from streaming.kafka.clients import producer
from streaming.pipeline.messages import STATUS_KEY, PipelineStatus, WorkerProgress
from streaming.settings import Settings
from tests.integration.conftest import Launch, WaitUntil
from tests.integration.dags.conftest import Ran, RunDag
from tests.support.fake_slack import CHANNEL, FakeSlack


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """Airflow's connection `vigil_slack` leads there."""
    found = FakeSlack()
    extra = {"channel": CHANNEL, "base_url": found.url}
    connection = {"conn_type": "slack", "password": found.token, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_VIGIL_SLACK", json.dumps(connection))
    yield found
    found.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def write(settings: Settings, topic: str, key: str, value: object) -> None:
    out = producer(settings.kafka)
    out.produce(settings.topic(topic), key=key, value=msgspec.json.encode(value))
    assert out.flush(20) == 0


def node(name: str, last_beat_ms: int, state: State = State.UP) -> NodeRecord:
    return NodeRecord(
        node_id=name,
        service="order",
        state=state,
        since_ms=last_beat_ms - 60_000,
        first_seen_ms=last_beat_ms - 60_000,
        last_beat_ms=last_beat_ms,
        mean_interval_ms=1_000.0,
        reason="",
    )


def measured(settings: Settings) -> None:
    """The heartbeat monitor has just measured the pipeline."""
    progress = WorkerProgress(lag=0, behind_ms=0, still_ms=0)
    workers = {"heartbeat-monitor": progress, "indexer": progress}
    status = PipelineStatus(at_ms=now_ms(), workers=workers, logs=0, dead_letters=0)
    write(settings, topics.PIPELINE_STATUS, STATUS_KEY.decode(), status)


def raised(settings: Settings) -> list[Incident]:
    return [i for i in read_incidents(settings) if i.rule_id == AUDIT_RULE and is_open(i)]


@pytest.mark.usefixtures("meant_up")
def test_a_node_of_which_no_incident_tells_gets_one_until_it_beats_again(
    run_dag: RunDag,
    settings: Settings,
    slack: FakeSlack,
    launch: Launch,
    wait_until: WaitUntil,
    environment: dict[str, str],
) -> None:
    launch("streaming.alerting.manager", environment=environment)
    write(settings, topics.NODE_REGISTRY, "silent-1", node("silent-1", now_ms() - 180_000))
    write(settings, topics.NODE_REGISTRY, "good-1", node("good-1", now_ms()))
    measured(settings)
    assert run_dag("heartbeat_audit").state == "success"
    (incident,) = raised(settings)
    assert incident.group["service.node.name"] == "silent-1"
    assert re.fullmatch(r"Audit: silent-1 no beat for 3 min( \d+ s)?; the registry says UP", incident.title)

    write(settings, topics.HEARTBEATS, "silent-1", {"node_id": "silent-1", "status": NodeState.UP.value})
    measured(settings)
    assert run_dag("heartbeat_audit").state == "success"
    wait_until(lambda: not raised(settings), 10, "its incident is over")
    assert slack.messages == [], "the manager tells of it"

    first, second = stored_between(settings, "heartbeat", 0, now_ms() + 1)
    assert [f.subject for f in first.findings] == ["silent-1"]
    assert (first.raised, second.ended) == ([incident.title], [incident.title])
    assert second.verdict is Verdict.GOOD
    assert second.facts["nodes_up"] == 2


@pytest.mark.usefixtures("meant_up")
@pytest.mark.parametrize("dag_id", ["heartbeat_audit", "pipeline_audit"])
def test_an_outage_is_told_to_slack_once_and_so_is_its_end(
    run_dag: RunDag, settings: Settings, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch, dag_id: str
) -> None:
    away = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1", "elasticsearch_url": "http://127.0.0.1:1"})
    kind = dag_id.removesuffix("_audit")

    def run(with_settings: Settings) -> Ran:
        monkeypatch.setattr(hooks, "load_settings", lambda: with_settings)
        return run_dag(dag_id)

    for _ in range(2):
        ran = run(away)
        assert ran.state == "failed"
        assert ran.tasks["platform_is_up"] == "success", "it is not skipped"
    (message,) = slack.messages
    assert "127.0.0.1:1" in message.text
    audits = latest(settings, kind, 10)
    assert [audit.findings[0].problem.value for audit in audits] == ["outage", "outage"]
    assert "kafka" in audits[0].findings[0].reason


@pytest.mark.usefixtures("meant_up")
def test_where_no_manager_works_slack_is_told_directly(
    run_dag: RunDag, settings: Settings, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody has ever measured the pipeline: the heartbeat monitor does not work either."""
    monkeypatch.setattr("streaming.audit.run.OBEYED_WITHIN_S", 0.5)
    ran = run_dag("heartbeat_audit")
    assert ran.state == "failed"
    (message,) = slack.messages
    assert "monitor-dead: heartbeat-monitor" in message.text
    (audit,) = stored_between(settings, "heartbeat", 0, now_ms() + 1)
    assert "it has not taken 1 of 1 incidents" in audit.away["alert manager"]


def test_a_platform_that_is_meant_to_be_down_is_not_audited(run_dag: RunDag, slack: FakeSlack) -> None:
    ran = run_dag("heartbeat_audit")
    assert ran.tasks == {"platform_is_up": "skipped", "audit_nodes": "skipped"}
    assert slack.messages == []
