"""The bootstrap script's refusals; its work is what every test here runs on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "bootstrap.sh"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an empty lock."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "bootstrap.sh").write_bytes(SCRIPT.read_bytes())
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "lock.txt").touch()
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def bootstrap(checkout: Path, python: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(checkout / "scripts" / "bootstrap.sh")],
        env={"PATH": "/usr/bin:/bin", "PYTHON": python},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_python_that_is_none_is_refused_in_one_line(checkout: Path) -> None:
    done = bootstrap(checkout, "/nowhere/python")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "/nowhere/python does not run as a Python of 3.11 to 3.13" in done.stderr


def test_a_python_without_venv_is_refused_with_the_package_to_install(checkout: Path) -> None:
    python = checkout / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\nexit 1\n')
    python.chmod(0o755)
    done = bootstrap(checkout, str(python))
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr
    assert not (checkout / ".venv").exists()
