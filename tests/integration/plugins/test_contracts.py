"""The tasks that bring topics and index templates to what is declared, on the real servers."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from vigil_airflow import hooks
from vigil_airflow.operators.schema import CreateTopicsOperator, InstallIndexTemplatesOperator

from streaming.elastic.connection import Connection
from streaming.elastic.mapping import template_name
from streaming.errors import Unavailable
from streaming.kafka.topics import CATALOGUE
from streaming.settings import Settings

CONTEXT: Any = {}
"""The operators use nothing of it."""


@pytest.fixture(autouse=True)
def _here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "load_settings", lambda: settings)


def test_topics_are_created_and_again_is_harmless(settings: Settings) -> None:
    for _ in range(2):
        CreateTopicsOperator(task_id="t").execute(CONTEXT)
        found = AdminClient({"bootstrap.servers": settings.bootstrap}).list_topics(timeout=10).topics
        assert {settings.topic(t.name): t.partitions for t in CATALOGUE}.items() <= {
            name: len(topic.partitions) for name, topic in found.items()
        }.items()


def test_templates_are_installed_and_again_is_harmless(settings: Settings) -> None:
    connection = Connection(settings.elastic)
    for _ in range(2):
        InstallIndexTemplatesOperator(task_id="t").execute(CONTEXT)
        path = f"/_index_template/{template_name(settings.index_prefix)}"
        assert connection.request("GET", path).status == 200
    connection.close()


@pytest.mark.parametrize("operator", [CreateTopicsOperator, InstallIndexTemplatesOperator])
def test_a_server_that_is_away_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, operator: type[CreateTopicsOperator]
) -> None:
    # Port 1 (tcpmux) takes no connection on a machine that is not decades old.
    away = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1", "elasticsearch_url": "http://127.0.0.1:1"})
    monkeypatch.setattr(hooks, "load_settings", lambda: away)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        operator(task_id="t").execute(CONTEXT)
