"""Real log files of eight systems, or the committed look-alike where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).parents[4]


@pytest.fixture(scope="session")
def loghub() -> Path:
    """Folder of `SYSTEM_2k.log` and `SYSTEM_2k.log_structured.csv`; VIGIL_LOGHUB names another one."""
    given = os.environ.get("VIGIL_LOGHUB")
    folder = Path(given) if given else _CHECKOUT.parent / "shared" / "data" / "loghub"
    return folder if folder.is_dir() else _CHECKOUT / "tests" / "data" / "loghub-like"
