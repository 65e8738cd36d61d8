"""Between Elasticsearch and its clients: machines are given keys where there are new ones, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.machines import deploying
from infra.machines.elastic import steps
from infra.machines.elastic.security import Security, key_name
from infra.machines.gates import probe
from infra.machines.programs import Software
from infra.machines.services import services_of
from infra.machines.target import Machines
from infra.services import catalogue
from streaming.settings import Settings
from tests.support.inventories import with_kibana


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    return Machines(Settings(), with_kibana(), tmp_path, Software.PACKAGES)


def test_machines_are_configured_again_where_something_is_new(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured, told = list[Machines](), list[str]()

    def ensure(self: Security) -> tuple[str, ...]:
        if machines.store.elastic.secret(key_name("indexer")):
            return ()
        machines.store.elastic.keep(key_name("indexer"), "key")
        return ("indexer",)

    def configure(found: Machines, _: object) -> dict[str, object]:
        configured.append(found)
        return {}

    monkeypatch.setattr(Security, "ensure", ensure)
    monkeypatch.setattr(deploying, "configure", configure)
    steps.bring_keys(machines, told.append)
    assert configured == [machines]
    steps.bring_keys(machines, told.append)
    assert configured == [machines]


def test_its_health_is_asked_by_its_forward_with_the_hosts_key(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Settings] = []
    monkeypatch.setattr("infra.gates.probe", lambda _, settings, __: asked.append(settings))
    machines.store.elastic.keep(key_name("control"), "key")
    service = next(one for one in catalogue(machines.settings) if one.name == "elasticsearch")
    probe(machines, service)
    assert [(one.elasticsearch_url, one.elasticsearch_api_key.get_secret_value()) for one in asked] == [
        ("https://127.0.0.1:19212", "key")
    ]


def test_a_real_fluentd_is_asked_whether_it_takes_connections(machines: Machines) -> None:
    found = services_of(machines)
    assert found["accumulator1"].gate == "port"
    assert "kibana" in found
    assert "elasticsearch-proxy" not in found
    assert {one.name: one.gate for one in catalogue(machines.client_settings())}["accumulator1"] == "port"
