"""What this host remembers of its deployments to machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.machines import known
from infra.machines.inventory import load
from infra.machines.known import Deployed, Origin
from infra.machines.programs import Software
from streaming.errors import ConfigError
from streaming.settings import Settings
from tests.support.inventories import inventory


def test_what_was_remembered_is_known_again_and_its_inventory_is_a_file_like_any_other(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    wanted = inventory()
    file = known.remember(settings, wanted, Deployed(Origin.VIRTUALBOX, Software.UPLOAD))

    assert load(file) == wanted
    assert known.names(settings) == ("vigil",)
    assert known.deployed(settings, "vigil") == Deployed(Origin.VIRTUALBOX, Software.UPLOAD)
    machines = known.machines(settings, "vigil")
    assert (machines.inventory, machines.folder) == (wanted, file.parent)

    known.forget(settings, "vigil")
    assert known.names(settings) == ()


def test_an_unknown_one_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(ConfigError, match="deploy_platform makes one"):
        known.machines(settings, "vigil")
    known.remember(settings, inventory(), Deployed(Origin.INVENTORY, Software.UPLOAD))
    with pytest.raises(ConfigError, match=r"no deployment 'elsewhere' .*There is: vigil"):
        known.deployed(settings, "elsewhere")


def test_a_file_that_was_spoilt_is_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    file = known.remember(settings, inventory(), Deployed(Origin.INVENTORY, Software.UPLOAD))
    (file.parent / "deployed.json").write_text("{")
    with pytest.raises(ConfigError, match=r"deployed\.json"):
        known.deployed(settings, "vigil")
