#!/usr/bin/python3 -I
"""`vigil-admin VERB`: what the operator of a machine may do as root beside starting and stopping Vigil's units.

Installed as /usr/local/sbin/vigil-admin and run through sudo (`infra/machines/sudo_commands.py`); it uses the standard
library alone, since it comes before any software of Vigil. It takes no path and no name of a user, and what it is given
cannot make it write outside of Vigil's own folders, nor start a program as root: units are refused that say more than
Vigil's units do (`refusal`).

    compare      says what `configure` would change
    configure    reads {"files": {...}, "credentials": {...}, "units": {...}} and makes the machine's be exactly those;
                 with "partial": {} beside them, whatever is not named is left as it is
    kafka-users  reads {"USER": "PASSWORD", ...} and makes the users of Kafka and their rights be those
    kafka-disk   says of which cluster this machine's Kafka has a disk
    uninstall    stops everything and removes all of it but the state of the services

Each answers with one JSON object on standard output; what a secret is, is never shown.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SERVICE_USER = "vigil"
MOST_BYTES = 64 * 1024 * 1024

FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){0,3}")
CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
UNIT_NAME = re.compile(r"vigil-[a-z0-9-]{1,60}\.service|vigil\.target")

# What a unit of Vigil says. Nothing in here gives a right that the user of the services has not.
DIRECTIVES = {
    "Unit": "Description PartOf After Wants StartLimitIntervalSec StartLimitBurst",
    "Install": "WantedBy",
    "Service": (
        "Type ExecStart User Group UMask WorkingDirectory Environment EnvironmentFile LoadCredential Restart RestartSec"
        " RestartSteps RestartMaxDelaySec RestartPreventExitStatus SuccessExitStatus TimeoutStartSec TimeoutStopSec"
        " WatchdogSec NotifyAccess KillMode KillSignal Nice MemoryMax TasksMax LimitNOFILE StateDirectory"
        " StateDirectoryMode RuntimeDirectory RuntimeDirectoryMode ConfigurationDirectory ConfigurationDirectoryMode"
        " SyslogIdentifier NoNewPrivileges ProtectSystem ProtectHome ProtectProc ProtectClock ProtectHostname"
        " ProtectControlGroups ProtectKernelTunables ProtectKernelModules ProtectKernelLogs PrivateTmp PrivateDevices"
        " PrivateMounts PrivateUsers RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID"
        " LockPersonality RemoveIPC MemoryDenyWriteExecute SystemCallArchitectures SystemCallFilter"
        " SystemCallErrorNumber CapabilityBoundingSet InaccessiblePaths"
    ),
}
# What gives rights, or reaches beyond Vigil, is held to what its units need. A path alone starts a program as the user
# of the services: what may stand before one ("+", "!") starts it as root.
_UNITS = r"((network-online|multi-user|vigil)\.target|vigil-[a-z0-9-]+\.service)"
_IN_ETC = r"-?/etc/vigil/(?!credentials)[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?"
_DIRECTORY = re.compile(r"vigil(/[a-z0-9-]+)?")
VALUES = {
    "User": re.compile(SERVICE_USER),
    "Group": re.compile(SERVICE_USER),
    "ExecStart": re.compile(r"/.*"),
    **dict.fromkeys(("Wants", "After", "PartOf", "WantedBy"), re.compile(f"{_UNITS}( {_UNITS})*")),
    "EnvironmentFile": re.compile(_IN_ETC),
    "LoadCredential": re.compile(r"[A-Za-z0-9_]+:/etc/vigil/credentials/[A-Za-z0-9_][A-Za-z0-9_.-]*"),
    **dict.fromkeys(("StateDirectory", "RuntimeDirectory", "ConfigurationDirectory"), _DIRECTORY),
}
# A unit that runs as root is one of these, to the last character: its sha256.
EXACT = {"vigil-firewall.service": "9158509c3915076f44fe1757499193f19b6f75841bb59768ec471b16c722896b"}
ALLOWED = {section: frozenset(names.split()) for section, names in DIRECTIVES.items()}


USERS_UNIT = "vigil-kafka-users.service"


class Refused(Exception):
    """What was asked for is not done; the text is for a person."""


class Run(Protocol):
    """Runs a program of the machine; returns what it printed."""

    def __call__(self, command: Sequence[str], stdin: bytes = b"") -> str: ...


@dataclass(frozen=True)
class Machine:
    """Where things are on a machine; a test gives another `root`, and a stand-in for `run`."""

    root: Path
    run: Run
    chown: bool = True

    @property
    def etc(self) -> Path:
        return self.root / "etc/vigil"

    @property
    def credentials(self) -> Path:
        return self.etc / "credentials"

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def opt(self) -> Path:
        return self.root / "opt/vigil"

    def give(self, place: Path, mode: int, group: str = "root") -> None:
        """Sets mode and owner, which is always root."""
        if self.chown:
            os.chown(place, 0, grp.getgrnam(group).gr_gid)
        place.chmod(mode)


@dataclass(frozen=True)
class Kind:
    """One kind of what is configured: where it lies, and who may read it."""

    name: str
    folder: Path
    mode: int
    group: str
    valid: re.Pattern[str]


def kinds(machine: Machine) -> tuple[Kind, ...]:
    """In the order in which they are written: a unit comes after all that it reads."""
    return (
        Kind("files", machine.etc, 0o640, SERVICE_USER, FILE_NAME),
        Kind("credentials", machine.credentials, 0o600, "root", CREDENTIAL_NAME),
        Kind("units", machine.units, 0o644, "root", UNIT_NAME),
    )


PARTIAL = "partial"

Wanted = Mapping[str, Mapping[str, str]]


def wanted(text: bytes, machine: Machine) -> Wanted:
    """What standard input asks for.

    Raises:
        Refused: it is of another shape, or a name or unit is not one that Vigil has.
    """
    try:
        found = json.loads(text)
    except ValueError:
        raise Refused("standard input is no JSON") from None  # the error would show the text
    names = {kind.name for kind in kinds(machine)}
    if not isinstance(found, dict) or set(found) - {PARTIAL} != names:
        raise Refused(f"standard input is no object of {', '.join(sorted(names))}")
    for kind in kinds(machine):
        entries = found[kind.name]
        if not isinstance(entries, dict) or not all(isinstance(text, str) for text in entries.values()):
            raise Refused(f"{kind.name} is no object of texts")
        for name, content in entries.items():
            if not kind.valid.fullmatch(name) or (kind.name == "files" and name.split("/")[0] == "credentials"):
                raise Refused(f"{kind.name}: {name!r} is no name for one")
            if kind.name == "units" and (reason := refusal(content, name)):
                raise Refused(f"units: {name}: {reason}")
    return found


def refusal(unit: str, name: str = "") -> str | None:
    """Why a unit is not accepted; None: it can do nothing that the user of the services cannot, or is known whole."""
    if name in EXACT:
        known = hashlib.sha256(unit.encode()).hexdigest() == EXACT[name]
        return None if known else "it is not this machine's; its programs and the deployment are of different versions"
    # What ends a line here must end one for systemd, and the other way round.
    if not all(c == "\n" or c.isprintable() for c in unit):
        return "it holds a control character"
    section, sections, seen = "", set[str](), list[tuple[str, str]]()
    for line in unit.split("\n"):
        if line.endswith("\\"):
            return "a line goes on in the next one"
        if not line or line.startswith(("#", ";")):
            continue
        if heading := re.fullmatch(r"\[([A-Za-z]+)\]", line):
            section = heading[1]
            sections.add(section)
            continue
        key, separator, value = line.partition("=")
        if not separator or key not in ALLOWED.get(section, ()):
            return f"[{section}] {key}= is not among what a unit of Vigil says"
        if key in VALUES and not VALUES[key].fullmatch(value):
            return f"{key}= is not as in a unit of Vigil"
        seen.append((key, value))
    if "Service" in sections and [key for key, _ in seen].count("User") != 1:
        return f"User= must be {SERVICE_USER}, once"
    return None


def differences(machine: Machine, asked: Wanted) -> dict[str, list[str]]:
    """What is other than asked for: `changed` is missing or has other content, mode or owner; `surplus` is not asked
    for, which matters where all is asked for."""
    changed, surplus = list[str](), list[str]()
    for kind in kinds(machine):
        there = {str(path.relative_to(kind.folder)): path for path in present(machine, kind)}
        for name, content in asked[kind.name].items():
            if not same(machine, kind, there.get(name), content):
                changed.append(f"{kind.name}/{name}")
        if PARTIAL not in asked:
            surplus += [f"{kind.name}/{name}" for name in there if name not in asked[kind.name]]
    return {"changed": sorted(changed), "surplus": sorted(surplus)}


def present(machine: Machine, kind: Kind) -> Iterator[Path]:
    """What of a kind is on the machine: everything in Vigil's folders, of units those of Vigil's names."""
    if kind.name == "units":
        yield from (path for path in sorted(kind.folder.glob("vigil*")) if UNIT_NAME.fullmatch(path.name))
    elif kind.folder.is_dir():
        for path in sorted(kind.folder.rglob("*")):
            inside = kind.name == "files" and machine.credentials in (path, *path.parents)
            if not inside and (path.is_symlink() or not path.is_dir()):
                yield path


def same(machine: Machine, kind: Kind, path: Path | None, content: str) -> bool:
    """Whether a file is as asked for."""
    if path is None:
        return False
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != kind.mode:
        return False
    owner = (0, grp.getgrnam(kind.group).gr_gid) if machine.chown else (found.st_uid, found.st_gid)
    return (found.st_uid, found.st_gid) == owner and path.read_bytes() == content.encode()


def configure(machine: Machine, asked: Wanted) -> dict[str, list[str]]:
    """Writes what differs and removes what is not asked for; starts and restarts nothing."""
    found = differences(machine, asked)
    for folder, mode, group in ((machine.etc, 0o750, SERVICE_USER), (machine.credentials, 0o700, "root")):
        folder.mkdir(parents=True, exist_ok=True)
        machine.give(folder, mode, group)
    gone = [name for name in found["surplus"] if name.startswith("units/")]
    if gone:
        machine.run(["systemctl", "disable", "--now", *(name.removeprefix("units/") for name in gone)])
    for kind in kinds(machine):
        for entry in found["surplus"]:
            if entry.startswith(f"{kind.name}/"):
                (kind.folder / entry.removeprefix(f"{kind.name}/")).unlink()
        for name, content in asked[kind.name].items():
            if f"{kind.name}/{name}" in found["changed"]:
                write(machine, kind, kind.folder / name, content)
    if any(name.startswith("units/") for names in found.values() for name in names):
        machine.run(["systemctl", "daemon-reload"])
    if asked["units"]:
        # Also what somebody disabled by hand: it has to be there after the next boot.
        machine.run(["systemctl", "--quiet", "enable", *sorted(asked["units"])])
    return found


def write(machine: Machine, kind: Kind, place: Path, content: str) -> None:
    """Replaces a file: whole or not at all, and at no moment readable by others."""
    for folder in reversed([f for f in place.parents if kind.folder in f.parents]):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            folder.unlink()
        folder.mkdir(exist_ok=True)
        machine.give(folder, 0o750, kind.group)
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    draft = place.with_name(f".{place.name}.vigil-part")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content.encode())
        out.flush()
        os.fsync(out.fileno())
    machine.give(draft, kind.mode, kind.group)
    draft.replace(place)


def kafka_users(machine: Machine, passwords: bytes) -> Mapping[str, object]:
    """Makes Kafka's users and rights what they should be, by `infra.machines.kafka.users` as the user of the services.

    It runs as a unit of its own: so it gets the broker's key as Kafka does, and no other secret.

    Raises:
        Refused: Kafka is not on this machine, or the users could not be made.
    """
    properties = (machine.etc / "kafka/server.properties").read_text(encoding="utf-8")
    address = re.search(r"BROKERS://([0-9.]+):", properties)
    if not address:
        raise Refused("this machine is no broker")
    credentials = f"/run/credentials/{USERS_UNIT}"
    command = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--unit={USERS_UNIT}"]
    command += ["-p", f"User={SERVICE_USER}", "-p", "NoNewPrivileges=yes", "-p", "ProtectSystem=strict"]
    command += ["-p", f"LoadCredential=keystore:{machine.credentials}/kafka.keystore"]
    command += ["/opt/vigil/venv/bin/python", "-m", "infra.machines.kafka.users", address[1]]
    command += ["--keystore", f"{credentials}/keystore", "--ca", "/etc/vigil/ca.pem"]
    answer = json.loads(machine.run(command, passwords))
    return answer if isinstance(answer, dict) else {"answer": answer}


def kafka_disk(machine: Machine) -> dict[str, str | None]:
    """The id of the cluster that Kafka's disk was formatted for; None where there is none. Nothing else is read out."""
    place = machine.root / "var/lib/vigil/kafka/data/meta.properties"
    try:
        # The folder is the services' own: what lies there may be no file.
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return {"cluster": None}
    with os.fdopen(descriptor, "rb") as file:
        found = re.search(rb"^cluster\.id=([A-Za-z0-9_-]{1,64})$", file.read(65536), re.MULTILINE)
    return {"cluster": found[1].decode() if found else None}


