"""Runs a machine's packaged Elasticsearch: lays out its configuration, and becomes its process.

`python -m infra.machines.elastic.serve FOLDER` copies FOLDER (/etc/vigil/elasticsearch) into the unit's run-time
folder, in memory: Elasticsearch writes a keystore beside its configuration, and reads keys from nowhere else. Key and
certificate (`keystore`) and the password for a first start (`bootstrap_password`) are the unit's credentials.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.machines.elastic.configuration import AUTHORITY, CHAIN, DATA, FIRST_MASTERS, KEY, SEEDS, SNAPSHOTS
from streaming.errors import ConfigError, Unavailable, VigilError

HOME = Path("/usr/share/elasticsearch")
BOOTSTRAP = "bootstrap.password"
KEYSTORE_WITHIN_S = 120.0
"""A Java program of a second or two, on a machine that has just booted and starts everything at once."""

CONFIGURATION_FOLDER = "VIGIL_ES_PATH_CONF"
"""What the package's own file of variables takes the folder from (`vigil_packages.py`)."""

Tool = Callable[[Sequence[str], bytes, Mapping[str, str]], None]
"""Runs a program of the package with that standard input and environment."""


def lay_out(source: Path, authority: Path, credentials: Path, target: Path, data: Path) -> None:
    """Makes the folder that Elasticsearch reads, anew, for its user alone.

    Raises:
        ConfigError: something of it is not there.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    (target / "tls").mkdir(mode=0o700)
    try:
        for name in (SEEDS, "trust.yml", "jvm.options", "log4j2.properties"):
            shutil.copyfile(source / name, target / name)
        settings = (source / "elasticsearch.yml").read_text(encoding="utf-8")
        if not _has_state(data):
            settings += (source / FIRST_MASTERS).read_text(encoding="utf-8").replace(NO_MASTERS, "")
        (target / "elasticsearch.yml").write_text(settings, encoding="utf-8")
        shutil.copyfile(authority, target / AUTHORITY)
        key, marker, chain = (credentials / "keystore").read_text(encoding="ascii").partition(_CERTIFICATE)
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", file=error.filename, remedy="Deploy the platform anew"
        ) from error
    if "PRIVATE KEY" not in key or not marker:
        raise ConfigError("holds no key with its certificate", file="keystore", remedy="Deploy the platform anew")
    (target / KEY).write_text(key, encoding="ascii")
    (target / CHAIN).write_text(marker + chain, encoding="ascii")


_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
NO_MASTERS = "cluster.initial_master_nodes: []\n"


def _has_state(data: Path) -> bool:
    return data.is_dir() and any(data.iterdir())


def make_keystore(target: Path, password: bytes, tool: Tool) -> None:
    """Makes Elasticsearch's keystore with the password that `elastic` has until one is set by the API.

    Raises:
        Unavailable: the package's program fails.
    """
    program = str(HOME / "bin" / "elasticsearch-keystore")
    environment = {CONFIGURATION_FOLDER: str(target)}
    tool([program, "create", "--silent"], b"", environment)
    tool([program, "add", "--stdin", "--force", BOOTSTRAP], password, environment)


def run_tool(command: Sequence[str], stdin: bytes, environment: Mapping[str, str]) -> None:
    """Raises Unavailable where it fails; what it was given is not in the text."""
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env={**os.environ, **environment},
            capture_output=True,
            timeout=KEYSTORE_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{Path(command[0]).name} {command[1]} did not run: {type(error).__name__}") from error
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[-300:]
        raise Unavailable(f"{Path(command[0]).name} {command[1]} failed with status {done.returncode}: {said}")


def run(source: Path, credentials: Path, run_time: Path, tool: Tool = run_tool) -> None:
    """Never returns: this process becomes Elasticsearch. TERM stops it in order.

    Raises:
        ConfigError: what a deployment writes is not there.
        Unavailable: the package is not there, or its keystore cannot be made.
    """
    program = HOME / "bin" / "elasticsearch"
    if not program.exists():
        raise Unavailable(f"{program} is not there: the package elasticsearch is not installed. Deploy the platform")
    target, data = run_time / "config", Path(DATA)
    lay_out(source, source.parent / "ca.pem", credentials, target, data)
    for folder in (data, Path(SNAPSHOTS), data.with_name("logs")):
        folder.mkdir(parents=True, exist_ok=True)
    make_keystore(target, (credentials / "bootstrap_password").read_bytes(), tool)
    os.environ[CONFIGURATION_FOLDER] = str(target)
    os.execv(program, [str(program)])  # noqa: S606 - no shell is meant


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m infra.machines.elastic.serve", description=__doc__)
    parser.add_argument("folder", type=Path, help="with elasticsearch.yml, such as /etc/vigil/elasticsearch")
    arguments = parser.parse_args()
    os.umask(0o077)
    try:
        run(arguments.folder, Path(os.environ["CREDENTIALS_DIRECTORY"]), Path(os.environ["RUNTIME_DIRECTORY"]))
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyError as error:
        print(f"vigil: {error.args[0]} is not set: systemd starts this", file=sys.stderr)
        sys.exit(ConfigError.exit_code)


if __name__ == "__main__":
    main()
