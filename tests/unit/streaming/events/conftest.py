"""Real log files of eight systems, or the committed look-alike where they are absent."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.loghub import loghub_folder

# Time says nothing about these tests where others share the machine; test_lines.py measures CPU time itself.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def loghub() -> Path:
    """Folder of `SYSTEM_2k.log` and `SYSTEM_2k.log_structured.csv`; VIGIL_LOGHUB names another one."""
    return loghub_folder()