def uninstall(machine: Machine) -> dict[str, object]:
    """Removes units, configuration, secrets and software; /var/lib/vigil stays."""
    found = [path.name for path in machine.units.glob("vigil*") if UNIT_NAME.fullmatch(path.name)]
    if found:
        machine.run(["systemctl", "disable", "--now", *found])
        for name in found:
            (machine.units / name).unlink(missing_ok=True)
        machine.run(["systemctl", "daemon-reload"])
    for folder in (machine.etc, machine.opt):
        shutil.rmtree(folder, ignore_errors=True)
    return {"removed": sorted(found)}


def run_program(command: Sequence[str], stdin: bytes = b"") -> str:
    """Runs a program of the machine in an environment that the caller had no part in.

    Raises:
        Refused: it failed; the text has its own words.
    """
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
    done = subprocess.run(command, env=environment, input=stdin, capture_output=True, check=False, cwd="/")
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())[-1000:]
        raise Refused(f"{' '.join(command[:4])} failed with status {done.returncode}: {said}")
    return done.stdout.decode("utf-8", "replace")


def act(verb: str, machine: Machine, stdin: Callable[[], bytes]) -> Mapping[str, object]:
    """Does what a verb says.

    Raises:
        Refused: it is not done.
    """
    match verb:
        case "compare":
            return differences(machine, wanted(stdin(), machine))
        case "configure":
            return configure(machine, wanted(stdin(), machine))
        case "kafka-users":
            return kafka_users(machine, stdin())
        case "kafka-disk":
            return kafka_disk(machine)
        case "uninstall":
            return uninstall(machine)
    raise Refused(f"no such verb: {verb!r}; there are compare, configure, kafka-users, kafka-disk, uninstall")


def main() -> None:
    """Entry point."""
    os.umask(0o022)
    machine = Machine(Path("/"), run_program)
    try:
        if len(sys.argv) != 2:
            raise Refused("takes one verb")
        answer = act(sys.argv[1], machine, lambda: sys.stdin.buffer.read(MOST_BYTES))
    except (Refused, OSError, KeyError) as error:
        print(f"vigil-admin: {error}", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
