"""Targets by name."""

from __future__ import annotations

import pytest

from infra.local.supervisor import SupervisorManager
from infra.targets import service_manager
from streaming.errors import ConfigError, Unavailable
from streaming.settings import Settings


def test_local_is_the_supervisor_of_this_machine_and_need_not_run_yet(settings: Settings) -> None:
    manager = service_manager("local", settings)
    assert isinstance(manager, SupervisorManager)
    with pytest.raises(Unavailable, match="vigil up"):
        manager.all()


def test_an_unknown_target_is_refused_with_those_that_exist(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"'moon'.*local"):
        service_manager("moon", settings)
