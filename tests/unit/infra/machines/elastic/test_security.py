"""Passwords, tokens and keys: made once, kept before anything else happens, renewed without a gap."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import msgspec
import pytest

from infra.machines.elastic.kept import Kept
from infra.machines.elastic.rights import CLIENTS, descriptors
from infra.machines.elastic.security import (
    NEXT_PASSWORD,
    PASSWORD,
    TOKEN,
    TOKEN_NAME,
    Security,
    key_name,
    old_key_name,
)
from streaming.elastic.connection import Response
from streaming.elastic.ensure import Refused
from streaming.errors import ConfigError


class Cluster(Security):
    """The part of the security API that is used, in the shapes of its documentation."""

    def __init__(self, kept: Kept) -> None:
        self.told: list[str] = []
        self.mine = kept
        super().__init__("https://127.0.0.1:1", Path("ca.pem"), kept, "vigil", self.told.append)
        self.asked: list[str] = []
        self.password: str | None = None  # that of the keystore holds
        self.keys: dict[str, dict[str, object]] = {}
        self.tokens: dict[str, object] = {}
        self.dies_after = 10_000

    def _once(self, method: str, path: str, body: object) -> Response:
        self.asked.append(f"{method} {path.split('?')[0]}")
        if self.password not in (None, self.mine.password(PASSWORD)):
            return Response(401, b'{"error":{"type":"security_exception","reason":"no"}}', None)
        status, answer = self._answer(method, path, body if isinstance(body, dict) else {})
        if len(self.asked) >= self.dies_after:
            raise KeyboardInterrupt  # after the server has done it, before anybody has the answer
        return Response(status, msgspec.json.encode(answer), None)

    def _answer(self, method: str, path: str, body: dict[str, object]) -> tuple[int, object]:
        match method, path.split("?")[0].split("/")[1:]:
            case "GET", [""]:
                return 200, {"cluster_uuid": "u1"}
            case "GET", ["_security", "_authenticate"]:
                return 200, {"username": "elastic"}
            case "POST", ["_security", "user", "elastic", "_password"]:
                self.password = str(body["password"])
                return 200, {}
            case "GET", ["_security", "service", "elastic", "kibana", "credential"]:
                return 200, {"tokens": self.tokens, "count": len(self.tokens)}
            case "POST", ["_security", "service", "elastic", "kibana", "credential", "token", name]:
                self.tokens[name] = {}
                return 200, {"created": True, "token": {"name": name, "value": f"AAEA-{name}"}}
            case "DELETE", ["_security", "service", "elastic", "kibana", "credential", "token", name]:
                return (200 if self.tokens.pop(name, None) is not None else 404), {"found": True}
            case "POST", ["_security", "api_key"]:
                identity = f"id{len(self.keys)}"
                self.keys[identity] = {**body, "id": identity, "invalidated": False}
                encoded = base64.b64encode(f"{identity}:hush{len(self.keys)}".encode()).decode()
                return 200, {"id": identity, "name": body["name"], "api_key": "hush", "encoded": encoded}
            case "GET", ["_security", "api_key"]:
                identity = re.sub(".*id=", "", path)
                found = [self.keys[identity]] if identity in self.keys else []
                return (200 if found else 404), {"api_keys": found}
            case "PUT", ["_security", "api_key", identity]:
                self.keys[identity] |= body
                return 200, {"updated": True}
            case "DELETE", ["_security", "api_key"]:
                ids = body["ids"]
                assert isinstance(ids, list)
                for identity in ids:
                    self.keys[identity]["invalidated"] = True
                return 200, {"invalidated_api_keys": ids}
        raise AssertionError(f"no such request: {method} {path}")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "elasticsearch.json")


def test_a_second_deployment_changes_nothing(kept: Kept) -> None:
    cluster = Cluster(kept)
    assert cluster.ensure() == tuple(CLIENTS)
    assert cluster.password == kept.password(PASSWORD)
    assert kept.secret(TOKEN) == f"AAEA-{kept.noted(TOKEN_NAME)}"
    assert {key["name"] for key in cluster.keys.values()} == {f"vigil-{client}" for client in CLIENTS}
    values, told = kept.values(), list(cluster.told)
    cluster.asked.clear()
    assert cluster.ensure() == ()
    assert (kept.values(), cluster.told) == (values, told)
    assert {line.split()[0] for line in cluster.asked} == {"GET"}
    assert not any(value in line for value in values for line in cluster.told)


def test_what_was_lost_on_one_side_is_made_anew(kept: Kept) -> None:
    cluster = Cluster(kept)
    cluster.ensure()
    identity = next(name for name, key in cluster.keys.items() if key["name"] == "vigil-indexer")
    cluster.keys[identity]["invalidated"] = True
    kept.drop(key_name("control"))
    cluster.tokens.clear()
    before = kept.secret(TOKEN)
    assert set(cluster.ensure()) == {"indexer", "control"}
    assert kept.secret(TOKEN) != before


def test_other_rights_are_given_to_the_same_key(kept: Kept) -> None:
    cluster = Cluster(kept)
    cluster.ensure()
    secret = kept.secret(key_name("indexer"))
    for key in cluster.keys.values():
        key["metadata"] = {"rights": "of an older version"}
    assert cluster.ensure() == ()
    assert kept.secret(key_name("indexer")) == secret
    assert cluster.keys["id0"]["role_descriptors"] == descriptors("indexer", "vigil")


def test_a_key_is_replaced_and_the_old_one_works_until_it_is_retired(kept: Kept) -> None:
    cluster = Cluster(kept)
    cluster.ensure()
    old = kept.secret(key_name("indexer"))
    cluster.renew_key("indexer")
    assert kept.secret(key_name("indexer")) != old
    assert kept.secret(old_key_name("indexer")) == old
    assert not any(key["invalidated"] for key in cluster.keys.values())
    cluster.retire_old_keys()
    assert [name for name, key in cluster.keys.items() if key["invalidated"]] == ["id0"]
    assert kept.secret(old_key_name("indexer")) is None
    cluster.asked.clear()
    cluster.retire_old_keys()
    assert cluster.asked == []


def test_kibanas_token_is_replaced_and_the_old_one_removed(kept: Kept) -> None:
    cluster = Cluster(kept)
    cluster.ensure()
    before = cluster.renew_kibana_token()
    assert before is not None
    assert len(cluster.tokens) == 2
    cluster.remove_kibana_token(before)
    cluster.remove_kibana_token(before)
    assert list(cluster.tokens) == [kept.noted(TOKEN_NAME)]


def test_a_password_survives_a_crash_at_the_worst_moment(kept: Kept, tmp_path: Path) -> None:
    cluster = Cluster(kept)
    cluster.ensure()
    cluster.dies_after = len(cluster.asked) + 1
    with pytest.raises(KeyboardInterrupt):
        cluster.renew_password()
    again = Kept(tmp_path / "elasticsearch.json")
    assert again.secret(NEXT_PASSWORD) == cluster.password != again.secret(PASSWORD)
    cluster.dies_after = 10_000
    cluster.ensure()
    assert kept.secret(PASSWORD) == cluster.password
    assert kept.secret(NEXT_PASSWORD) is None


def test_a_password_that_was_changed_by_hand_is_told(kept: Kept) -> None:
    cluster = Cluster(kept)
    cluster.password = "by hand"
    with pytest.raises(Refused, match="elasticsearch-reset-password") as told:
        cluster.ensure()
    assert kept.password(PASSWORD) not in str(told.value)


def test_others_may_not_read_what_is_kept(kept: Kept, tmp_path: Path) -> None:
    kept.password("a")
    file = tmp_path / "elasticsearch.json"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        Kept(file)
    file.write_text("{")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="no file of secrets"):
        Kept(file)
