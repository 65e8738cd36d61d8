"""`vigil doctor --target`: which deployment is asked, and what it ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infra.cli import app
from infra.machines import known
from infra.machines.doctor import asking
from infra.machines.known import Deployed, Origin
from infra.machines.programs import Software
from infra.service_manager import RunState
from streaming.errors import ConfigError
from streaming.settings import Settings
from tests.support.deployment_facts import facts, with_unit
from tests.support.inventories import inventory


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIGIL_HOME", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


def refused(*arguments: str) -> str:
    error = run(*arguments).exception
    assert isinstance(error, ConfigError)
    return str(error)


def test_it_says_which_deployments_there_are(home: Path) -> None:
    assert "no target 'cloud'. There is: local, virtualbox, inventory" in refused("--target", "cloud")
    assert "knows no deployment to machines" in refused("--target", "virtualbox")
    known.remember(Settings(home=home), inventory(), Deployed(Origin.VIRTUALBOX, Software.UPLOAD))
    assert "vigil was deployed with the target virtualbox" in refused("--target", "inventory")
    assert "no deployment 'other'" in refused("--target", "virtualbox", "--deployment", "other")


def test_it_ends_with_1_where_a_link_is_broken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known.remember(Settings(home=home), inventory(), Deployed(Origin.VIRTUALBOX, Software.UPLOAD))
    broken = with_unit(facts(), "order", "producer", RunState.STOPPED)
    monkeypatch.setattr(asking, "ask", lambda *_, **__: broken)
    done = run("--target", "virtualbox")
    assert (done.exit_code, "First broken link: producer: unit order is stopped" in done.output) == (1, True)
    told = run("--target", "virtualbox", "--json")
    assert told.exit_code == 1
    assert json.loads(told.output)["first_broken"]["about"] == "order"
    monkeypatch.setattr(asking, "ask", lambda *_, **__: facts())
    assert run("--target", "virtualbox").exit_code == 0
    assert json.loads(run("--target", "virtualbox", "--json").output)["first_broken"] is None


def test_where_nothing_answers_the_first_link_is_named(home: Path) -> None:
    # Nothing listens at the forwards of this inventory.
    known.remember(Settings(home=home), inventory(), Deployed(Origin.INVENTORY, Software.UPLOAD))
    done = run("--target", "inventory", "--json")
    assert done.exit_code == 1
    assert json.loads(done.output)["first_broken"]["link"] == "forward"
