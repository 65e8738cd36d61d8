"""What a machine is to have: its configuration, secrets, units and software, brought there and compared.

Secrets go through standard input alone. The machine's half is `vigil_admin.py` and `vigil_install.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from infra.machines import firewall
from infra.machines.elastic.configuration import FIRST_MASTERS, SEEDS
from infra.machines.placement import TARGET_UNIT, Instance
from infra.machines.programs import BROKERS_FILE
from infra.machines.ssh import Connections
from infra.machines.sudo_commands import OPERATOR, AdminVerb, admin_command, install_command, packages_command, sudo
from infra.machines.unreachable import CommandFailed, plain
from streaming.decoding import decode

T = TypeVar("T")

AUTHORITY_FILE, CREATION_FILE = "ca.pem", "kafka/creation.properties"
"""In /etc/vigil: who signs certificates; how many copies new topics have."""
WITHOUT_TLS = frozenset({"order", "payment", "inventory", "loadgen"})
"""Services that trust no authority: they speak with others over the machine's loopback alone."""
BEFORE_THE_FIRST_START = "elasticsearch.bootstrap_password"
"""A secret that nothing reads again."""

INCOMING = f"/home/{OPERATOR}/incoming"

CONFIGURE_WITHIN_S = 120.0
"""Removing a unit stops it first, which takes up to its TimeoutStopSec."""
INSTALL_WITHIN_S = 600.0
"""Some 60 wheels are unpacked and compiled; 20 s on an idle core."""
PACKAGES_WITHIN_S = 1800.0
"""Elasticsearch, Kibana and fluent-package are some 1.3 GB to fetch and 3 GB to unpack."""
USERS_WITHIN_S = 120.0


@dataclass(frozen=True)
class Wanted:
    """All that a machine's Vigil reads: `files` by their paths in /etc/vigil, `secrets` by their names in
    /etc/vigil/credentials, `units` by their names. Secrets appear in no text of this object.

    What is `partial` is a part of it: the rest of the machine is neither compared nor changed."""

    files: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    units: Mapping[str, str]
    partial: bool = False

    def encoded(self) -> bytes:
        """As `vigil-admin` reads it."""
        whole = {"files": self.files, "credentials": self.secrets, "units": self.units}
        return msgspec.json.encode(whole | {"partial": {}} if self.partial else whole)


class Differences(msgspec.Struct, frozen=True):
    """`changed`: missing, or with other content, mode or owner; `surplus`: there, and not wanted. Each as `files/PATH`,
    `credentials/NAME` or `units/NAME`."""

    changed: tuple[str, ...]
    surplus: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.changed or self.surplus)


class Installed(msgspec.Struct, frozen=True):
    """The software of a machine: a digest of what was uploaded, and whether that is new there."""

    release: str
    changed: tuple[str, ...]


class InstalledPackages(msgspec.Struct, frozen=True):
    """The versions of a machine's packages, and the names of those that were not there before."""

    installed: dict[str, str]
    changed: tuple[str, ...]


class _Disk(msgspec.Struct):
    cluster: str | None


