"""What a person wants: refused by name, and given to Terraform with the module's own defaults."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from infra.machines.inventory import parse as parse_inventory
from infra.machines.placement import Role
from infra.virtualbox.engine import MODULE
from infra.virtualbox.wanted import TWO_MACHINES, over, parse, variables
from streaming.errors import ConfigError

IMAGE = {"source": "/images/debian-12.vmdk", "checksum": "sha512:" + "0" * 128}


def test_an_image_is_enough() -> None:
    text = variables(parse({"image": IMAGE}, "form"), "vigil", Path("/state"), "ssh-ed25519 AAAA me\n")
    found = json.loads(text)
    assert set(found["nodes"]) == {"producer", "consumer"}
    assert (found["state_dir"], found["ssh_public_key"]) == ("/state", "ssh-ed25519 AAAA me")


def test_every_variable_is_one_of_the_modules_and_has_its_default() -> None:
    module = (MODULE / "variables.tf").read_text(encoding="utf-8")
    declared = re.findall(r'^variable "(\w+)"', module, re.MULTILINE)
    given = json.loads(variables(parse({"image": IMAGE}, "form"), "vigil", Path("/s"), "key"))
    assert set(given) <= set(declared)
    assert set(declared) - set(given) == {"owner"}
    for name, base in given["port_bases"].items():
        assert re.search(rf"{name}\s*= optional\(number, {base}\)", module)
    for node in TWO_MACHINES.values():
        roles = ", ".join(f'"{role}"' for role in node.roles)
        assert f"number = {node.number}" in module
        assert f"roles  = [{roles}]" in module


def test_the_two_machines_make_an_inventory() -> None:
    machines = {n: {"address": f"10.77.0.{node.number}", "roles": node.roles} for n, node in TWO_MACHINES.items()}
    found = parse_inventory({"deployment": "vigil", "network": "10.77.0.0/24", "machines": machines}, "test")
    assert list(found.having(Role.BROKER)) == ["producer", "consumer"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "image: Field required"),
        ({"image": IMAGE | {"checksum": "md5:1"}}, "image.checksum: String should match"),
        ({"image": IMAGE, "nods": {}}, "nods: Extra inputs are not permitted"),
        ({"image": IMAGE, "nodes": {"a": {"number": 3, "roles": ["broker"]}}}, "nodes.a.number"),
        ({"image": IMAGE, "nodes": {"a": {"number": 11, "roles": ["brokr"]}}}, "nodes.a.roles.0"),
    ],
)
def test_what_is_wrong_is_named(value: object, reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        parse(value, "form")


def test_a_form_counts_where_it_says_something() -> None:
    before = json.loads(parse({"image": IMAGE, "port_bases": {"ssh": 3000}}, "x").model_dump_json())
    empty: dict[str, object] = {
        "image": {"source": "", "checksum": None},
        "nodes": None,
        "port_bases": {},
        "network": "",
        "dns": [],
    }
    assert over(before, empty) == before
    other = over(before, {"image": {"source": "/other.vmdk", "checksum": ""}, "port_bases": {"kafka": 4000}})
    found = parse(other, "form")
    assert (found.image.source, found.image.checksum) == ("/other.vmdk", IMAGE["checksum"])
    assert (found.port_bases.ssh, found.port_bases.kafka) == (3000, 4000)
    one = {"only": {"number": 20, "roles": ["broker"]}}
    assert set(parse(over(before, {"nodes": one}), "form").nodes) == {"only"}


def test_an_empty_first_form_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(ConfigError, match="image"):
        parse(over({}, {"image": {"source": "", "checksum": ""}}), "the form")
