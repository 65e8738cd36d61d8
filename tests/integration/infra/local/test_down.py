"""`vigil down` whatever state the platform is in."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local import airflow, programs
from infra.local.down import down
from infra.local.layout import Layout
from infra.local.supervisor import SupervisorManager, configuration, launch, socket_setting
from infra.local.sweep import marked, sweep
from streaming.settings import Settings

Wait = Callable[[Callable[[], object]], None]

TOY = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def platform(settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Iterator[SupervisorManager]:
    """Every program of the real catalogue by its name, a toy each, all running."""
    names = list(programs.commands(settings))
    monkeypatch.setattr(programs, "commands", lambda _: dict.fromkeys(names, TOY))
    layout.make()
    airflow.make_secrets(layout)
    conf = configuration(names, names, programs.PLAIN_TEXT, socket_setting(layout))
    launch(layout, conf, programs.declaration(layout, settings), programs.inherited(layout, settings))
    yield SupervisorManager(settings)
    sweep(layout, term_within_s=1)
    layout.remove_socket()


def test_all_ends_in_good_time(platform: SupervisorManager, settings: Settings, layout: Layout, wait: Wait) -> None:
    wait(lambda: all(s.pid for s in platform.all()))
    said: list[str] = []
    started = time.monotonic()
    assert down(settings, said.append) == []
    assert time.monotonic() - started < 15
    assert marked(layout) == []
    assert said.index("stopping microservices") < said.index("stopping workers") < said.index("stopping kafka")
    assert down(settings, said.append) == []


def test_all_ends_after_the_supervisor_was_killed(
    platform: SupervisorManager, settings: Settings, layout: Layout, wait: Wait
) -> None:
    wait(lambda: all(s.pid for s in platform.all()))
    os.kill(platform.supervisor_pid(), signal.SIGKILL)
    down(settings, lambda _: None)
    assert marked(layout) == []


def test_data_stays(platform: SupervisorManager, settings: Settings, layout: Layout) -> None:
    kept = Path(layout.home / "data")
    kept.write_text("x")
    down(settings, lambda _: None)
    assert kept.read_text() == "x"
