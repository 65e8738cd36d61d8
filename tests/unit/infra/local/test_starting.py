"""Two that start, or one that starts and one that stops."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local import down as stopping
from infra.local import programs
from infra.local.layout import Layout
from infra.local.starting import starting
from streaming.errors import ConfigError, Unavailable
from streaming.settings import Settings


def test_one_at_a_time_also_after_the_first_was_killed(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    code = (
        "import sys; from pathlib import Path; from infra.local.layout import Layout; "
        "from infra.local.starting import starting\n"
        "with starting(Layout(Path(sys.argv[1])), 1, print): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdin is not None
    try:
        assert other.stdout.readline() == "held\n"
        notes: list[str] = []
        with pytest.raises(Unavailable, match="another `vigil up`"), starting(layout, 0.2, notes.append):
            pass
        assert notes
    finally:
        other.kill()
        other.wait(10)
        other.stdin.close()
        other.stdout.close()
    with starting(layout, 5, notes.append):
        pass


def test_what_an_up_started_meanwhile_is_stopped_too(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    Layout(settings.home).make()
    runs = [True]  # after the first stop, an `up` had still launched its supervisor
    stops: list[str] = []

    def down(_: Settings, __: Callable[[str], None]) -> list[str]:
        stops.append("stop")
        return []

    monkeypatch.setattr(stopping, "down", down)
    monkeypatch.setattr(stopping, "is_running", lambda _: runs.pop())
    stopping.down_for_good(settings, lambda _: None)
    assert stops == ["stop", "stop"]


def test_a_declaration_that_is_gone_or_damaged_counts_as_changed(settings: Settings) -> None:
    layout = Layout(settings.home)
    layout.make()
    assert programs.has_changed(layout, settings)
    layout.programs.write_text(programs.declaration(layout, settings))
    assert not programs.has_changed(layout, settings)
    for text in ("", "[]", json.dumps({})):
        layout.programs.write_text(text)
        assert programs.has_changed(layout, settings)


def test_a_home_that_cannot_be_one_is_named_or_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    Layout(tmp_path / "file" / "home").remove_socket()
    layout = Layout(tmp_path / "home")
    layout.make()
    layout.socket().mkdir()
    with pytest.raises(ConfigError, match="VIGIL_HOME: cannot remove"):
        layout.remove_socket()
