"""What a packaged Elasticsearch finds when it starts: settings, keys that nobody else can read, a password."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from infra.machines.certificates import Authority
from infra.machines.elastic.configuration import files
from infra.machines.elastic.serve import lay_out, make_keystore
from infra.machines.inventory import Inventory, parse
from streaming.errors import ConfigError

ROLES = ["controller", "broker", "elasticsearch", "indexing", "alerting", "collecting"]


def inventory(*names: str) -> Inventory:
    machines = {
        name: {"address": f"10.77.0.{11 + at}", "roles": ROLES if at == 0 else ["broker", "elasticsearch"]}
        for at, name in enumerate(names)
    }
    return parse({"deployment": "d", "network": "10.77.0.0/24", "machines": machines}, "test")


class Place:
    """The folders of a unit."""

    def __init__(self, root: Path) -> None:
        self.source, self.credentials = root / "elasticsearch", root / "credentials"
        self.target, self.data = root / "run" / "config", root / "data"
        for folder in (self.source, self.credentials, root / "run"):
            folder.mkdir(parents=True)
        self.issued = Authority(root / "ca", "d").issue("elasticsearch", ("a",))
        (self.credentials / "keystore").write_bytes(self.issued.keystore)

    def lay_out(self, given: Inventory) -> dict[str, object]:
        for name, text in files(given, "a").items():
            (self.source / name).write_text(text)
        authority = self.source.parent / "ca" / "ca.pem"
        lay_out(self.source, authority, self.credentials, self.target, self.data)
        found = yaml.safe_load((self.target / "elasticsearch.yml").read_text())
        assert isinstance(found, dict)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_key_and_chain_lie_apart_and_are_private(place: Place) -> None:
    settings = place.lay_out(inventory("a"))
    assert settings["discovery.type"] == "single-node"
    assert (place.target / "tls/key.pem").read_bytes() == place.issued.key
    assert (place.target / "tls/chain.pem").read_bytes() == place.issued.chain
    assert place.target.stat().st_mode & 0o777 == 0o700
    for setting in ("key", "certificate", "certificate_authorities"):
        for named in [settings[f"xpack.security.http.ssl.{setting}"]]:
            for path in named if isinstance(named, list) else [named]:
                assert (place.target / str(path)).is_file()
    assert (place.target / str(settings["xpack.security.transport.ssl.trust_restrictions.path"])).is_file()


def test_a_cluster_is_formed_once_and_a_node_that_lost_nothing_never_says_so_again(place: Place) -> None:
    several = inventory("a", "b", "c")
    assert place.lay_out(several)["cluster.initial_master_nodes"] == ["a", "b", "c"]
    (place.data / "nodes").mkdir(parents=True)
    assert "cluster.initial_master_nodes" not in place.lay_out(several)
    assert (place.target / "unicast_hosts.txt").read_text().splitlines() == [f"10.77.0.{n}:9300" for n in (11, 12, 13)]


def test_one_node_alone_names_no_masters(place: Place) -> None:
    assert "cluster.initial_master_nodes" not in place.lay_out(inventory("a"))


def test_what_a_deployment_did_not_bring_is_named(place: Place) -> None:
    (place.credentials / "keystore").write_text("-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(ConfigError, match="no key"):
        place.lay_out(inventory("a"))
    (place.credentials / "keystore").unlink()
    with pytest.raises(ConfigError, match="Deploy the platform"):
        place.lay_out(inventory("a"))


def test_the_password_goes_by_standard_input(tmp_path: Path) -> None:
    ran: list[tuple[Sequence[str], bytes, Mapping[str, str]]] = []
    make_keystore(tmp_path, b"hush", lambda *about: ran.append(about))
    assert [list(command[1:2]) for command, _, _ in ran] == [["create"], ["add"]]
    assert [stdin for _, stdin, _ in ran] == [b"", b"hush"]
    assert "hush" not in " ".join(word for command, _, _ in ran for word in command)
    assert all(environment == {"VIGIL_ES_PATH_CONF": str(tmp_path)} for _, _, environment in ran)
