"""Paths of a platform."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.local.layout import SOCKET_PATH_BYTES, Layout
from streaming.errors import ConfigError
from streaming.files import write_private


def test_a_short_home_holds_its_socket() -> None:
    layout = Layout(Path("/v"))
    assert layout.socket() == Path("/v/run/supervisor.sock")


@pytest.mark.parametrize("name", ["x" * 120, "ü" * 60], ids=["long", "long in bytes"])
def test_a_long_home_has_its_socket_in_a_private_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    layout, other = Layout(tmp_path / name / "a"), Layout(tmp_path / name / "b")
    assert len(os.fsencode(Layout(Path("/tmp") / name).socket())) <= SOCKET_PATH_BYTES
    monkeypatch.setattr("infra.local.layout.SHORT_FOLDER", tmp_path)
    socket = layout.make_socket_folder()
    assert socket != other.socket()
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    socket.touch()
    layout.remove_socket()
    layout.remove_socket()
    assert list(tmp_path.iterdir()) == []


def test_a_socket_folder_that_others_may_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.local.layout.SHORT_FOLDER", tmp_path)
    layout = Layout(tmp_path / ("x" * 120))
    layout.socket().parent.mkdir(mode=0o777)
    layout.socket().parent.chmod(0o777)
    with pytest.raises(ConfigError, match="not a private folder"):
        layout.make_socket_folder()


def test_a_private_file_is_private_also_when_it_replaces_another(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, b"new")
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
