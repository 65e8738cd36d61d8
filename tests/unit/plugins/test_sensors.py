"""Sensors and their triggers, without a server: they look, defer, wait, and say why they gave up."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any, ClassVar, cast

import pytest
from airflow.sdk import Context
from airflow.sdk._shared.module_loading import import_string
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred
from vigil_airflow.elastic import VigilElasticsearchHook
from vigil_airflow.outcomes import Outcome, Seen
from vigil_airflow.sensors import (
    IncidentStateSensor,
    IndexReadySensor,
    LagBelowSensor,
    ServiceHealthySensor,
    VigilSensor,
)
from vigil_airflow.triggers.incident import IncidentStateTrigger
from vigil_airflow.triggers.polling import PollingTrigger

from infra.service_manager import RunState
from streaming.alerting.messages import Incident, IncidentState
from streaming.errors import ConfigError, Unavailable
from streaming.settings import Settings
from tests.support.incidents import plain_incident

CONTEXT = cast(Context, {})


class Scripted(PollingTrigger):
    """Sees one thing after the other; the last again and again."""

    POLL_S: ClassVar[float] = 0.01
    LOOK_S: ClassVar[float] = 20.0
    script: ClassVar[list[Seen | Exception]] = []

    def __init__(self, deadline: float) -> None:
        super().__init__(deadline)
        self.looks, self.closed = 0, False

    def arguments(self) -> dict[str, Any]:
        return {}

    def look(self) -> Seen:
        found = self.script[min(self.looks, len(self.script) - 1)]
        self.looks += 1
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        self.closed = True


class ScriptedSensor(VigilSensor):
    def trigger(self, deadline: float) -> PollingTrigger:
        return Scripted(deadline)


MET = Seen(Outcome.MET, "it is there")
NOT_YET = Seen(Outcome.WAITING, "it is not there")
AWAY = Unavailable("Kafka at h:9092 does not answer")
WRONG = ConfigError("no worker 'x'", remedy="There are: indexer")


def events(trigger: PollingTrigger) -> list[dict[str, str]]:
    async def collect() -> list[dict[str, str]]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(collect())


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> list[Seen | Exception]:
    made: list[Seen | Exception] = []
    monkeypatch.setattr(Scripted, "script", made)
    return made


def test_a_trigger_fires_once_when_it_is_there(script: list[Seen | Exception]) -> None:
    script += [NOT_YET, AWAY, MET]
    trigger = Scripted(time.time() + 60)
    assert events(trigger) == [{"outcome": "met", "reason": "it is there"}]
    assert (trigger.looks, trigger.closed) == (3, True)


def test_a_silent_server_is_waited_for_and_named_at_the_deadline(script: list[Seen | Exception]) -> None:
    script.append(AWAY)
    assert events(Scripted(time.time() + 0.05)) == [{"outcome": "waiting", "reason": "Kafka at h:9092 does not answer"}]


def test_a_deadline_that_is_over_still_gets_one_look(script: list[Seen | Exception]) -> None:
    script.append(MET)
    assert events(Scripted(time.time() - 100))[0]["outcome"] == "met"


def test_what_can_never_be_is_not_waited_for(script: list[Seen | Exception]) -> None:
    script.append(WRONG)
    assert events(Scripted(time.time() + 60)) == [
        {"outcome": "hopeless", "reason": "no worker 'x'. There are: indexer"}
    ]


def test_a_look_that_hangs_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(self: Scripted) -> Seen:
        release.wait(20)
        return MET

    async def run() -> dict[str, str]:
        try:
            return await anext(event.payload async for event in Scripted(time.time() + 0.05).run())
        finally:
            release.set()  # the loop waits for its threads when it ends

    monkeypatch.setattr(Scripted, "LOOK_S", 0.05)
    monkeypatch.setattr(Scripted, "look", hang)
    assert asyncio.run(run()) == {
        "outcome": "waiting",
        "reason": "no answer to the last look; before: it was not looked for",
    }


def test_a_sensor_succeeds_at_once_or_defers_with_an_absolute_deadline(script: list[Seen | Exception]) -> None:
    script.append(MET)
    assert ScriptedSensor(task_id="s").execute(CONTEXT) == "it is there"
    script[:] = [AWAY]
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        ScriptedSensor(task_id="s", timeout=30).execute(CONTEXT)
    trigger = deferred.value.trigger
    assert isinstance(trigger, Scripted)
    assert before + 30 <= trigger.deadline <= time.time() + 30
    assert deferred.value.method_name == "resume"


@pytest.mark.parametrize(
    ("seen", "error"), [(NOT_YET, AirflowSensorTimeout), (Seen(Outcome.HOPELESS, "no such"), AirflowFailException)]
)
def test_a_sensor_says_why_it_gave_up(seen: Seen, error: type[Exception]) -> None:
    event = {"outcome": str(seen.outcome), "reason": seen.reason}
    with pytest.raises(error, match=seen.reason):
        ScriptedSensor(task_id="s").resume(CONTEXT, event)
    with pytest.raises(AirflowSkipException, match=seen.reason):
        ScriptedSensor(task_id="s", soft_fail=True).resume(CONTEXT, event)
    assert ScriptedSensor(task_id="s").resume(CONTEXT, {"outcome": "met", "reason": "there"}) == "there"


def test_a_sensor_can_wait_in_its_own_process(script: list[Seen | Exception]) -> None:
    script.append(MET)
    assert ScriptedSensor(task_id="s", deferrable=False).execute(CONTEXT) is None
    script[:] = [AWAY]
    with pytest.raises(AirflowSensorTimeout):
        ScriptedSensor(task_id="s", deferrable=False, timeout=0, poke_interval=0.01).execute(CONTEXT)
    script[:] = [WRONG]
    with pytest.raises(AirflowFailException, match="There are: indexer"):
        ScriptedSensor(task_id="s", deferrable=False).execute(CONTEXT)


SENSORS = (
    ServiceHealthySensor(task_id="a", service="kafka"),
    LagBelowSensor(task_id="b", worker="indexer", below=10),
    IndexReadySensor(task_id="c", index="vigil-logs-*", health="green", elasticsearch_conn_id="other"),
    IncidentStateSensor(task_id="d", rule="error-logs", states=("firing", "acknowledged")),
)


@pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: type(sensor).__name__)
def test_the_triggerer_makes_the_same_trigger_again(sensor: VigilSensor) -> None:
    path, arguments = sensor.trigger(1234.5).serialize()
    assert json.loads(json.dumps(arguments)) == arguments
    again = import_string(path)(**arguments)
    assert again.serialize() == (path, arguments)
    assert again.deadline == 1234.5


def the_look(**arguments: Any) -> Seen:
    return IncidentStateSensor(task_id="i", **arguments).trigger(0).look_once()


def test_which_incident_must_be_told() -> None:
    assert the_look().reason.startswith("which incident?")
    assert the_look(rule="a", incident_id="b").outcome is Outcome.HOPELESS
    assert the_look(rule="a", states=["shut"]).reason == (
        "no such state: shut. There are: pending, firing, acknowledged, silenced, resolved"
    )


def test_of_several_incidents_the_latest_counts() -> None:
    def judged(*incidents: Incident, **named: str) -> Seen:
        asked = {"incident_id": "", "incident_key": "", "rule": "", **named}
        return IncidentStateTrigger(["resolved"], target="local", deadline=0, **asked).judge(incidents)

    fires = plain_incident(incident_id="A" * 26, state=IncidentState.FIRING)
    over = plain_incident(incident_id="B" * 26, state=IncidentState.RESOLVED)
    rule = fires.rule_id
    assert judged(rule=rule) == Seen(Outcome.WAITING, f"there is no incident of rule {rule}")
    assert judged(fires, over, rule=rule).outcome is Outcome.WAITING
    assert judged(fires, over, incident_id="B" * 26) == Seen(
        Outcome.MET, f"incident {'B' * 26} of rule {rule} is resolved"
    )
    assert judged(over, fires, incident_key=over.incident_key).outcome is Outcome.MET


def test_no_such_worker_or_health() -> None:
    lag = LagBelowSensor(task_id="l", worker="indexxer").trigger(0).look_once()
    assert lag == Seen(
        Outcome.HOPELESS,
        "no worker 'indexxer' reads Kafka. There are: indexer, matcher, manager, notifier, heartbeat-monitor",
    )
    assert IndexReadySensor(task_id="i", index="x", health="red").trigger(0).look_once().outcome is Outcome.HOPELESS


def test_a_service_that_is_stopped_is_waited_for(platform: Any) -> None:
    trigger = ServiceHealthySensor(task_id="s", service="indexer").trigger(0)
    assert trigger.look_once().outcome is Outcome.WAITING
    platform.start("indexer")
    seen = [trigger.look_once().outcome for _ in range(3)]
    assert seen[-1] is Outcome.MET
    assert platform.status("indexer").state is RunState.RUNNING
    assert ServiceHealthySensor(task_id="t", service="kafkka").trigger(0).look_once().outcome is Outcome.HOPELESS


def test_elasticsearch_by_settings_or_by_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(elasticsearch_url="http://es.test:9201")
    hook = VigilElasticsearchHook(settings=settings)
    assert [node.base_url for node in hook.client.transport.node_pool.all()] == ["http://es.test:9201"]
    hook.close()
    connection = {"conn_type": "elasticsearch", "host": "other.test", "port": 443, "schema": "https"}
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps(connection))
    hook = VigilElasticsearchHook("mine")
    assert [node.base_url for node in hook.get_conn().transport.node_pool.all()] == ["https://other.test:443"]
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps({"conn_type": "elasticsearch", "host": "h"}))
    with pytest.raises(ConfigError, match="connection mine: host and port"):
        VigilElasticsearchHook("mine").client  # noqa: B018
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps({**connection, "extra": {"no_such_option": 1}}))
    with pytest.raises(ConfigError, match=r"no_such_option.*See its extra"):
        VigilElasticsearchHook("mine").client  # noqa: B018
