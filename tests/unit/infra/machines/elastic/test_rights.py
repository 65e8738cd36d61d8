"""What each client of Elasticsearch may do: the indexer all that it does, nobody else anything of it."""

from __future__ import annotations

from fnmatch import fnmatchcase

from infra.machines.contents import ASKS_ELASTICSEARCH
from infra.machines.elastic.rights import CLIENTS, ROLE, descriptors, fingerprint, written_patterns

WRITES = {"all", "create", "index", "write", "create_doc", "delete", "delete_index", "create_index", "manage"}


def indices(client: str) -> dict[str, list[str]]:
    role = descriptors(client, "vigil")[ROLE]
    assert isinstance(role, dict)
    return {one["names"][0]: one["privileges"] for one in role.get("indices", [])}


def test_each_service_that_asks_it_has_a_key() -> None:
    assert set(ASKS_ELASTICSEARCH) <= set(CLIENTS)


def test_the_indexer_writes_what_is_declared_and_deletes_nothing() -> None:
    granted = indices("indexer")
    for pattern in written_patterns("vigil"):
        assert {"create_index", "create", "index"} <= set(granted[pattern]), pattern
    deleting = {"all", "manage", "delete", "delete_index", "write"}
    assert [name for name, privileges in granted.items() if deleting & set(privileges)] == ["vigil-trial-of-logsdb"]


def test_nobody_else_writes_but_the_host() -> None:
    for client in set(CLIENTS) - {"indexer", "control"}:
        assert not any(WRITES & set(privileges) for privileges in indices(client).values()), client


def test_nothing_reaches_beyond_the_indices_of_this_installation() -> None:
    for client in CLIENTS:
        for pattern in indices(client):
            assert fnmatchcase(pattern, "vigil-*")
    assert all(
        name.startswith("other-") for name in (pattern for one in _indices("indexer", "other") for pattern in one)
    )


def _indices(client: str, prefix: str) -> list[list[str]]:
    role = descriptors(client, prefix)[ROLE]
    assert isinstance(role, dict)
    return [one["names"] for one in role["indices"]]


def test_other_rights_have_another_fingerprint() -> None:
    prints = {fingerprint(client, prefix) for client in CLIENTS for prefix in ("vigil", "other")}
    # What brings Kibana's objects has nothing of indices.
    assert len(prints) == 2 * len(CLIENTS) - 1
    assert fingerprint("indexer", "vigil") == fingerprint("indexer", "vigil")
