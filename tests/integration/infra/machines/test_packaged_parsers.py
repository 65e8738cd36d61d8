"""Configuration of a packaged Elasticsearch before its own parsers: settings, certificates, and what keys may do."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.jars import ensure_jars
from infra.machines.contents import certificates_of
from infra.machines.elastic.configuration import files
from infra.machines.elastic.rights import CLIENTS, ROLE, descriptors
from infra.machines.elastic.serve import lay_out
from infra.machines.inventory import Inventory, parse
from infra.machines.programs import Software
from infra.machines.secret_store import SecretStore
from streaming.errors import Unavailable
from streaming.settings import CHECKOUT
from tests.support.elastic_parsers import Answered, Asked, Question, ask
from tests.support.inventories import inventory
from tests.support.virtualbox.base_image import cache

LOG, LAST = "vigil-logs-app-2026.11.26", "vigil-incidents-2026.11"
WRITES = ("bulk", "bulk[s]", "index", "index:op_type/create")
YES = [
    *(Question("indexer", f"indices:data/write/{action}", index) for index in (LOG, LAST) for action in WRITES),
    Question("indexer", "indices:admin/create", LOG),
    Question("indexer", "indices:admin/mapping/put", LOG),
    Question("indexer", "indices:admin/mappings/get", LOG),
    Question("indexer", "indices:admin/settings/update", LOG),
    Question("indexer", "indices:data/read/mget", LAST),
    Question("indexer", "cluster:monitor/health"),
    Question("indexer", "indices:admin/index_template/put"),
    Question("indexer", "indices:admin/index_template/get"),
    Question("control", "indices:admin/delete", LOG),
    Question("control", "indices:data/read/search", LOG),
    Question("control", "cluster:admin/snapshot/create"),
]
NO = [
    Question("indexer", "indices:admin/delete", LOG),
    Question("indexer", "indices:data/write/delete", LOG),
    Question("indexer", "indices:data/read/search", LOG),
    Question("indexer", "indices:data/write/index", ".security-7"),
    Question("indexer", "indices:data/write/index", "others"),
    Question("indexer", "cluster:admin/xpack/security/api_key/create"),
    Question("indexer", "cluster:admin/settings/update"),
    Question("control", "indices:data/read/search", "others"),
    Question("control", "cluster:admin/xpack/security/user/put"),
    Question("kibana-objects", "indices:data/read/search", LOG),
    Question("kibana-objects", "cluster:monitor/health"),
]


def several() -> Inventory:
    machines = {
        "a": {"address": "10.77.0.11", "roles": ["controller", "broker", "collecting", "indexing", "elasticsearch"]},
        "b": {"address": "10.77.0.12", "roles": ["broker", "elasticsearch", "alerting"]},
        "c": {"address": "10.77.0.13", "roles": ["broker", "elasticsearch"]},
    }
    return parse({"deployment": "d", "network": "10.77.0.0/24", "machines": machines}, "test")


def laid_out(tmp_path: Path, given: Inventory, machine: str) -> Path:
    store, source, credentials = SecretStore(tmp_path / "secrets", "d"), tmp_path / "etc", tmp_path / "credentials"
    source.mkdir(parents=True)
    credentials.mkdir()
    for name, text in files(given, machine).items():
        (source / name).write_text(text)
    file = f"elasticsearch@{machine}"
    issued = store.certificate(file, *certificates_of(given, Software.PACKAGES)[file])
    (credentials / "keystore").write_bytes(issued.keystore)
    target = tmp_path / "home" / "config"
    target.parent.mkdir()
    lay_out(source, store.authority, credentials, target, tmp_path / "data")
    return target


def answered(*asked: Asked) -> list[Answered]:
    try:
        ensure_jars(CHECKOUT / ".vigil" / "jars", print)
        return ask(list(asked), CHECKOUT / ".vigil" / "jars", cache() / "elastic-parsers")
    except Unavailable as error:
        pytest.skip(f"the jars of Elasticsearch's security cannot be had: {error}")


def test_elasticsearch_takes_settings_certificates_and_rights_and_refuses_what_is_wrong(tmp_path: Path) -> None:
    one, many, wrong = (tmp_path / name for name in ("one", "many", "wrong"))
    alone = laid_out(one, inventory(), "consumer")
    among = laid_out(many, several(), "b")
    settings = laid_out(wrong, several(), "b") / "elasticsearch.yml"
    assert "initial_master_nodes" in settings.read_text()
    settings.write_text(settings.read_text() + "xpack.security.htp.ssl.enabled: true\n")
    roles = {client: descriptors(client, "vigil")[ROLE] for client in CLIENTS}
    bad = {"bad": {"indices": [{"names": ["a"], "privileges": ["raed"]}]}}

    first, second, third = answered(
        Asked(str(alone), roles, [*YES, *NO]),  # type: ignore[arg-type]  # each is an object
        Asked(str(among)),
        Asked(str(settings.parent), bad),  # type: ignore[arg-type]
    )

    assert first.refused == second.refused == []
    assert first.certificates == second.certificates == ["CN=Vigil authority of d", "CN=elasticsearch"]
    assert [one for one, may in zip(YES, first.may, strict=False) if not may] == []
    assert [one for one, may in zip(NO, first.may[len(YES) :], strict=True) if may] == []
    assert len(third.refused) == 2
    assert "unknown setting [xpack.security.htp.ssl.enabled]" in third.refused[0]
    assert "raed" in third.refused[1]
