"""What an inventory may say, what follows from it, and what a person reads where it is wrong."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import cast

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.machines.inventory import Inventory, load, parse
from infra.machines.placement import MULTIPLICITY, SERVICES, START_ORDER, Role
from streaming.errors import ConfigError
from streaming.settings import CHECKOUT
from tests.support.inventories import CONSUMER_ROLES, PRODUCER_ROLES, inventory, machine, two_machines

Tree = dict[str, object]


def changed(path: str, value: object) -> Tree:
    """The inventory of two machines with one field set, or taken out where `value` is None."""
    tree = two_machines()
    *folders, last = path.split(".")
    place = tree
    for name in folders:
        place = cast(Tree, place[name])
    if value is None:
        del place[last]
    else:
        place[last] = value
    return tree


def test_what_follows_from_the_two_machines() -> None:
    found = inventory()
    assert found.kafka_inside == "10.77.0.11:9092,10.77.0.12:9092"
    assert found.kafka_outside == "127.0.0.1:19011,127.0.0.1:19012"
    assert found.elasticsearch_inside == "https://10.77.0.12:9243"
    assert found.elasticsearch_outside == "https://127.0.0.1:19212"
    assert found.kibana_outside is None
    assert (found.machines["producer"].ssh_address.host, found.machines["producer"].ssh_address.port) == (
        "127.0.0.1",
        2211,
    )
    assert list(map(str, found.instances("consumer"))) == [
        "kafka@consumer",
        "elasticsearch@consumer",
        "elasticsearch-proxy@consumer",
        "matcher@consumer",
        "manager@consumer",
        "notifier@consumer",
        "heartbeat-monitor@consumer",
    ]
    units = [instance.unit for instance in found.instances("producer")]
    assert units[:5] == [
        "vigil-kafka.service",
        "vigil-indexer.service",
        "vigil-templates.service",
        "vigil-matcher-standby.service",
        "vigil-manager-standby.service",
    ]
    assert {i.slot for i in found.placement if i.machine == "producer" and i.service == "manager"} == {1}


def test_machines_of_ones_own_are_reached_at_their_own_addresses(tmp_path: Path) -> None:
    file = tmp_path / "inventory.yaml"
    file.write_text(
        """
deployment: mine
network: 192.168.7.0/24
machines:
  one: {address: 192.168.7.5, roles: [controller, broker, elasticsearch, kibana, indexing, alerting, collecting]}
