"""What every process of Airflow imports of Vigil, each task's included, imports nothing heavy itself."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.settings import CHECKOUT

PLUGINS = CHECKOUT / "plugins"
IN_EVERY_PROCESS = ("vigil_plugin", "vigil_airflow.task_logs.config")
IMPORTED_ANYWAY = frozenset(
    {"airflow.config_templates.airflow_local_settings", "airflow.listeners", "airflow.plugins_manager"}
)
"""Modules of Airflow that its processes have imported when they come to Vigil's."""


def file_of(module: str) -> Path:
    path = PLUGINS.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported_by(module: str) -> Iterator[str]:
    """What it imports at its top level, type checking aside."""
    for node in ast.parse(file_of(module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            names = (f"{node.module}.{name.name}" for name in node.names)
            yield from (name if file_of(name).is_file() else node.module for name in names)


def parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1))


@pytest.mark.parametrize("start", IN_EVERY_PROCESS)
def test_only_the_standard_library_and_what_airflow_has_already(start: str) -> None:
    wanted, seen = list(parents(start)), set[str]()
    while wanted:
        module = wanted.pop()
        if module in seen or module in IMPORTED_ANYWAY or module.split(".")[0] in sys.stdlib_module_names:
            continue
        assert module.split(".")[0] in ("vigil_airflow", "vigil_plugin"), module
        seen.add(module)
        wanted += [parent for found in imported_by(module) for parent in parents(found) if file_of(parent).is_file()]
        wanted += [found for found in imported_by(module) if not file_of(found).is_file()]
    assert len(seen) > 2