class Administration:
    """Of the machines behind some connections. All calls are idempotent; none starts or restarts a service.

    Raises:
        MachineUnavailable, ConfigError, KeyError: as `Connections.run`.
        CommandFailed: the machine refuses, with its reason.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def compare(self, machine: str, wanted: Wanted) -> Differences:
        """What `configure` would change: drift, where it was called before."""
        return self._admin(machine, AdminVerb.COMPARE, wanted.encoded(), Differences, CONFIGURE_WITHIN_S)

    def configure(self, machine: str, wanted: Wanted) -> Differences:
        """Makes it so; returns what was changed and removed. Units that are not wanted any more are stopped."""
        return self._admin(machine, AdminVerb.CONFIGURE, wanted.encoded(), Differences, CONFIGURE_WITHIN_S)

    def install(self, machine: str, software: Path) -> Installed:
        """Brings a folder of software (`requirements.txt`, `wheels/`, `jars/`) to a machine and makes its services'
        environment of it, if that is not there already. Running services keep the old one until they are restarted."""
        self._connections.upload_folder(machine, software, INCOMING, only_these=True)
        answer = self._connections.check(machine, sudo(install_command()), timeout_s=INSTALL_WITHIN_S, repeatable=True)
        return _answer(machine, "vigil-install", answer, Installed)

    def install_packages(self, machine: str, versions: Mapping[str, str]) -> InstalledPackages:
        """Makes packages of other makers be there at these versions; what is there is left. Running services keep the
        old one until they are restarted."""
        stdin = msgspec.json.encode(versions)
        answer = self._connections.check(
            machine, sudo(packages_command()), stdin=stdin, timeout_s=PACKAGES_WITHIN_S, repeatable=True
        )
        return _answer(machine, "vigil-packages", answer, InstalledPackages)

    def kafka_users(self, machine: str, passwords: Mapping[str, str]) -> Mapping[str, object]:
        """Makes Kafka's users and rights what they should be, on a machine that is a broker; returns what changed
        (`infra.machines.kafka.users.Changes`)."""
        stdin = msgspec.json.encode(passwords)
        return self._admin(machine, AdminVerb.KAFKA_USERS, stdin, dict[str, object], USERS_WITHIN_S)

    def kafka_disk(self, machine: str) -> str | None:
        """The id of the cluster that a machine's Kafka has a disk of; None where it has none yet."""
        return self._admin(machine, AdminVerb.KAFKA_DISK, b"", _Disk, CONFIGURE_WITHIN_S).cluster

    def uninstall(self, machine: str) -> None:
        """Stops all services and removes everything of Vigil but their state."""
        self._admin(machine, AdminVerb.UNINSTALL, b"", dict[str, object], CONFIGURE_WITHIN_S)

    def _admin(self, machine: str, verb: AdminVerb, stdin: bytes, kind: type[T], within_s: float) -> T:
        command = sudo(admin_command(verb))
        answer = self._connections.check(machine, command, stdin=stdin, timeout_s=within_s, repeatable=True)
        return _answer(machine, f"vigil-admin {verb}", answer, kind)


def affected(changed: Iterable[str], instances: Collection[Instance]) -> list[Instance]:
    """Of some instances of one machine those that must be restarted to see what changed, in start order.

    Rule files are not among what needs that: the workers look at them by themselves. What is not known to belong to
    some services alone belongs to all.
    """
    names: set[str] = set()
    for entry in changed:
        kind, _, name = entry.partition("/")
        names |= _readers(kind, name, instances)
    return [instance for instance in instances if instance.service in names]


def _readers(kind: str, name: str, instances: Collection[Instance]) -> set[str]:
    every = {instance.service for instance in instances}
    if kind == "units":
        return set() if name == TARGET_UNIT else {one.service for one in instances if one.unit == name}
    if kind == "credentials":
        return set() if name == BEFORE_THE_FIRST_START else {name.partition(".")[0]}
    if name == firewall.FILE:  # loaded by itself
        return set()
    if name in (BROKERS_FILE, CREATION_FILE):  # of no use to what runs: a broker that comes restarts nothing
        return set()
    folder, _, rest = name.rpartition("/")
    if name == AUTHORITY_FILE:
        # An embedded Elasticsearch leaves TLS to its proxy.
        return every - WITHOUT_TLS - ({"elasticsearch"} if "elasticsearch-proxy" in every else set())
    match folder:
        case "rules":
            return set()
        case "env" | "tls":
            return {rest.rpartition(".")[0]}
        case "elasticsearch" if rest in (SEEDS, FIRST_MASTERS):
            return set()
        case "kafka" | "elasticsearch" | "kibana":
            return {folder}
        case "fluentd":
            accumulators = {service for service in every if service.startswith("accumulator")}
            number = rest.removeprefix("fluent").removesuffix(".conf")
            return {f"accumulator{number}"} if number.isdigit() else accumulators
    return every


def _answer(machine: str, program: str, answer: str, kind: type[T]) -> T:
    try:
        return decode(answer, kind)
    except msgspec.DecodeError as error:
        raise CommandFailed(machine, program, 0, f"an answer that is not understood: {plain(str(error))}") from error