"""
    )
    found = load(file)
    assert found.machines["one"].ssh_address.port == 22
    assert found.machines["one"].ssh_address.host == "192.168.7.5"
    assert found.machines["one"].user == "vigil-operator"
    assert found.kafka_outside == "192.168.7.5:9094"
    assert found.elasticsearch_outside == "https://192.168.7.5:9243"
    assert found.kibana_outside == "https://192.168.7.5:5601"


def test_json_and_yaml_mean_the_same(tmp_path: Path) -> None:
    as_json, as_yaml = tmp_path / "i.json", tmp_path / "i.yaml"
    as_json.write_text(json.dumps(two_machines(), indent="\t"))
    as_yaml.write_text(yaml.safe_dump(two_machines()))
    assert load(as_json) == load(as_yaml) == inventory()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("machines.producer.address", "10.78.0.11", r"producer.address: 10.78.0.11 is no address of a machine"),
        ("machines.producer.address", "10.77.0.0", "is no address of a machine in 10.77.0.0/24"),
        ("machines.producer.address", "10.77.0.255", "is no address of a machine in 10.77.0.0/24"),
        ("machines.producer.address", "10.77.0.12", "10.77.0.12 is producer's too. Take a free one"),
        ("machines.producer.address", "10.77.0", "machines.producer.address: "),
        ("machines.producer.address", 172818443, "machines.producer.address: is no text"),
        ("machines.producer.ssh.port", 2212, "machines.consumer.ssh: 127.0.0.1:2212 is producer's too"),
        ("machines.producer.ssh.port", 70000, "machines.producer.ssh.port: "),
        ("machines.producer.ssh.port", "22", "machines.producer.ssh.port: "),
        ("machines.producer.ssh.host", "-oProxyCommand=x", "machines.producer.ssh.host: "),
        ("machines.producer.user", "root; id", "machines.producer.user: "),
        ("machines.producer.forwards.kafka.host_port", 2211, "kafka.host_port: 2211 is producer.ssh's too"),
        ("machines.producer.forwards.kibana", {"host_port": 1, "guest_port": 2}, "without the role kibana. Remove it"),
        ("machines.producer.forwards.smtp", {"host_port": 1, "guest_port": 2}, "machines.producer.forwards.smtp: "),
        ("machines.producer.roles", ["broker"], "machines: none of the machines has the role controller. Give it to 1"),
        ("machines.producer.roles", ["broker", "cook"], "machines.producer.roles.1: "),
        ("machines.producer.roles", [], "machines.producer.roles: "),
        ("machines.producer.roles", [*PRODUCER_ROLES, "broker"], "machines.producer.roles: has broker 2 times"),
        ("machines.producer.roles", [*PRODUCER_ROLES, "alerting"], r"2 \(producer, consumer\) of the machines has"),
        ("machines.consumer.roles", [*CONSUMER_ROLES, "standby"], "is both alerting and standby"),
        ("machines.consumer.roles", ["broker"], "role elasticsearch. Give it to at least 1 machine"),
        ("machines.consumer", None, "role elasticsearch"),
        ("machines", {}, "machines: "),
        ("machines.Producer", machine(13, ["broker"]), "machines.Producer: "),
        ("machines.producer.color", "red", "machines.producer.color: Extra inputs are not permitted"),
        ("deployment", "../x", "deployment: "),
        ("network", "10.77.0.1/24", "network: "),
        ("network", None, "network: Field required"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_field_and_remedy(path: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse(changed(path, value), "my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert caught.value.remedy


@pytest.mark.parametrize("value", [None, [], "text", 7])
def test_what_is_no_inventory_at_all_is_told(value: object) -> None:
    with pytest.raises(ConfigError, match="x: the whole: "):
        parse(value, "x")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    file = tmp_path / "i.yaml"
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        load(file)
    file.write_text("a: 1\nb: [")
    with pytest.raises(ConfigError, match=r"i.yaml:2: is neither JSON nor YAML"):
        load(file)
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(file)
    file.write_text("!!python/object/apply:os.system [id]")
    with pytest.raises(ConfigError, match="is neither JSON nor YAML"):
        load(file)
    file.write_bytes(b"#" * 2_000_000)
    with pytest.raises(ConfigError, match="has more than"):
        load(file)


ROLES = st.lists(st.sampled_from(Role), unique=True, min_size=1)


@settings(max_examples=40)
@given(st.dictionaries(st.integers(1, 254), ROLES, min_size=1, max_size=6))
def test_any_machines_either_make_a_whole_deployment_or_are_refused(machines: dict[int, list[Role]]) -> None:
    tree: Tree = {
        "deployment": "d",
        "network": "10.77.0.0/24",
        "machines": {f"m{number}": machine(number, [*roles]) for number, roles in machines.items()},
    }
    whole = all(
        sum(role in roles for roles in machines.values()) in allowed.counts for role, allowed in MULTIPLICITY.items()
    ) and not any({Role.ALERTING, Role.STANDBY} <= set(roles) for roles in machines.values())
    try:
        found = parse(tree, "x")
    except ConfigError:
        assert not whole
        return
    assert whole
    holds_what_follows(found)


def holds_what_follows(found: Inventory) -> None:
    placed = found.placement
    # A unit is once on a machine, and a slot once among those of a kind that need one.
    assert len({(instance.machine, instance.unit) for instance in placed}) == len(placed)
    assert [instance.service for instance in placed] == sorted(
        (instance.service for instance in placed), key=START_ORDER.index
    )
    for service in ("matcher", "manager", "notifier", "heartbeat-monitor"):
        slots = [instance.slot for instance in placed if instance.service == service]
        assert slots == list(range(len(slots)))
    assert sum(instance.service == "templates" for instance in placed) == 1
    assert {instance.machine for instance in placed} <= set(found.machines)
    assert len(found.kafka_inside.split(",")) == len(set(found.kafka_outside.split(",")))


@settings(max_examples=40)
@given(st.integers(13, 199), st.sets(st.sampled_from([Role.BROKER, Role.STANDBY, Role.INDEXING]), min_size=1))
def test_a_machine_that_is_added_changes_nothing_on_the_others(number: int, roles: set[Role]) -> None:
    before = inventory()
    tree = changed("machines.more", machine(number, sorted(roles)))
    after = parse(tree, "x")
    assert [i for i in after.placement if i.machine != "more"] == list(before.placement)


@settings(max_examples=40)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)))  # fmt: skip  # noqa: E501
def test_nonsense_is_an_error_for_people_and_nothing_else(value: object) -> None:
    for tree in (value, {**two_machines(), "machines": value}, changed("machines.producer", value or 0)):
        with pytest.raises(ConfigError):
            parse(tree, "x")


def test_addresses_are_of_ipv4(tmp_path: Path) -> None:
    assert inventory().network == IPv4Network("10.77.0.0/24")
    with pytest.raises(ConfigError, match="network"):
        parse(changed("network", "fd00::/64"), "x")


DOCUMENT = (CHECKOUT / "docs" / "machines.md").read_text(encoding="utf-8")


def test_the_documents_example_is_an_inventory(tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(DOCUMENT.split("```yaml\n")[1].split("```")[0])
    found = load(file)
    assert found.kafka_outside == "192.168.7.11:9094,192.168.7.12:9094"
    assert found.elasticsearch_outside == "https://192.168.7.12:9243"


def test_the_document_names_every_role_with_its_services() -> None:
    rows = dict(line.strip("| ").split(" | ")[:2] for line in DOCUMENT.splitlines() if line.startswith("| `"))
    for role in Role:
        said = rows[f"`{role}`"]
        if role is not Role.STANDBY:
            assert [name for name in START_ORDER if name in said.replace(",", " ").split()] == [*SERVICES[role]]
