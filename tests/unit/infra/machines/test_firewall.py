"""Firewalls of machines: what the flow picture draws is open, and nothing else."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.machines import firewall
from infra.machines.contents import ASKS_ELASTICSEARCH
from infra.machines.elastic.configuration import TRANSPORT
from infra.machines.elastic.rights import CLIENTS
from infra.machines.flows import FLOWS, KAFKA_CLIENTS, picture
from infra.machines.inventory import Firewall, Inventory, parse
from infra.machines.kafka.configuration import Files, server_properties
from infra.machines.kafka.rights import USERS, user_of
from infra.machines.placement import START_ORDER, Role
from infra.machines.programs import Software
from infra.machines.vigil_admin import EXACT
from infra.machines.vigil_admin import refusal as unit_refusal
from infra.machines.vigil_firewall import refusal
from streaming.errors import ConfigError
from streaming.settings import CHECKOUT, Settings
from tests.support.inventories import inventory, machine, two_machines

GATEWAY = {"10.77.0.1", "10.77.0.2"}
PRODUCER, CONSUMER = "10.77.0.11", "10.77.0.12"


def opened(found: Inventory, name: str, software: Software = Software.UPLOAD) -> dict[int, set[str]]:
    """Port to the addresses from which it is open; `*`: any, `!A`: any but A."""
    rules: dict[int, set[str]] = {}
    for line in firewall.ruleset(found, name, software).splitlines():
        if match := re.search(r"tcp dport \{ (.*?) \} (?:ip saddr (!= )?\{ (.*?) \} )?counter accept", line):
            ports, other, addresses = match.groups()
            sources = {"*"} if addresses is None else {("!" if other else "") + one for one in addresses.split(", ")}
            for port in ports.split(", "):
                rules.setdefault(int(port), set()).update(sources)
    return rules


def without_forwards() -> Inventory:
    tree = {
        "deployment": "d",
        "network": "192.168.7.0/24",
        "machines": {
            "first": {
                "address": "192.168.7.11",
                "roles": ["controller", "broker", "indexing", "collecting", "services", "standby"],
                "ssh": {"host": "192.168.7.11", "port": 2222},
            },
            "second": {"address": "192.168.7.12", "roles": ["broker", "elasticsearch", "alerting"], "firewall": "none"},
        },
    }
    return parse(tree, "test")


def test_each_port_is_open_to_those_who_ask_it_and_to_the_forward_that_leads_to_it() -> None:
    assert opened(inventory(), "producer") == {
        22: {f"!{CONSUMER}"},
        9092: {CONSUMER},
        9093: {CONSUMER},
        9095: {CONSUMER},
        9094: GATEWAY,
    }
    assert opened(inventory(), "consumer") == {
        22: {f"!{PRODUCER}"},
        9092: {PRODUCER},
        9095: {PRODUCER},
        9094: GATEWAY,
        9243: GATEWAY | {PRODUCER},
    }


def test_the_host_may_come_from_anywhere_where_it_comes_without_a_forward() -> None:
    found = opened(without_forwards(), "first")
    assert found[22] == found[2222] == found[9094] == {"*"}
    assert found[9092] == {"192.168.7.12"}
    assert 9243 not in found
    assert "dhcp" in firewall.ruleset(without_forwards(), "first", Software.UPLOAD)
    assert "dhcp" not in firewall.ruleset(inventory(), "producer", Software.UPLOAD)


def test_a_machine_that_only_votes_is_asked_nothing_else() -> None:
    tree = two_machines()
    machines = tree["machines"]
    assert isinstance(machines, dict)
    machines |= {"third": machine(13, ["controller"]), "fourth": machine(14, ["controller"])}
    found = parse(tree, "test")
    assert opened(found, "third") == {
        22: {"!10.77.0.11", "!10.77.0.12", "!10.77.0.14"},
        9093: {"10.77.0.11", "10.77.0.12", "10.77.0.14"},
    }
    # Only brokers copy from brokers, and no worker runs there.
    assert opened(found, "producer")[9095] == {CONSUMER}
    assert opened(found, "producer")[9092] == {CONSUMER}


def test_nodes_of_elasticsearch_speak_with_each_other_where_they_can() -> None:
    tree = two_machines()
    machines = tree["machines"]
    assert isinstance(machines, dict)
    machines["third"] = machine(13, ["elasticsearch"])
    found = parse(tree, "test")
    assert opened(found, "third", Software.PACKAGES)[TRANSPORT] == {CONSUMER}
    assert TRANSPORT not in opened(found, "third", Software.UPLOAD)


def test_kibana_is_open_where_it_is_there() -> None:
    tree = two_machines()
    machines = tree["machines"]
    assert isinstance(machines, dict)
    machines["third"] = machine(13, ["kibana"])
    found = parse(tree, "test")
    assert opened(found, "third", Software.PACKAGES)[5601] == GATEWAY
    assert "10.77.0.13" in opened(found, "consumer", Software.PACKAGES)[9243]
    assert 5601 not in opened(found, "third")
    assert "10.77.0.13" not in opened(found, "consumer")[9243]


def test_every_listener_of_kafka_is_in_the_picture() -> None:
    files = Files(Path("/d"), Path("/k"), Path("/t"))
    for name in inventory().machines:
        listeners = server_properties(inventory(), name, files)["listeners"]
        ports = {int(port) for port in re.findall(r":(\d+)(?:,|$)", listeners)}
        assert ports <= set(opened(inventory(), name))


def test_the_picture_knows_who_asks() -> None:
    by_name = {flow.name: flow for flow in FLOWS}
    assert by_name["elasticsearch"].by >= ASKS_ELASTICSEARCH | (set(CLIENTS) & set(START_ORDER))
    assert {name for name in START_ORDER if name.rstrip("0123456789") in USERS and user_of(name)} <= KAFKA_CLIENTS
    assert {service for flow in FLOWS for service in flow.by} <= set(START_ORDER)
    assert len(by_name) == len(FLOWS)


def test_the_page_shows_the_picture() -> None:
    assert picture() in (CHECKOUT / "docs" / "machines-network.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("software", list(Software))
def test_a_machine_takes_its_ruleset_and_its_unit(software: Software) -> None:
    for found in (inventory(), without_forwards()):
        for name in found.machines:
            assert refusal(firewall.ruleset(found, name, software)) is None
    assert unit_refusal(firewall.unit(), firewall.UNIT) is None
    assert {firewall.UNIT: hashlib.sha256(firewall.unit().encode()).hexdigest()} == EXACT


@pytest.mark.parametrize(
    "line",
    [
        "flush ruleset",
        "table ip nat {",
        'include "/etc/shadow"',
        "type nat hook prerouting priority 0; policy accept;",
        "delete table inet filter",
        "tcp dport { 22 } drop",
        "tcp dport { 22 } counter accept; flush ruleset",
        'tcp dport { 22 } counter accept comment "a" comment "b"',
        "tcp dport { 22 } redirect to :2222",
        "# a comment\rflush ruleset",
    ],
)
def test_a_machine_refuses_a_ruleset_that_says_anything_else(line: str) -> None:
    text = firewall.ruleset(inventory(), "producer", Software.UPLOAD)
    assert "line 9 " in str(refusal(text.replace('\t\tct state invalid counter drop comment "of no connection"', line)))


def test_another_unit_of_that_name_is_refused() -> None:
    assert "different versions" in str(unit_refusal(firewall.unit() + "\n", firewall.UNIT))
    assert unit_refusal(firewall.unit(), "vigil-other.service")


def test_the_unit_is_one_that_systemd_takes_and_is_not_exposed(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("no systemd-analyze here: Debian's package systemd has it")
    file = tmp_path / firewall.UNIT
    file.write_text(firewall.unit().replace("/usr/sbin/nft", "/bin/true"))
    done = subprocess.run([program, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "vigil" in line] == []
    done = subprocess.run(
        [program, "security", "--offline=true", "--threshold=40", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_inventorys_word_comes_before_the_settings() -> None:
    assert firewall.kind(inventory(), "producer", Settings()) is Firewall.OPTIONAL
    required = Settings(machines_firewall="required")
    assert firewall.kind(without_forwards(), "first", required) is Firewall.REQUIRED
    assert firewall.kind(without_forwards(), "second", required) is Firewall.NONE
    tree = two_machines()
    machines = tree["machines"]
    assert isinstance(machines, dict)
    machines["producer"]["firewall"] = "sometimes"
    with pytest.raises(ConfigError, match=r"machines\.producer\.firewall: Input should be 'required', 'optional'"):
        parse(tree, "test")


def test_a_role_that_is_asked_has_a_flow() -> None:
    assert {flow.to for flow in FLOWS if flow.to} == {Role.BROKER, Role.CONTROLLER, Role.ELASTICSEARCH, Role.KIBANA}
