"""More machines: what each is given follows from the inventory, and one that comes restarts nothing of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.machines.administration import Wanted, affected
from infra.machines.certificates import Issued
from infra.machines.contents import Deployed, certificates_of, contents
from infra.machines.elastic.rights import CLIENTS
from infra.machines.fluentd import KAFKA
from infra.machines.growth import check, quorum_of, remember
from infra.machines.inventory import Inventory, parse
from infra.machines.kafka.configuration import copies, node_id
from infra.machines.kafka.rights import USERS
from infra.machines.packaged import Packaged
from infra.machines.placement import Role
from infra.machines.programs import Software
from streaming.errors import ConfigError
from streaming.settings import Settings

SINGLE = (Role.ALERTING, Role.COLLECTING, Role.SERVICES)
"""Of one machine each."""
ISSUED = Issued(b"-----BEGIN PRIVATE KEY-----\nk\n", b"-----BEGIN CERTIFICATE-----\nc\n")


def inventory(roles: dict[str, list[Role]], first: int = 11) -> Inventory:
    machines = {}
    for number, (name, of_machine) in enumerate(roles.items(), first):
        forwards = {"kafka": {"host_port": 19000 + number, "guest_port": 9094}} if Role.BROKER in of_machine else {}
        ssh = {"host": "127.0.0.1", "port": 2200 + number}
        machines[name] = {"address": f"10.77.0.{number}", "roles": of_machine, "ssh": ssh, "forwards": forwards}
    return parse({"deployment": "d", "network": "10.77.0.0/24", "machines": machines}, "test")


@st.composite
def grown(draw: st.DrawFn) -> tuple[dict[str, list[Role]], Software]:
    """Three to six machines of any allowed roles."""
    software = draw(st.sampled_from(Software))
    names = [f"m{number}" for number in range(draw(st.integers(3, 6)))]
    roles: dict[str, set[Role]] = {name: set() for name in names}

    def give(role: Role, least: int, most: int) -> None:
        for name in draw(st.lists(st.sampled_from(names), min_size=least, max_size=most, unique=True)):
            roles[name].add(role)

    give(Role.CONTROLLER, *draw(st.sampled_from([(1, 1), (3, 3)])))
    give(Role.BROKER, 1, len(names))
    give(Role.INDEXING, 1, len(names))
    give(Role.ELASTICSEARCH, 1, len(names) if software is Software.PACKAGES else 1)
    for role in SINGLE:
        give(role, 1, 1)
    give(Role.STANDBY, 0, len(names))
    for name in names:
        if {Role.ALERTING, Role.STANDBY} <= roles[name]:
            roles[name].remove(Role.STANDBY)
        if not roles[name]:
            roles[name].add(Role.BROKER)
    return {name: [role for role in Role if role in roles[name]] for name in names}, software


@cache
def platform(software: Software) -> Deployed:
    texts = {"fluent1.conf": "", KAFKA: ""}
    keys = Packaged("p", dict.fromkeys(("a",), "b"), {client: f"key-of-{client}" for client in CLIENTS})
    return Deployed(
        Settings(),
        software,
        "cluster",
        "authority",
        {},
        texts,
        {user: f"password-of-{user}" for user in USERS},
        {},
        packaged=keys if software is Software.PACKAGES else None,
    )


def made(found: Inventory, software: Software) -> dict[str, Wanted]:
    base = platform(software)
    given_ = Deployed(
        **{name: getattr(base, name) for name in base.__dataclass_fields__}
        | {"certificates": dict.fromkeys(certificates_of(found, software), ISSUED)}
    )
    return {name: contents(found, name, given_) for name in found.machines}


@given(grown())
@settings(max_examples=12, deadline=None)
def test_what_each_machine_is_given_follows_from_the_inventory(about: tuple[dict[str, list[Role]], Software]) -> None:
    roles, software = about
    found = inventory(roles)
    wanted = made(found, software)
    voters = {text for one in wanted.values() for text in _lines(one, "controller.quorum.voters")}
    assert voters <= {
        ",".join(f"{node_id(found, name)}@{one.address}:9093" for name, one in found.having(Role.CONTROLLER).items())
    }
    for name, one in wanted.items():
        runs_kafka = {Role.CONTROLLER, Role.BROKER} & set(roles[name])
        assert ("kafka/server.properties" in one.files) is bool(runs_kafka)
        if runs_kafka:
            assert _lines(one, "node.id") == [str(node_id(found, name))]
            number = f"default.replication.factor={copies(found)}"
            assert number in one.files["kafka/creation.properties"].splitlines()
        assert {f"env/{s.service}.env" for s in found.instances(name)} >= {
            file for file in one.files if file.startswith("env/")
        }
    assert copies(found) == min(3, len(found.having(Role.BROKER)))
    brokers = wanted[next(iter(roles))].files["brokers.env"]
    assert brokers.count(":9092") == len(found.having(Role.BROKER))


def _lines(one: Wanted, name: str) -> list[str]:
    text = one.files.get("kafka/server.properties", "")
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]


@given(grown())
@settings(max_examples=12, deadline=None)
def test_placement_parts_the_work_without_two_of_a_kind(about: tuple[dict[str, list[Role]], Software]) -> None:
    found = inventory(about[0])
    placed = Counter((one.service, one.machine) for one in found.placement)
    assert set(placed.values()) == {1}
    slots = Counter((one.service, one.slot) for one in found.placement if one.slot)
    assert set(slots.values()) <= {1}
    assert len([one for one in found.placement if one.service == "templates"]) == 1
    assert len([one for one in found.placement if one.service == "indexer"]) == len(found.having(Role.INDEXING))
    files = certificates_of(found, about[1])
    kafka = {name for name, one in found.machines.items() if {Role.CONTROLLER, Role.BROKER} & set(one.roles)}
    assert {file.partition("@")[2] for file in files if file.startswith("kafka@")} == kafka
    for file, (_, names) in files.items():
        machine = file.partition("@")[2]
        assert not names or str(found.machines[machine].address) in names


NEW = [
    [Role.BROKER, Role.INDEXING],
    [Role.BROKER],
    [Role.STANDBY],
    [Role.INDEXING, Role.STANDBY],
]


@given(grown(), st.sampled_from(NEW))
@settings(max_examples=12, deadline=None)
def test_a_machine_that_comes_restarts_nothing(about: tuple[dict[str, list[Role]], Software], new: list[Role]) -> None:
    roles, software = about
    before, after = inventory(roles), inventory({**roles, "new": new})
    old, now = made(before, software), made(after, software)
    for name in before.machines:
        changed = [f"files/{file}" for file, text in now[name].files.items() if old[name].files.get(file) != text]
        changed += [f"units/{unit}" for unit, text in now[name].units.items() if old[name].units.get(unit) != text]
        changed += [
            f"credentials/{at}" for at, value in now[name].secrets.items() if old[name].secrets.get(at) != value
        ]
        assert set(changed) <= {"files/brokers.env", "files/kafka/creation.properties", "files/firewall.nft"}
        assert affected(changed, after.instances(name)) == []
        assert not set(old[name].files) - set(now[name].files)


def _changed(kind: str, old: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [f"{kind}/{name}" for name, text in now.items() if old.get(name) != text]


def test_a_node_of_elasticsearch_restarts_only_one_that_was_alone() -> None:
    base = [Role.CONTROLLER, Role.BROKER, Role.INDEXING, Role.COLLECTING]
    roles = {"a": base, "b": [Role.ELASTICSEARCH, Role.ALERTING], "c": [Role.ELASTICSEARCH], "d": [Role.ELASTICSEARCH]}

    def restarted(count: int) -> list[str]:
        some = {name: roles[name] for name in list(roles)[:count]}
        before, after = inventory(some), inventory({name: roles[name] for name in list(roles)[: count + 1]})
        old, now = made(before, Software.PACKAGES), made(after, Software.PACKAGES)
        return [
            str(one)
            for name in some
            for one in affected(_changed("files", old[name].files, now[name].files), after.instances(name))
        ]

    assert restarted(2) == ["elasticsearch@b"]
    assert restarted(3) == []


ONE = {"a": [Role.CONTROLLER, Role.BROKER, Role.INDEXING, Role.COLLECTING], "b": [Role.ELASTICSEARCH, Role.ALERTING]}


def test_controllers_stay_as_long_as_the_cluster_does(tmp_path: Path) -> None:
    one = inventory(ONE)
    three = inventory({**ONE, "c": [Role.CONTROLLER], "d": [Role.CONTROLLER, Role.BROKER]})
    check(three, Software.UPLOAD, tmp_path, "first")  # nothing runs yet: anything goes
    remember(tmp_path, quorum_of(one, "first"))
    check(one, Software.UPLOAD, tmp_path, "first")
    check(inventory({**ONE, "c": [Role.BROKER]}), Software.UPLOAD, tmp_path, "first")
    with pytest.raises(ConfigError, match=r"controllers 11, and now it has 11, 13, 14.*docs/growth\.md"):
        check(three, Software.UPLOAD, tmp_path, "first")
    check(three, Software.UPLOAD, tmp_path, "second")
    remember(tmp_path, quorum_of(three, "second"))
    with pytest.raises(ConfigError, match="11, 13, 14"):
        check(one, Software.UPLOAD, tmp_path, "second")


def test_the_embedded_elasticsearch_is_one(tmp_path: Path) -> None:
    two = inventory({**ONE, "c": [Role.ELASTICSEARCH]})
    check(two, Software.PACKAGES, tmp_path, "c")
    with pytest.raises(ConfigError, match="b, c have its role"):
        check(two, Software.UPLOAD, tmp_path, "c")
