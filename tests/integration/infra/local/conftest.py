"""A real supervisor that runs toy programs, in a home of its own with an odd name."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local.layout import Layout
from infra.local.supervisor import SupervisorManager, configuration, launch, socket_setting
from infra.local.sweep import marked, sweep
from streaming.settings import Settings

Wait = Callable[[Callable[[], object]], None]

SLEEP = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print('up', flush=True); time.sleep(600)"

TOYS: dict[str, str] = {
    "sleeper": SLEEP,
    "stubborn": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\n"
    "while True: time.sleep(600)",
    "failing": "import sys; print('no broker at 127.0.0.1:1', file=sys.stderr); sys.exit(3)",
    "misconfigured": "import sys; print('rules.yaml:3: no such field', file=sys.stderr); sys.exit(78)",
    "parent": f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])",
    "environment": "import json, os; print(json.dumps(dict(os.environ)), flush=True)\n" + SLEEP,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home 100% ;#'\"ü")


@pytest.fixture
def layout(settings: Settings) -> Layout:
    return Layout(settings.home)


@pytest.fixture
def wait() -> Wait:
    """Waits for a condition, at most 20 s."""

    def until(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true within 20 s"
            time.sleep(0.02)

    return until


@pytest.fixture
def manager(
    settings: Settings, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SupervisorManager]:
    """The manager of a running supervisor with the toys; none of them is started yet."""
    monkeypatch.setenv("VIGIL_SUPERVISED", str(layout.home))
    key = tmp_path / "key"
    key.write_text("from-a-file\n")
    declaration = {
        "directory": str(tmp_path),
        "environment": {"PLAIN": "100% ;#", "OWN": "no"},
        "own_environment": {"environment": {"OWN": "yes"}},
        "secret_files": {"environment": {"FROM_FILE": str(key)}},
        "secrets": str(layout.secrets),
        "niceness": {"environment": 7},
        "programs": {name: [sys.executable, "-c", code] for name, code in TOYS.items()},
    }
    launch(
        layout, configuration(TOYS, (), ("sleeper",), socket_setting(layout)), json.dumps(declaration), dict(os.environ)
    )
    monkeypatch.delenv("VIGIL_SUPERVISED")
    yield SupervisorManager(settings)
    sweep(layout, term_within_s=1)
    assert marked(layout) == []
    layout.remove_socket()
