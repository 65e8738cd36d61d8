"""Becomes a program of the platform: sets its environment and priority, ties its life to the supervisor's, replaces
itself.

Run by the supervisor as `python -I -S guard.py PROGRAMS_FILE NAME`; it uses the standard library alone, so that it
costs some 20 ms and, since it ends in exec, no memory. Command lines and environments come from a JSON file instead
of the supervisor's configuration: there a `;`, `#`, `%` or quote in a path changes its meaning.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import NoReturn, TypedDict

PR_SET_PDEATHSIG = 1  # prctl(2); survives exec

EX_CONFIG = 78


def main() -> NoReturn:
    """Runs the program that the arguments name; never returns."""
    programs_file, name = sys.argv[1:3]
    die_with_parent()
    with open(programs_file, encoding="utf-8") as file:  # noqa: PTH123 -- pathlib doubles the time to start
        declared: Declaration = json.load(file)
    try:
        environment = os.environ | declared["environment"] | declared["own_environment"].get(name, {})
        environment |= secrets(declared, name, os.environ)
    except (OSError, ValueError) as error:
        print(f"vigil: {error}", file=sys.stderr)
        raise SystemExit(EX_CONFIG) from None
    raise_limit_of_open_files()
    os.nice(declared["niceness"].get(name, 0))
    command = declared["programs"][name]
    os.chdir(declared["directory"])
    os.execve(command[0], command, environment)  # noqa: S606 -- no shell is meant


def die_with_parent() -> None:
    """Asks the kernel for a TERM when the supervisor dies; the workers then close as on any TERM."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # The parent may have died before the request: then nobody would send the signal.
    if os.getppid() != parent or parent == 1:
        raise SystemExit(f"vigil: the supervisor is gone (parent is {os.getppid()})")


FILES_WANTED = 16384
"""Open files of a program: Kafka and Elasticsearch hold some hundred segments, each several files."""


def raise_limit_of_open_files() -> None:
    """As far as the hard limit lets it (preflight says when that is too low)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Declaration(TypedDict):
    """What the programs file holds."""

    directory: str
    environment: dict[str, str]
    own_environment: dict[str, dict[str, str]]
    programs: dict[str, list[str]]
    niceness: dict[str, int]
    secrets: str
    secret_files: dict[str, dict[str, str]]


def secrets(declared: Declaration, name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Secrets for the program's environment, read when it starts.

    `secret_files` maps the variables of a program to the files that hold their values; the file `secrets`, which need
    not exist, holds `NAME=VALUE` lines for all programs. What the environment has already, stays.

    Raises:
        OSError: a secret's file is not there.
        ValueError: others may read the secrets file, or it has a line that is not NAME=VALUE; the text names it.
    """
    found = {}
    for variable, path in declared["secret_files"].get(name, {}).items():
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            found[variable] = file.read().strip()
    path = declared["secrets"]
    if os.path.exists(path):  # noqa: PTH110
        if os.stat(path).st_mode & 0o077:  # noqa: PTH116
            raise ValueError(f"{path}: others may read it. `chmod 600` it")
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            for number, line in enumerate(file, 1):
                if not line.strip() or line.startswith("#"):
                    continue
                variable, separator, value = line.strip().partition("=")
                if not separator:
                    raise ValueError(f"{path}:{number}: not NAME=VALUE")
                found[variable.strip()] = value.strip().strip("\"'")
    return {variable: value for variable, value in found.items() if not environment.get(variable)}


if __name__ == "__main__":
    main()
