"""Machines in memory, for rotations: what each has on its disk, what each running service has loaded of it, which
passwords Kafka takes. After every call it is checked that nothing that runs is cut off."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from infra.machines import known
from infra.machines.administration import Administration, Differences, Wanted
from infra.machines.certificates import utc_now
from infra.machines.inventory import Inventory
from infra.machines.kafka.rights import USERS, user_of
from infra.machines.known import Deployed, Origin
from infra.machines.placement import Instance
from infra.machines.programs import Software
from infra.machines.rotation import delivery, rotate
from infra.machines.rotation.delivery import secrets_of
from infra.machines.secret_store import SecretStore
from infra.machines.ssh import Connections
from infra.machines.systemd import SystemdManager
from infra.machines.target import Machines
from infra.service_manager import RunState, ServiceStatus
from streaming.errors import Unavailable
from streaming.settings import Settings
from tests.support.inventories import inventory

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)


class Broken(Unavailable):
    """The failure that a test asked for."""


class World:
    """What there is, whoever looks at it. `fail_at` is the number of the call that fails, from 1, before or after it
    has had its effect. What is `cut_off` cannot be cut off."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.disks: dict[str, dict[str, str]] = {name: {} for name in inventory.machines}
        self.loaded: dict[Instance, dict[str, str]] = {}
        self.kafka: dict[str, str] = {}
        self.states: dict[Instance, RunState] = {}
        self.restarted: list[str] = []
        self.authorized: dict[str, list[str]] = {}
        self.calls, self.fail_at, self.fails_after, self.cut_off = 0, 0, False, False

    def call(self, machines: SimulatedMachines, effect: Effect) -> None:
        """One call to a machine."""
        self.calls += 1
        if self.calls == self.fail_at and not self.fails_after:
            raise Broken("as asked for")
        effect()
        self.check(machines)
        if self.calls == self.fail_at:
            raise Broken("as asked for, after it was done")

    def start(self, instance: Instance) -> None:
        """A service loads what its machine has."""
        self.loaded[instance] = dict(self.disks[instance.machine])
        self.states[instance] = RunState.RUNNING

    def check(self, machines: SimulatedMachines) -> None:
        """Whoever is to be reached shows what whoever reaches it trusts, in both directions."""
        if self.cut_off:
            return
        nodes = [one for one in self.loaded if one.service in ("kafka", "elasticsearch-proxy")]
        for node in nodes:
            leaf = self.loaded[node][f"credentials/{node.service}.keystore"]
            for client in self.loaded:
                if client.service in ("order", "payment", "inventory", "loadgen", "elasticsearch"):
                    continue
                assert trusts(self.loaded[client]["files/ca.pem"], leaf), f"{client} does not trust {node}"
                if client.service == node.service == "kafka":
                    assert trusts(self.loaded[node]["files/ca.pem"], self.keystore(client)), f"{node} refuses {client}"
                if client.service == "indexer" and node.service == "elasticsearch-proxy":
                    shown = self.loaded[client]["files/tls/indexer.pem"]
                    assert trusts(self.loaded[node]["files/ca.pem"], shown), f"{node} refuses {client}"
        for instance, has in self.loaded.items():
            password = has.get(f"credentials/{instance.service}.kafka_password")
            if password is not None and self.kafka.get(user_of(instance.service)) != password:
                assert instance.service in machines.pending.of(instance.machine), f"{instance} is not known to wait"

    def keystore(self, node: Instance) -> str:
        return self.loaded[node][f"credentials/{node.service}.keystore"]

    def settled(self, machines: SimulatedMachines) -> bool:
        """Everybody has what the store has, and nothing waits."""
        for name in self.inventory.machines:
            wanted = secrets_of(machines, name, settings_too=True)
            entries = entries_of(wanted)
            if machines.pending.of(name) or any(self.disks[name].get(entry) != text for entry, text in entries.items()):
                return False
        reads = {one: {e: t for e, t in has.items() if reads_it(one, e)} for one, has in self.loaded.items()}
        fresh = all(self.disks[one.machine][e] == text for one, has in reads.items() for e, text in has.items())
        return fresh and self.kafka == machines.store.passwords(list(USERS))


def reads_it(instance: Instance, entry: str) -> bool:
    """Whether a service loads what a machine has under a name."""
    if entry == "files/ca.pem":
        return instance.service not in ("order", "payment", "inventory", "loadgen", "elasticsearch")
    return entry.startswith((f"credentials/{instance.service}.", f"files/tls/{instance.service}."))


class Effect:
    """What a call does."""

    def __init__(self, *steps: tuple[dict[str, str], Mapping[str, str]]) -> None:
        self._steps = steps

    def __call__(self) -> None:
        for place, new in self._steps:
            place |= new


