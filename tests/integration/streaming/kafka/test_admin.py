"""Topics on a real broker: created, mended, reported."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the package does not list its exports
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from streaming.errors import Unavailable
from streaming.kafka.admin import Drift, Repair, TopicReport, ensure_topics
from streaming.kafka.topics import CATALOGUE, LOGS
from streaming.settings import Settings


class WaitUntil(Protocol):
    def __call__(self, predicate: Callable[[], bool], timeout_s: float, what: str) -> bool: ...


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    return ("kafka",)


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.bootstrap})


def names(settings: Settings) -> tuple[str, ...]:
    return tuple(settings.topic(topic.name) for topic in CATALOGUE)


def config(admin: AdminClient, topic: str) -> dict[str, str]:
    (described,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return {key: entry.value for key, entry in described.result().items()}


def test_creates_the_catalogue_once(settings: Settings, admin: AdminClient) -> None:
    assert ensure_topics(settings) == TopicReport(names(settings), (), (), ())
    known = admin.list_topics(timeout=10).topics
    for topic in CATALOGUE:
        made = known[settings.topic(topic.name)]
        assert len(made.partitions) == topic.partitions
        assert all(partition.leader >= 0 for partition in made.partitions.values())
        assert config(admin, settings.topic(topic.name)).items() >= topic.config.items()
    assert ensure_topics(settings) == TopicReport((), (), (), names(settings))


def test_sets_back_a_setting_that_drifted_and_leaves_others(
    settings: Settings, admin: AdminClient, wait_until: WaitUntil
) -> None:
    ensure_topics(settings)
    logs = settings.topic(LOGS)
    changes = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in {"retention.ms": "1234", "segment.ms": "60000"}.items()
    ]
    for future in admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, logs, incremental_configs=changes)]
    ).values():
        future.result()
    wait_until(lambda: config(admin, logs)["retention.ms"] == "1234", 10, "the broker applies the change")
    declared = next(topic for topic in CATALOGUE if topic.name == LOGS).config["retention.ms"]

    assert ensure_topics(settings).repaired == (Repair(logs, "retention.ms", "1234", declared),)
    after = config(admin, logs)
    assert (after["retention.ms"], after["segment.ms"]) == (declared, "60000")
    assert ensure_topics(settings).repaired == ()


def test_reports_a_wrong_number_of_partitions_and_adds_none(settings: Settings, admin: AdminClient) -> None:
    logs = settings.topic(LOGS)
    admin.create_topics([NewTopic(logs, 2, 1)])[logs].result()
    report = ensure_topics(settings)
    assert [one.topic for one in report.drift] == [logs]
    assert isinstance(report.drift[0], Drift)
    assert "has 2 partitions, 6 are declared" in report.drift[0].difference
    assert len(admin.list_topics(logs, timeout=10).topics[logs].partitions) == 2


def test_several_processes_may_do_it_at_once(settings: Settings) -> None:
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: ensure_topics(settings), range(3)))
    created = [name for report in reports for name in report.created]
    assert sorted(created) == sorted(names(settings))


def test_an_absent_kafka_is_named(
    settings: Settings, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.kafka.admin.ANSWER_WITHIN_S", 0.5)
    elsewhere = settings.model_copy(update={"kafka_port": free_port()})
    with pytest.raises(Unavailable, match=f"Kafka at 127.0.0.1:{elsewhere.kafka_port}"):
        ensure_topics(elsewhere)
