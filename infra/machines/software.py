"""The software of machines, made here for them: wheels for their Python and architecture, and the servers' jars.

A folder of `requirements.txt` (each with its hash), `wheels/` (those of uv among them, which installs the rest) and
`jars/`, as `vigil-install` takes it. The machines need no package index, nor anything beyond Python.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.local.jars import LOCK, ensure_jars
from streaming.errors import Unavailable
from streaming.settings import CHECKOUT, Settings

EXTRAS = ("workers", "services", "platform", "machines")
"""What machines run of pyproject.toml: no Airflow, and nothing for developers."""

PACKAGES = ("streaming", "microservices", "infra", "plugins", "dags")
"""What Vigil's own wheel is made of."""

GLIBC = (2, 36)
"""Of Debian 12; Ubuntu 24.04 has 2.39. A wheel for an older one runs there too."""

WITHIN_S = 900.0
"""Some 60 wheels of 200 MB from an index."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class Guest:
    """What wheels are chosen for: Python as (3, 11), and the architecture as `uname -m` says it."""

    python: tuple[int, int] = (3, 11)
    architecture: str = "x86_64"

    @property
    def version(self) -> str:
        """As "3.11"."""
        return ".".join(map(str, self.python))

    @property
    def platforms(self) -> list[str]:
        """Names of platforms whose wheels run there, by PEP 600 and the older names for the same."""
        major, minor = GLIBC
        named = [f"manylinux_{major}_{n}_{self.architecture}" for n in range(minor, 4, -1)]
        return [*named, *(f"manylinux{name}_{self.architecture}" for name in ("2014", "2010", "1"))]


def ensure_software(settings: Settings, guest: Guest, report: Report) -> Path:
    """The folder for such machines, made if there is none for what the checkout is now. Older ones are removed.

    What others have published is kept apart, so that a change of Vigil's own sources fetches nothing.

    Raises:
        Unavailable: the index or a jar cannot be reached, or there is no wheel for that guest; the text says which.
    """
    jars = ensure_jars(settings.jars, report)
    home = settings.home.resolve() / "software"
    published = _ensure(home, f"published-{_key(guest, _PINS)}", lambda draft: _fetch(draft, guest, report))

    def put_together(draft: Path) -> None:
        report("Vigil's own wheel is built")
        _link_all(published, draft, [file for file in published.rglob("*") if file.is_file()])
        _build_own(draft)
        # With the stamp, so that a machine does not ask for any.
        _link_all(settings.jars, draft / "jars", [*jars.kafka, *jars.elasticsearch, settings.jars / "checked"])

    whole = _ensure(home, f"whole-{_key(guest, [*_PINS, LOCK, *_sources()])}", put_together)
    for old in home.iterdir():
        if old not in (published, whole):
            shutil.rmtree(old)
    return whole


def _ensure(home: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that is there whole or not at all."""
    folder = home / name
    if not folder.exists():
        draft = home / f".{name}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        make(draft)
        draft.rename(folder)
    return folder


_PINS = (CHECKOUT / "pyproject.toml", CHECKOUT / "requirements" / "lock.txt")


def _key(guest: Guest, files: Iterable[Path]) -> str:
    """Of all that a folder is made from."""
    digest = hashlib.sha256(repr(guest).encode())
    for file in files:
        digest.update(f"{file.relative_to(CHECKOUT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _sources() -> Iterator[Path]:
    yield CHECKOUT / "README.md"
    for package in PACKAGES:
        yield from sorted(
            file
            for file in (CHECKOUT / package).rglob("*")
            if file.is_file() and not {"__pycache__", "node_modules"}.intersection(file.parts) and file.suffix != ".pyc"
        )


def _fetch(folder: Path, guest: Guest, report: Report) -> None:
    report(f"wheels for Python {guest.version} on {guest.architecture} are fetched")
    _resolve(folder, guest)
    _download(folder, guest)
    size = sum(file.stat().st_size for file in (folder / "wheels").iterdir())
    report(f"they have {size / 1e6:.0f} MB")


def _resolve(folder: Path, guest: Guest) -> None:
    extras = [option for extra in EXTRAS for option in ("--extra", extra)]
    _run(
        "requirements",
        [
            *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *extras),
            *("--constraint", "requirements/lock.txt", "--python-version", guest.version),
            *("--python-platform", f"{guest.architecture}-manylinux_{GLIBC[0]}_{GLIBC[1]}"),
            *("--generate-hashes", "--no-header", "--no-annotate", "--quiet"),
            *("--output-file", str(folder / "requirements.txt")),
        ],
    )


def _download(folder: Path, guest: Guest) -> None:
    platforms = [option for name in guest.platforms for option in ("--platform", name)]
    abis = [option for abi in (f"cp{''.join(map(str, guest.python))}", "abi3", "none") for option in ("--abi", abi)]
    _run(
        "wheels",
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary", ":all:", "--require-hashes", "-r", str(folder / "requirements.txt")),
            *("--implementation", "cp", "--python-version", guest.version, *platforms, *abis),
            *("--dest", str(folder / "wheels")),
        ],
    )


def _build_own(folder: Path) -> None:
    """Vigil's wheel, with its hash behind the others. The same sources make the same bytes."""
    _run(
        "Vigil's own wheel",
        [
            *(sys.executable, "-m", "uv", "build", "--wheel", "--quiet", "--no-build-isolation"),
            *("--out-dir", str(folder / "own"), str(CHECKOUT)),
        ],
    )
    (wheel,) = (folder / "own").glob("vigil-*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    wheel.rename(folder / "wheels" / wheel.name)
    shutil.rmtree(folder / "own")
    version = wheel.name.split("-")[1]
    with (folder / "requirements.txt").open("a", encoding="utf-8") as file:
        file.write(f"vigil=={version} --hash=sha256:{digest}\n")


def _link_all(source: Path, target: Path, files: Iterable[Path]) -> None:
    """The same files at the same places below `target`, without a copy where one can be spared."""
    for file in files:
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            continue
        if place.name == "requirements.txt":  # is added to
            shutil.copyfile(file, place)
            continue
        try:
            os.link(file.resolve(), place)
        except OSError:  # another file system
            shutil.copyfile(file, place)


def _run(what: str, command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{what} for machines: not there within {WITHIN_S / 60:.0f} minutes") from error
    if done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise Unavailable(f"{what} for machines cannot be had: {' '.join(said[-5:])[-1000:] or 'no reason given'}")
