"""What Airflow itself makes of the plugins folder."""

from __future__ import annotations

import sys

import pytest
from airflow._shared.plugins_manager.plugins_manager import _load_plugins_from_plugin_directory

from streaming.settings import CHECKOUT


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # Airflow's own
def test_the_package_is_not_loaded_a_second_time_under_bare_names() -> None:
    before = set(sys.modules)
    _, errors = _load_plugins_from_plugin_directory(str(CHECKOUT / "plugins"))
    assert errors == {}
    assert {"hooks", "triggers", "services", "canary", "operators"} & (set(sys.modules) - before) == set()
