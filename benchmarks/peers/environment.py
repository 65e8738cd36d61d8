"""The peers' virtual environment: exactly `requirements.txt`, by hash, in the user's cache folder; made when needed.

To renew the list (no address of an index goes into it):
`uv pip compile benchmarks/peers/requirements.in --universal --python-version 3.11 --generate-hashes --no-header
-o benchmarks/peers/requirements.txt`
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
INSTALLED_WITHIN_S = 300.0


def python() -> Path:
    """The environment's interpreter.

    Raises:
        RuntimeError: it could not be made; the text is uv's.
    """
    # Their libraries do not resolve together with Vigil's (quixstreams and Airflow), so they get a folder of their own.
    told = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "vigil" / f"benchmark-peers-{told}"
    interpreter = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _uv("venv", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--python", str(interpreter), "--require-hashes", "-r", str(REQUIREMENTS))
        (folder / "complete").touch()
    return interpreter


def _uv(*arguments: str) -> None:
    beside = Path(sys.executable).with_name("uv")
    command = [str(beside) if beside.exists() else "uv", *arguments, "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLED_WITHIN_S, check=False)
    if done.returncode:
        raise RuntimeError(f"the peers' environment could not be made: {' '.join(command)}: {done.stderr.strip()}")