class KnownMachines:
    """A deployment `vigil` in memory that this host knows and that runs, as `days` go by; `machines` in place of
    `infra.machines.known.machines`."""

    def __init__(self, settings: Settings) -> None:
        known.remember(settings, inventory(), Deployed(Origin.VIRTUALBOX, Software.UPLOAD))
        self.settings, self.days, self.world = settings, 0.0, World(inventory())
        self.machines().deploy()

    def machines(self, *_: object) -> SimulatedMachines:
        """As a new process sees them."""
        made = SimulatedMachines(self.world, known.folder_of(self.settings, "vigil"), self.settings)
        made.__dict__["store"] = SecretStore(made.folder / "secrets", "vigil", self._now)
        return made

    def _now(self) -> datetime:
        return utc_now() + timedelta(days=self.days)


def open_gates(patch: pytest.MonkeyPatch) -> list[str]:
    """Every gate of a rotation opens at once; the list has those that were asked."""
    asked: list[str] = []
    patch.setattr(delivery, "await_working", lambda _, instance: asked.append(str(instance)))
    patch.setattr(delivery, "await_all_copies", lambda _: asked.append("copies"))
    patch.setattr(rotate, "await_everything", lambda _: asked.append("everything"))
    return asked


class _Administration(Administration):
    def __init__(self, machines: SimulatedMachines) -> None:
        self._machines, self._world = machines, machines.world

    def compare(self, machine: str, wanted: Wanted) -> Differences:
        self._world.call(self._machines, Effect())
        disk = self._world.disks[machine]
        return Differences(tuple(e for e, text in entries_of(wanted).items() if disk.get(e) != text), ())

    def configure(self, machine: str, wanted: Wanted) -> Differences:
        assert wanted.partial
        self._world.call(self._machines, Effect((self._world.disks[machine], entries_of(wanted))))
        return Differences((), ())

    def kafka_users(self, machine: str, passwords: Mapping[str, str]) -> Mapping[str, object]:
        assert set(passwords) == set(USERS)
        self._world.call(self._machines, Effect((self._world.kafka, passwords)))
        return {}


class _Manager(SystemdManager):
    def __init__(self, machines: SimulatedMachines) -> None:
        super().__init__(machines.inventory, machines.connections)
        self._machines, self._world = machines, machines.world

    def restart(self, name: str) -> None:
        (instance,) = (one for one in self._machines.inventory.placement if str(one) == name)
        self._world.restarted.append(name)

        class Started(Effect):
            def __call__(inner) -> None:  # noqa: N805 - `self` is the manager
                self._world.start(instance)

        self._world.call(self._machines, Started())

    def status(self, name: str) -> ServiceStatus:
        (instance,) = (one for one in self._machines.inventory.placement if str(one) == name)
        return ServiceStatus(name, self._world.states[instance], None, "")


class _Connections(Connections):
    def __init__(self, machines: SimulatedMachines) -> None:
        super().__init__({}, Path(), Path())
        self._of = machines

    def check(
        self,
        machine: str,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = 0,
        most_bytes: int = 0,
        repeatable: bool = False,
    ) -> str:
        assert list(command) == ["true"]
        self._of.world.call(self._of, Effect())
        return ""


class SimulatedMachines(Machines):
    """As this host sees them; another one of the same world and folder is another run."""

    def __init__(self, world: World, folder: Path, settings: Settings | None = None) -> None:
        super().__init__(settings or Settings(home=folder), world.inventory, folder)
        self.world = world
        # In place of what is made at first use.
        self.__dict__["connections"] = _Connections(self)
        self.__dict__["administration"] = _Administration(self)
        self.__dict__["manager"] = _Manager(self)

    def deploy(self) -> None:
        """Everything is there and runs."""
        world = self.world
        assert self.client_settings().kafka_username == "control"
        world.kafka |= self.store.passwords(list(USERS))
        for name in world.inventory.machines:
            world.disks[name] |= entries_of(secrets_of(self, name, settings_too=True))
        for instance in world.inventory.placement:
            world.start(instance)


def entries_of(wanted: Wanted) -> dict[str, str]:
    """By the names of `Differences`."""
    files = {f"files/{name}": text for name, text in wanted.files.items()}
    return files | {f"credentials/{name}": text for name, text in wanted.secrets.items()}


@cache
def trusts(authorities: str, shown: str) -> bool:
    """Whether a certificate (PEM, the first one) is by one of these."""
    leaf = x509.load_pem_x509_certificate(PEM.findall(shown)[0].encode())
    for text in PEM.findall(authorities):
        authority = x509.load_pem_x509_certificate(text.encode())
        if authority.subject != leaf.issuer:
            continue
        try:
            leaf.verify_directly_issued_by(authority)
        except InvalidSignature:
            continue
        return True
    return False
