"""Targets by name."""

from __future__ import annotations

import pytest

from infra.local.supervisor import SupervisorManager
from infra.machines import known
from infra.machines.as_target import MachinesTarget
from infra.machines.known import Deployed, Origin
from infra.machines.programs import Software
from infra.services import catalogue
from infra.targets import DEPLOYED_LAST, Kind, Reference, forget_last, open_target, reference, remember_last
from streaming.errors import ConfigError, Unavailable
from streaming.settings import Settings
from tests.support.inventories import inventory


def test_local_is_the_supervisor_of_this_machine_and_need_not_run_yet(settings: Settings) -> None:
    target = open_target("local", settings)
    assert isinstance(target.manager, SupervisorManager)
    assert tuple(target.services) == tuple(service.name for service in catalogue(settings))
    assert target.home == settings.home
    with pytest.raises(Unavailable, match="vigil up"):
        target.manager.all()


def test_an_unknown_target_is_refused_with_those_that_exist(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"'moon'.*local, virtualbox, inventory, deployed-last"):
        open_target("moon", settings)


def test_machines_are_known_by_their_deployment_and_keep_what_is_theirs_apart(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="no deployment 'vigil' is known"):
        open_target("virtualbox", settings)
    known.remember(settings, inventory(), Deployed(Origin.VIRTUALBOX, Software.UPLOAD))
    target = open_target("virtualbox:vigil", settings)
    assert isinstance(target, MachinesTarget)
    assert target.reference == Reference(Kind.VIRTUALBOX, "vigil")
    assert target.home == settings.home / "machines" / "vigil"
    assert target.settings.home == target.home
    assert target.settings.bootstrap == "127.0.0.1:19011,127.0.0.1:19012"
    names = list(target.services)
    assert names.index("elasticsearch") < names.index("elasticsearch-proxy") < names.index("indexer")
    assert "kibana" not in names  # of packages alone


def test_what_was_deployed_last_is_the_local_one_until_another_was(settings: Settings) -> None:
    assert reference(DEPLOYED_LAST, settings) == Reference(Kind.LOCAL)
    lab = reference("inventory:lab", settings)
    remember_last(lab, settings)
    assert reference(DEPLOYED_LAST, settings) == lab == Reference(Kind.INVENTORY, "lab")
    forget_last(Reference(Kind.VIRTUALBOX, "vigil"), settings)
    assert reference(DEPLOYED_LAST, settings) == lab
    forget_last(lab, settings)
    assert reference(DEPLOYED_LAST, settings) == Reference(Kind.LOCAL)


@pytest.mark.parametrize("text", ["local", "local:vigil"])
def test_the_local_one_has_no_deployments(text: str, settings: Settings) -> None:
    assert str(reference(text, settings)) == "local"
