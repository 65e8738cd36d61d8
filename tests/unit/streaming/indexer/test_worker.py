"""The indexer as a worker, with a server that is played: what it asks of Elasticsearch, in which order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

import pytest

from streaming.elastic.connection import JSON, Connection, Response
from streaming.errors import Unavailable
from streaming.indexer import batch, worker
from streaming.indexer.worker import Indexer
from streaming.retention.classes import Retention
from streaming.settings import Settings

if TYPE_CHECKING:
    from tests.unit.streaming.indexer.conftest import MakeMessage


class EmptyElasticsearch(Connection):
    """A server without any template or index; it takes what it is given."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def request(self, method: str, path: str, body: bytes | None = None, content_type: str = JSON) -> Response:
        self.asked.append((method, path))
        return Response(404 if "template" in path and method == "GET" else 200, b"{}", None)


def test_a_server_that_came_back_empty_gets_its_templates_before_an_index(
    message: MakeMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index made without them keeps a guessed mapping for its whole day."""
    monkeypatch.setattr(worker, "Connection", EmptyElasticsearch)
    indexer = Indexer(Settings(kafka_bootstrap="127.0.0.1:1"))
    asked = EmptyElasticsearch.asked = []
    prepared = indexer._preparer.prepare([message(b'{"message": "m"}', received_ns=time.time_ns())])
    _, (request,) = batch.start(prepared, [])
    try:
        indexer._make_indices(request)
    finally:
        indexer.close()
    made = [path for method, path in asked if method == "PUT"]
    assert made[0] == "/_index_template/vigil-logs"
    assert made[-1].startswith("/vigil-logs-default-")


def test_it_takes_nothing_before_it_knows_the_retention_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of today might go where no replay of it would look."""

    def away(_: Settings) -> Retention:
        raise Unavailable("no Kafka")

    monkeypatch.setattr(worker, "Connection", EmptyElasticsearch)
    monkeypatch.setattr(worker, "read_retention", away)
    monkeypatch.setattr(Indexer, "_take", lambda _: pytest.fail("took records"))
    indexer = Indexer(Settings(kafka_bootstrap="127.0.0.1:1"))
    try:
        for _ in range(4):
            indexer.run_once()
        check = indexer.health.answer()["checks"]["retention-classes"]
        assert (check["ok"], "no Kafka" in check["detail"]) == (False, True)
        monkeypatch.setattr(worker, "read_retention", lambda settings: Retention(settings.retention_days))
        indexer._retention._next = 0.0
        while not indexer._know_the_classes():
            indexer._wait()
        assert indexer.health.answer()["checks"]["retention-classes"]["ok"]
    finally:
        indexer.close()
