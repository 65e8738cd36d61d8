"""Machines that are there already, deployed to from an inventory file by one command, used, and stopped."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from infra.local.isolated import as_environment
from infra.machines import known, rollout
from infra.machines.target import Machines
from infra.service_manager import RunState
from tests.support.platform import vigil
from tests.support.virtualbox import terraform
from tests.support.virtualbox.deployed import Place

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed"),
]


def machines_of_others(place: Place, file: Path) -> None:
    """Two machines that somebody else has made and described; our key is in the account, their host keys are known."""
    place.deployment.apply(place.deployment.propose(place.wanted))
    theirs = Machines(place.settings, place.deployment.inventory(), place.deployment.folder)
    for name in theirs.inventory.machines:
        rollout.pin_host_key(theirs, name, 120)
    ours = known.folder_of(place.settings, "lab")
    shutil.copytree(theirs.folder / "ssh", ours / "ssh")
    tree = theirs.inventory.model_dump(mode="json", exclude_defaults=True)
    for machine in tree["machines"].values():
        del machine["serial"], machine["mac"]
    file.write_text(yaml.safe_dump(tree | {"deployment": "lab"}))


def test_one_command_deploys_to_them_and_others_use_and_stop_them(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "machines.yaml"
    machines_of_others(place, file)
    environment = os.environ | as_environment(place.settings) | {"COLUMNS": "160"}

    said = vigil(environment, "machines", "deploy", "--inventory", str(file), "-d", "lab", timeout_s=900)
    assert "✓ A log and an alert through all of it" in said
    again = vigil(environment, "machines", "deploy", "-d", "lab", timeout_s=600)
    assert again.count("nothing is changed") == 2

    lines = [json.loads(line) for line in vigil(environment, "machines", "status", "--json").splitlines()]
    assert {line["name"]: line["healthy"] for line in lines if not line["healthy"]} == {}
    assert next(line for line in lines if line["name"] == "matcher")["machines"] == ["consumer", "producer (standby)"]
    nodes = json.loads(vigil(environment, "machines", "run", "--", "nodes", "--json"))
    assert {"UP"} <= {node["state"] for node in nodes}

    export = vigil(environment, "machines", "teardown", "-d", "lab", "--export", "--yes", timeout_s=600)
    assert "everything in Kafka was read" in export
    folder = known.folder_of(place.settings, "lab")
    assert list(folder.glob("exports/*/*-logs-*.ndjson.zst"))
    machines = known.machines(place.settings, "lab")
    try:
        assert {status.state for status in machines.manager.all()} == {RunState.STOPPED}
    finally:
        machines.close()
    assert len(place.box.state.machines) == 2, "they are not ours to remove"
