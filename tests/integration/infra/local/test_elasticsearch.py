"""Elasticsearch's process: what clients see, what survives a kill, how it ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from elasticsearch import Elasticsearch, NotFoundError, TransportError

from streaming.settings import Settings

T = TypeVar("T")


class Launch(Protocol):
    def __call__(
        self, module: str, *arguments: str, environment: dict[str, str], log: Path | None = None
    ) -> subprocess.Popen[bytes]: ...


class WaitUntil(Protocol):
    def __call__(self, predicate: Callable[[], T], timeout_s: float, what: str) -> T: ...


@pytest.fixture
def client(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch_url) as found:
        yield found


def test_clients_recognise_it(client: Elasticsearch) -> None:
    found = client.info()
    assert found["version"]["number"] == "9.5.3"
    assert found["version"]["build_snapshot"] is False
    assert len(found["cluster_uuid"]) == 22
    assert client.ping()
    assert found.meta.headers["x-elastic-product"] == "Elasticsearch"


def test_indices_of_vigil_are_never_made_by_a_write(client: Elasticsearch, settings: Settings) -> None:
    name = f"{settings.index_prefix}-logs"
    with pytest.raises(NotFoundError, match="auto_create_index"):
        client.index(index=name, document={"message": "late"})
    assert not client.indices.exists(index=name)
    client.indices.create(index=name)
    client.index(index=name, document={"message": "in time"}, refresh=True)
    assert client.count(index=name)["count"] == 1


def test_snapshots_have_a_place(client: Elasticsearch, settings: Settings) -> None:
    name = settings.index_prefix
    client.snapshot.create_repository(name=name, repository={"type": "fs", "settings": {"location": name}})
    client.snapshot.delete_repository(name=name)


@pytest.fixture
def own(empty_home: Path, free_port: Callable[[], int]) -> Settings:
    """An Elasticsearch of the test's own."""
    return Settings(
        home=empty_home,
        bind_host="127.0.0.1",
        elasticsearch_port=free_port(),
        elasticsearch_transport_port=free_port(),
    )


def answers(client: Elasticsearch) -> bool:
    try:
        return client.cluster.health()["status"] in ("green", "yellow")
    except TransportError:
        return False


def test_its_life(
    own: Settings, launch: Launch, wait_until: WaitUntil, as_environment: Callable[[Settings], dict[str, str]]
) -> None:
    """One test, since each start takes seconds: killed and started again, refused twice, ended by TERM."""
    environment = as_environment(own)
    with Elasticsearch(own.elasticsearch, max_retries=0) as client:
        first = launch("infra.local.elasticsearch", environment=environment)
        wait_until(lambda: answers(client), 90, "Elasticsearch answers")
        client.indices.create(index="vigil-kept", settings={"number_of_replicas": 0})
        for number in range(20):
            client.index(index="vigil-kept", id=str(number), document={"number": number})
        first.kill()
        first.wait()

        log = own.home / "restarted"
        again = launch("infra.local.elasticsearch", environment=environment, log=log)
        wait_until(lambda: answers(client), 90, "Elasticsearch answers again")
        client.indices.refresh(index="vigil-kept")
        assert client.count(index="vigil-kept")["count"] == 20

        second = launch("infra.local.elasticsearch", environment=environment, log=own.home / "second")
        assert second.wait(30) == 69
        assert (own.home / "second").read_text(encoding="utf-8").splitlines() == [
            f"vigil: 127.0.0.1:{own.elasticsearch_port} cannot be used: Address already in use. Stop what listens "
            "there, or set VIGIL_ELASTICSEARCH_PORT"
        ]
        assert answers(client)

    again.send_signal(signal.SIGTERM)
    assert again.wait(10) == 0
    assert log.read_text(encoding="utf-8").splitlines()[-1] == "closed"
