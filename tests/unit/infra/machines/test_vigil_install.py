"""The program that makes the services' environment: what it takes of an upload, and what it refuses."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.machines.vigil_install import Machine, Refused, install


class Programs:
    """Stands for `runuser`: makes what uv would make."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fails_at = ""

    def __call__(self, command: Sequence[str]) -> None:
        self.calls.append(list(command))
        assert list(command[:4]) == ["runuser", "-u", "vigil", "--"]
        if self.fails_at in command:
            raise Refused("uv failed with status 1: no wheel")
        if command[5] == "venv":
            program = Path(command[-1]) / "bin" / "python"
            program.parent.mkdir()
            program.write_text("program")
            program.chmod(0o4777)


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.fixture
def machine(tmp_path: Path, programs: Programs) -> Machine:
    found = Machine(tmp_path, programs, chown=False)
    (found.incoming / "wheels").mkdir(parents=True)
    (found.incoming / "jars" / "org").mkdir(parents=True)
    (found.incoming / "jars" / "org" / "one.jar").write_text("jar")
    (found.incoming / "requirements.txt").write_text("vigil==1 --hash=sha256:00\n")
    (found.incoming / "complete").write_text("of the folder that was uploaded")
    with zipfile.ZipFile(found.incoming / "wheels" / "uv-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("uv-1.0.data/scripts/uv", "uv")
    return found


def test_an_upload_becomes_the_environment_once(machine: Machine, programs: Programs) -> None:
    first = install(machine)
    assert first["changed"] == ["venv", "jars"]
    assert (machine.opt / "jars" / "org" / "one.jar").read_text() == "jar"
    program = machine.opt / "venv" / "bin" / "python"
    assert program.stat().st_mode & 0o7777 == 0o755
    assert ["--no-index" in call and "--require-hashes" in call for call in programs.calls] == [False, True]
    assert install(machine) == {"release": first["release"], "changed": []}
    assert len(programs.calls) == 2


def test_of_others_only_the_one_before_is_kept(machine: Machine) -> None:
    made = []
    for text in ("one", "two", "three"):
        (machine.incoming / "requirements.txt").write_text(text)
        made.append(str(install(machine)["release"]))
    left = {path.name for path in (machine.opt / "releases").iterdir()}
    assert made[2] in left
    assert len(left) == 2
    (machine.incoming / "requirements.txt").write_text("two")
    assert install(machine)["release"] == made[1]


@pytest.mark.parametrize("step", ["venv", "pip"])
def test_a_build_that_failed_is_made_anew_and_never_used(machine: Machine, programs: Programs, step: str) -> None:
    before = install(machine)["release"]
    (machine.incoming / "requirements.txt").write_text("another")
    programs.fails_at = step
    with pytest.raises(Refused, match="no wheel"):
        install(machine)
    assert str(before) in str((machine.opt / "venv").readlink())
    programs.fails_at = ""
    assert install(machine)["changed"] == ["venv", "jars"]


def test_what_is_no_file_of_the_operator_alone_is_refused(machine: Machine, tmp_path: Path) -> None:
    secret = tmp_path / "shadow"
    secret.write_text("of root")
    for place in ("requirements.txt", "wheels/x.whl", "jars/x.jar"):
        target = machine.incoming / place
        kept = target.read_bytes() if target.exists() else None
        target.unlink(missing_ok=True)
        target.symlink_to(secret)
        with pytest.raises(Refused, match=f"incoming/{place} cannot be read"):
            install(machine)
        target.unlink()
        os.link(secret, target)
        with pytest.raises(Refused, match=f"incoming/{place} is no file of vigil-operator alone"):
            install(machine)
        target.unlink()
        os.mkfifo(target)
        with pytest.raises(Refused, match="is no file of"):
            install(machine)
        target.unlink()
        if kept is not None:
            target.write_bytes(kept)
    (machine.incoming / "jars" / "org" / "one.jar").unlink()
    (machine.incoming / "jars" / "org").rmdir()
    (machine.incoming / "jars").rmdir()
    (machine.incoming / "jars").symlink_to(tmp_path)
    with pytest.raises(Refused, match="is a link"):
        install(machine)


def test_an_upload_that_is_not_whole_is_refused(machine: Machine) -> None:
    (machine.incoming / "wheels" / "uv-1.0-py3-none-any.whl").unlink()
    with pytest.raises(Refused, match="no wheel of uv"):
        install(machine)
    (machine.incoming / "requirements.txt").unlink()
    with pytest.raises(Refused, match="nothing whole was uploaded"):
        install(machine)
    assert not (machine.opt / "venv").exists()
