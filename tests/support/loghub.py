"""Real log files of eight systems, or the committed look-alike where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]


def loghub_folder() -> Path:
    """Folder of `SYSTEM_2k.log` and `SYSTEM_2k.log_structured.csv`; VIGIL_LOGHUB names another one."""
    given = os.environ.get("VIGIL_LOGHUB")
    folder = Path(given) if given else _TESTS.parents[1] / "shared" / "data" / "loghub"
    return folder if folder.is_dir() else _TESTS / "data" / "loghub-like"


def logs_of(file: Path) -> list[bytes]:
    """The lines of a log file that are not blank; a last line need not end."""
    return [line for line in file.read_bytes().splitlines() if line.strip()]
