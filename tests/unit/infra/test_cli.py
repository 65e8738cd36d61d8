"""The `vigil` command as a shell sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def vigil(home: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *args],
        env={**os.environ, "VIGIL_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_the_commands(tmp_path: Path) -> None:
    done = vigil(tmp_path, "--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("up", "down", "status", "doctor"))


def test_an_error_is_one_line_with_the_exit_code_of_its_kind(tmp_path: Path) -> None:
    done = vigil(tmp_path, "status")
    assert done.returncode == 69
    assert done.stderr.startswith("vigil: the platform at ")
    assert done.stderr.count("\n") == 1
    done = vigil(tmp_path, "status", VIGIL_KAFKA_PORT="many")
    assert done.returncode == 78
    assert "VIGIL_KAFKA_PORT" in done.stderr
    assert done.stderr.count("\n") == 1


def test_commands_are_quick_to_answer_since_they_import_late(tmp_path: Path) -> None:
    heavy = "{'pydantic', 'rich', 'psutil', 'confluent_kafka', 'httpx', 'airflow', 'elasticsearch'}"
    code = f"import sys, infra.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_down_is_harmless_where_nothing_runs(tmp_path: Path) -> None:
    done = vigil(tmp_path / "home", "down")
    assert done.returncode == 0, done.stderr
