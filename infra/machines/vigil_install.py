#!/usr/bin/python3 -I
"""`vigil-install`: makes the environment of Vigil's services from what its operator has uploaded.

Installed as /usr/local/sbin/vigil-install and run through sudo (`infra/machines/sudo_commands.py`); it uses the
standard library alone, since it comes before any software of Vigil. It takes no argument. The upload is
/home/vigil-operator/incoming:

    requirements.txt  what is installed, each with its hash
    wheels/           the wheels of all of it, and of uv, which installs them
    jars/             of Kafka and Elasticsearch

The environment is built by the user of the services, which can do nothing else, and belongs to root afterwards: so
the operator cannot run a program as root, nor a service change its own. It answers with one JSON object.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SERVICE_USER, OPERATOR = "vigil", "vigil-operator"
KEPT_RELEASES = 2


class Refused(Exception):
    """What was asked for is not done; the text is for a person."""


@dataclass(frozen=True)
class Machine:
    """Where things are on a machine; a test gives another `root`, and a stand-in for `run`."""

    root: Path
    run: Callable[[Sequence[str]], None]
    chown: bool = True

    @property
    def opt(self) -> Path:
        return self.root / "opt/vigil"

    @property
    def incoming(self) -> Path:
        return self.root / "home" / OPERATOR / "incoming"


def install(machine: Machine) -> dict[str, object]:
    """Makes /opt/vigil/venv and /opt/vigil/jars from the upload, if they are not of that upload already.

    Raises:
        Refused: the upload is not whole, or the environment cannot be built.
    """
    releases = machine.opt / "releases"
    releases.mkdir(parents=True, exist_ok=True)
    staging = releases / "incoming"
    shutil.rmtree(staging, ignore_errors=True)
    digest = take(machine, staging)
    release = releases / digest
    if (release / "complete").exists():
        shutil.rmtree(staging)
    else:
        shutil.rmtree(release, ignore_errors=True)
        staging.rename(release)
        build(machine, release)
    changed = [name for name in ("venv", "jars") if point(machine.opt / name, release / name)]
    by_age = sorted(releases.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in [path for path in by_age if path != release][KEPT_RELEASES - 1 :]:
        shutil.rmtree(old)
    return {"release": digest, "changed": changed}


def take(machine: Machine, staging: Path) -> str:
    """Copies the upload to where its owner cannot change it any more; returns a digest of all of it."""
    staging.mkdir()
    whole = hashlib.sha256()
    owner = pwd.getpwnam(OPERATOR).pw_uid if machine.chown else os.getuid()
    for source in uploaded(machine.incoming):
        name = source.relative_to(machine.incoming)
        try:
            descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise Refused(f"incoming/{name} cannot be read ({error.strerror})") from error
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != owner or found.st_nlink != 1:
                raise Refused(f"incoming/{name} is no file of {OPERATOR} alone")
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as out:
                shutil.copyfileobj(file, out, 1024 * 1024)
        with target.open("rb") as file:
            whole.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    if not (staging / "requirements.txt").is_file():
        raise Refused("incoming/requirements.txt is missing: nothing whole was uploaded")
    return whole.hexdigest()[:16]


def uploaded(incoming: Path) -> list[Path]:
    """The files that are looked at; what else lies there is nothing to this program."""
    found = [incoming / "requirements.txt"] if (incoming / "requirements.txt").exists() else []
    for folder in (incoming / "wheels", incoming / "jars"):
        if folder.is_symlink():
            raise Refused(f"incoming/{folder.name} is a link")
        found += [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    return sorted(found)


def build(machine: Machine, release: Path) -> None:
    """The environment, made by the user of the services and root's from then on."""
    wheels = release / "wheels"
    tool = unpack_uv(wheels, release)
    (release / "jars").mkdir(exist_ok=True)
    venv, cache = release / "venv", release / "cache"
    for folder in (venv, cache):
        folder.mkdir()
        if machine.chown:
            shutil.chown(folder, SERVICE_USER, SERVICE_USER)
    for place in release.rglob("*"):
        place.chmod(0o755 if place.is_dir() or place == tool else 0o644)
    options = ["--offline", "--quiet", "--cache-dir", str(cache), "--no-config"]
    python = str(venv / "bin/python")
    steps = [
        ["venv", *options, "--allow-existing", "--python", "/usr/bin/python3", "--no-python-downloads", str(venv)],
        ["pip", "install", *options, "--python", python, "--no-index", "--find-links", str(wheels), "--only-binary",
         ":all:", "--require-hashes", "--compile-bytecode", "-r", str(release / "requirements.txt")],
    ]  # fmt: skip
    for step in steps:
        machine.run(["runuser", "-u", SERVICE_USER, "--", str(tool), *step])
    shutil.rmtree(cache)
    shutil.rmtree(wheels)
    tool.unlink()
    for place in (venv, *venv.rglob("*")):
        if machine.chown:
            os.chown(place, 0, 0, follow_symlinks=False)
        if not place.is_symlink():
            # Neither set-user-id nor writable by others.
            place.chmod(stat.S_IMODE(place.stat().st_mode) & 0o755)
    (release / "complete").touch()


def unpack_uv(wheels: Path, release: Path) -> Path:
    """The program that makes environments: cloud images have neither pip nor venv."""
    found = sorted(wheels.glob("uv-*.whl"))
    if not found:
        raise Refused("incoming/wheels has no wheel of uv")
    with zipfile.ZipFile(found[-1]) as archive:
        name = next((name for name in archive.namelist() if re.fullmatch(r"uv-[^/]+\.data/scripts/uv", name)), None)
        if name is None:
            raise Refused(f"{found[-1].name} holds no program")
        place = release / "uv"
        with archive.open(name) as source, place.open("xb") as out:
            shutil.copyfileobj(source, out, 1024 * 1024)
    return place


def point(link: Path, target: Path) -> bool:
    """Lets a link lead to a folder, at once; False: it does already."""
    if link.is_symlink() and link.readlink() == target:
        return False
    draft = link.with_name(f".{link.name}.vigil-part")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(link)
    return True


def run_program(command: Sequence[str]) -> None:
    """Runs a program of the machine in an environment that the caller had no part in.

    Raises:
        Refused: it failed; the text has its own words.
    """
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-1000:]
        raise Refused(f"{' '.join(command[4:7])} failed with status {done.returncode}: {said}")


def main() -> None:
    """Entry point."""
    os.umask(0o022)
    try:
        answer = install(Machine(Path("/"), run_program))
    except (Refused, OSError, KeyError, zipfile.BadZipFile) as error:
        print(f"vigil-install: {error}", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
