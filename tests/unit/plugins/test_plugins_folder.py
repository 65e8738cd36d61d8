"""What Airflow itself makes of the plugins folder."""

from __future__ import annotations

import sys
import warnings

import pytest
from airflow._shared.plugins_manager.plugins_manager import _load_plugins_from_plugin_directory

from streaming.settings import CHECKOUT


@pytest.mark.parametrize("syntax", ["regexp", "glob"])
def test_the_package_is_not_loaded_a_second_time_under_bare_names(syntax: str) -> None:
    before = set(sys.modules)
    with warnings.catch_warnings():
        # The one-machine platform uses regexp, which must not warn; with glob, Airflow 3.3 does, of its own making.
        warnings.simplefilter("error" if syntax == "regexp" else "ignore", DeprecationWarning)
        _, errors = _load_plugins_from_plugin_directory(str(CHECKOUT / "plugins"), ignore_file_syntax=syntax)
    assert errors == {}
    assert {"hooks", "triggers", "services", "canary", "operators"} & (set(sys.modules) - before) == set()
