"""The example that the documentation gives, and the sensors it uses, on the real Kafka and Elasticsearch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from confluent_kafka import Producer
from elasticsearch import Elasticsearch
from vigil_airflow import hooks
from vigil_airflow.outcomes import Outcome
from vigil_airflow.sensors import IncidentStateSensor, IndexReadySensor, LagBelowSensor

from streaming.kafka import topics as catalogue
from streaming.kafka.admin import TopicReport
from streaming.settings import CHECKOUT, Settings
from tests.support.fake_slack import CHANNEL, FakeSlack
from tests.support.incidents import plain_incident

WaitUntil = Callable[[Callable[[], object], float, str], object]
EXAMPLES = CHECKOUT / "docs" / "examples"


@pytest.fixture
def here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """Tasks see this test's servers and Slack."""
    slack = FakeSlack()
    told = {"SLACK_BOT_TOKEN": slack.token, "SLACK_CHANNEL": CHANNEL, "SLACK_API_URL": slack.url}
    with_slack = Settings.model_validate(
        {name: value for name, value in settings.model_dump().items() if not name.startswith("slack_")} | told
    )
    monkeypatch.setattr(hooks, "load_settings", lambda: with_slack)
    monkeypatch.setattr("streaming.settings.load_settings", lambda: with_slack)
    yield slack
    slack.close()


def log(service: str, age: timedelta = timedelta(), level: str = "ERROR") -> dict[str, object]:
    at = datetime.now(UTC) - age
    return {"@timestamp": at.isoformat(), "log": {"level": level}, "service": {"name": service}}


@pytest.fixture
def logs(settings: Settings) -> str:
    """Indices with five errors of the last hour."""
    index = f"{settings.index_prefix}-logs-default-2026.11.26"
    mappings = {
        "properties": {
            "@timestamp": {"type": "date"},
            "log": {"properties": {"level": {"type": "keyword"}}},
            "service": {"properties": {"name": {"type": "keyword"}}},
        }
    }
    with Elasticsearch(settings.elasticsearch) as client:
        client.indices.create(index=index, mappings=mappings, settings={"number_of_replicas": 0})
        old, info = log("order", timedelta(hours=3)), log("order", level="INFO")
        for document in (*[log("pay <!here>")] * 3, *[log("order")] * 2, old, info):
            client.index(index=index, document=document, refresh=True)
    return f"{settings.index_prefix}-logs-*"


def test_the_example_counts_and_tells(
    airflow_database: None, topics: TopicReport, here: FakeSlack, logs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(EXAMPLES))  # `dag.test()` runs what is there
    bag = DagBag(dag_folder=EXAMPLES)
    assert bag.import_errors == {}
    dag = bag.dags["error_watch"]
    assert isinstance(dag, DAG)
    run = dag.test(run_conf={"logs": logs})
    assert {ti.task_id: str(ti.state) for ti in run.get_task_instances()} == dict.fromkeys(dag.task_ids, "success")
    (message,) = here.messages
    assert message.text == "Errors of the last hour\npay &lt;!here&gt;: 3\norder: 2"


def test_the_documentation_shows_this_example() -> None:
    shown = (CHECKOUT / "docs" / "airflow.md").read_text(encoding="utf-8")
    assert (EXAMPLES / "error_watch.py").read_text(encoding="utf-8") in shown


def test_the_lag_of_a_worker(topics: TopicReport, settings: Settings, here: FakeSlack, wait_until: WaitUntil) -> None:
    trigger = LagBelowSensor(task_id="lag", worker="indexer", below=3).trigger(0)
    wait_until(lambda: trigger.look_once().outcome is Outcome.MET, 20, "nothing is there to read")
    out = Producer({"bootstrap.servers": settings.bootstrap})
    for number in range(5):
        out.produce(settings.topic(catalogue.LOGS), b"{}", key=str(number))
    assert out.flush(30) == 0
    seen = trigger.look_once()
    assert (seen.outcome, seen.reason) == (Outcome.WAITING, "indexer is 5 records behind")
    trigger.close()


def test_an_index_that_is_there_or_not(settings: Settings, here: FakeSlack, logs: str) -> None:
    for health in ("yellow", "green"):
        seen = IndexReadySensor(task_id="i", index=logs, health=health).trigger(0).look_once()
        assert (seen.outcome, seen.reason) == (Outcome.MET, f"{logs} is green")
    missing = f"{settings.index_prefix}-none"
    for name in (missing, f"{missing}-*"):
        seen = IndexReadySensor(task_id="i", index=name).trigger(0).look_once()
        assert (seen.outcome, seen.reason) == (Outcome.WAITING, f"there is no index {name}")


def test_an_incident_as_the_manager_committed_it(topics: TopicReport, settings: Settings, here: FakeSlack) -> None:
    fires = plain_incident()
    trigger = IncidentStateSensor(task_id="i", rule=fires.rule_id, states=("firing",)).trigger(0)
    assert trigger.look_once().outcome is Outcome.WAITING
    out = Producer({"bootstrap.servers": settings.bootstrap})
    out.produce(settings.topic(catalogue.INCIDENT_STATE), msgspec.json.encode(fires), key=fires.incident_id)
    assert out.flush(30) == 0
    assert trigger.look_once().outcome is Outcome.MET


def test_servers_that_are_away_are_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 1 (tcpmux) takes no connection on a machine that is not decades old.
    away = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1", "elasticsearch_url": "http://127.0.0.1:1"})
    monkeypatch.setattr(hooks, "load_settings", lambda: away)
    monkeypatch.setattr("streaming.settings.load_settings", lambda: away)
    for sensor in (
        IndexReadySensor(task_id="i", index="x"),
        LagBelowSensor(task_id="l", worker="indexer"),
    ):
        trigger = sensor.trigger(0)
        seen = trigger.look_once()
        trigger.close()
        assert seen.outcome is Outcome.WAITING
        assert "does not answer" in seen.reason
