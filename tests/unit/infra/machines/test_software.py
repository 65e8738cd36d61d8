"""The software of machines, as far as it is told without an index: what is chosen for a guest, when it is made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.jars import Jars
from infra.machines import software
from infra.machines.software import Guest, ensure_software
from streaming.errors import Unavailable
from streaming.settings import CHECKOUT, Settings


class Made:
    """Counts what is fetched and built, and makes small files of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, jars: Path) -> None:
        self.commands: list[list[str]] = []
        one = jars / "org" / "one.jar"
        one.parent.mkdir(parents=True)
        one.write_text("jar")
        (jars / "checked").write_text("stamp")
        monkeypatch.setattr(software, "ensure_jars", lambda *_: Jars((one,), ()))
        monkeypatch.setattr(software, "_run", self.run)

    def run(self, what: str, command: list[str]) -> None:
        self.commands.append([what, *command])
        if what == "requirements":
            Path(command[-1]).write_text("uv==1 --hash=sha256:0\n")
        elif what == "wheels":
            folder = Path(command[-1])
            folder.mkdir()
            (folder / "uv-1-py3-none-any.whl").write_text("uv")
        else:
            folder = Path(command[command.index("--out-dir") + 1])
            folder.mkdir()
            (folder / "vigil-0.1.0-py3-none-any.whl").write_text("vigil")

    def whats(self) -> list[str]:
        found = [command[0] for command in self.commands]
        self.commands.clear()
        return found


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Made:
    return Made(monkeypatch, tmp_path / "home" / "jars")


def test_it_is_whole_and_made_once(made: Made, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    folder = ensure_software(settings, Guest(), print)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "requirements.txt", "wheels/uv-1-py3-none-any.whl", "wheels/vigil-0.1.0-py3-none-any.whl",
        "jars/org/one.jar", "jars/checked",
    }  # fmt: skip
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert lines[0].startswith("uv==1")
    assert lines[1].startswith("vigil==0.1.0 --hash=sha256:")
    assert made.whats() == ["requirements", "wheels", "Vigil's own wheel"]
    assert ensure_software(settings, Guest(), print) == folder
    assert made.whats() == []


def test_changed_sources_fetch_nothing_and_leave_one_folder(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "home")
    before = ensure_software(settings, Guest(), print)
    made.whats()
    monkeypatch.setattr(software, "_sources", lambda: iter(()))
    after = ensure_software(settings, Guest(), print)
    assert made.whats() == ["Vigil's own wheel"]
    assert after != before
    assert not before.exists()
    assert (after / "requirements.txt").read_text().count("vigil==") == 1


def test_wheels_are_those_of_the_guest(made: Made, tmp_path: Path) -> None:
    ensure_software(Settings(home=tmp_path / "home"), Guest((3, 12), "aarch64"), print)
    resolved, download, _ = made.commands
    assert resolved[resolved.index("--python-platform") + 1] == "aarch64-manylinux_2_36"
    assert {"cp312", "abi3", "none"} <= set(download)
    assert "manylinux_2_28_aarch64" in download
    assert "manylinux2014_aarch64" in download
    assert not [word for word in download if "x86_64" in word]


def test_a_failure_leaves_nothing_half_made(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(what: str, command: list[str]) -> None:
        if what == "wheels":
            raise Unavailable("no wheel")
        made.run(what, command)

    monkeypatch.setattr(software, "_run", fails)
    settings = Settings(home=tmp_path / "home")
    with pytest.raises(Unavailable, match="no wheel"):
        ensure_software(settings, Guest(), print)
    monkeypatch.setattr(software, "_run", made.run)
    assert (ensure_software(settings, Guest(), print) / "wheels" / "uv-1-py3-none-any.whl").exists()


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"wheels for machines cannot be had: .*no-such-option"):
        software._run("wheels", ["python3", "-m", "pip", "download", "--no-such-option"])


def test_the_programs_that_it_runs_are_locked(made: Made, tmp_path: Path) -> None:
    """An environment that uv makes has no pip of its own."""
    ensure_software(Settings(home=tmp_path / "home"), Guest(), print)
    programs = {command[command.index("-m") + 1] for command in made.commands}
    assert programs == {"pip", "uv"}
    locked = (CHECKOUT / "requirements" / "lock.txt").read_text().splitlines()
    assert all(any(line.startswith(f"{program}==") for line in locked) for program in programs)
