"""Which state Terraform works on: the deployment's own, also where an earlier version of Vigil wrote it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from infra.virtualbox.engine import DATA, Engine
from tests.support.virtualbox import terraform

pytestmark = pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed")

OF_BEFORE = {
    "version": 4,
    "terraform_version": "1.6.0",
    "serial": 3,
    "lineage": "5f8ac7f0-1111-2222-3333-444455556666",
    "outputs": {"inventory": {"value": "kept", "type": "string"}},
    "resources": [],
}
"""Written with `-state`, when the module named no backend."""


def test_a_state_of_before_there_was_a_backend_is_read(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "vigil", print)
    engine.state.write_text(json.dumps(OF_BEFORE))
    assert json.loads(engine.outputs())["inventory"]["value"] == "kept"
    assert engine.addresses() == [""]
    engine.init()
    assert json.loads(engine.state.read_text()) == OF_BEFORE


def test_each_deployment_has_its_own_and_it_may_be_moved(tmp_path: Path) -> None:
    one, other = Engine(tmp_path / "one", print), Engine(tmp_path / "other", print)
    one.state.write_text(json.dumps(OF_BEFORE))
    one.init()
    other.init()
    assert json.loads(one.outputs()) != json.loads(other.outputs()) == {}
    shutil.move(tmp_path / "one", tmp_path / "moved")
    moved = Engine(tmp_path / "moved", print)
    assert json.loads(moved.outputs())["inventory"]["value"] == "kept"
    shutil.rmtree(moved.folder / DATA)
    assert json.loads(moved.outputs())["inventory"]["value"] == "kept"
    assert not (tmp_path / "one").exists()
