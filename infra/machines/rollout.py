"""Brings a machine to what it is to have: reached, its first boot over, software, configuration, restarts.

Every step is idempotent: it looks at what is there, and does what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from infra.machines.administration import affected
from infra.machines.contents import contents
from infra.machines.firewall_loading import load_firewall
from infra.machines.host_keys import host_keys, pin, pinned
from infra.machines.packages import packages_of, services_of
from infra.machines.placement import Instance
from infra.machines.target import Machines
from infra.service_manager import RunState
from streaming import decoding
from streaming.errors import Unavailable

LOOKS_EVERY_S = 0.5

Report = Callable[[str], None]


@dataclass(frozen=True)
class Rolled:
    """What was changed on a machine; all empty: it was as it should be."""

    changed: tuple[str, ...]
    restarted: tuple[str, ...]


def pin_host_key(machines: Machines, name: str, within_s: float) -> None:
    """Waits for the host keys on a machine's serial console, and pins them: from then on it is known.

    They are shown at its first boot alone. One that was only switched on again is known by what was pinned then.

    Raises:
        Unavailable: they have not come in time; the text names the console's file.
    """
    machine = machines.inventory.machines[name]
    if machine.serial is None:
        raise Unavailable(
            f"{name} has no serial console, so its host key cannot be known; put it into {machines.known_hosts}"
        )
    deadline = time.monotonic() + within_s
    while not (keys := host_keys(_text(machine.serial))):
        if _answers_as_pinned(machines, name):
            return
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{name} has not shown its host keys within {within_s:.0f} s; its console is in {machine.serial}"
            )
        time.sleep(LOOKS_EVERY_S)
    address = machine.ssh_address
    pin(machines.known_hosts, {(address.host, address.port): keys})


def _answers_as_pinned(machines: Machines, name: str) -> bool:
    address = machines.inventory.machines[name].ssh_address
    # At a first deployment there is no such file.
    if not machines.known_hosts.exists() or not pinned(machines.known_hosts, address.host, address.port):
        return False
    try:
        machines.connections.check(name, ["true"], repeatable=True)
    except Unavailable:
        return False
    return True


def await_reachable(machines: Machines, name: str, within_s: float) -> None:
    """Waits until a command runs on the machine.

    Raises:
        Unavailable: not in time; the text says why.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            machines.connections.check(name, ["true"], repeatable=True)
            return
        except Unavailable:
            if time.monotonic() > deadline:
                raise
        time.sleep(LOOKS_EVERY_S)


class _CloudInit(msgspec.Struct):
    status: str
    errors: list[str] = []


def await_first_boot(machines: Machines, name: str, within_s: float) -> str:
    """Waits until cloud-init is done; returns what it says.

    Raises:
        Unavailable: it has failed, or is not done in time; the text has its own words.
    """
    command = ["cloud-init", "status", "--wait", "--format", "json"]
    done = machines.connections.run(name, command, timeout_s=within_s, repeatable=True)
    start = done.text.find("{")
    try:
        found = decoding.decode(done.text[max(start, 0) :], _CloudInit)
    except msgspec.DecodeError:
        raise Unavailable(f"{name}: cloud-init gives no answer: {done.said or done.text[:200]}") from None
    if found.status != "done":
        why = "; ".join(found.errors) or done.said
        raise Unavailable(
            f"{name}: cloud-init ended as {found.status}: {why}. On the machine: /var/log/cloud-init-output.log"
        )
    return found.status


def install(machines: Machines, name: str, software: Path) -> tuple[str, ...]:
    """Brings software to a machine; returns what is new there.

    Raises:
        Unavailable: the machine cannot be reached, or refuses.
    """
    found = machines.administration.install(name, software)
    if found.changed:
        machines.pending.add(name, (one.service for one in machines.manager.instances(name)))
    return found.changed


def install_packages(machines: Machines, name: str) -> tuple[str, ...]:
    """Installs the packages of other makers that a machine needs; returns those that were not there.

    The machine fetches them itself: it needs the internet and a name server. Repeating it is harmless, also after a
    run that was cut off.

    Raises:
        Unavailable: the machine cannot be reached, or refuses: a key is another, or a version is not to be had.
    """
    wanted = packages_of(machines.inventory, name)
    if not wanted:
        return ()
    changed = machines.administration.install_packages(name, wanted).changed
    machines.pending.add(name, services_of(changed))
    return changed


def configure(machines: Machines, name: str) -> Rolled:
    """Makes configuration, secrets and units of a machine what they should be, and restarts what runs and reads what
    was changed, also by a run that did not come so far. Nothing else is restarted, and nothing is started.

    Raises:
        Unavailable: the machine cannot be reached, or refuses.
    """
    version = machines.manager.version(name)
    wanted = contents(machines.inventory, name, machines.deployed(), version)
    instances = machines.manager.instances(name)
    # Before anything is changed: a run that is killed between the change and the restart must not leave a service
    # that knows nothing of it.
    differing = machines.administration.compare(name, wanted)
    machines.pending.add(name, (one.service for one in affected(differing.changed, instances)))
    done = machines.administration.configure(name, wanted)
    changed = list(done.changed)
    if load_firewall(machines, name):
        changed.append("firewall")
    due = machines.pending.of(name)
    restarted = []
    for instance in instances:
        if instance.service in due and _runs(machines, instance):
            machines.manager.restart(str(instance))
            restarted.append(instance.service)
    machines.pending.forget(name)
    return Rolled((*changed, *(f"{one} (removed)" for one in done.surplus)), tuple(restarted))


def _runs(machines: Machines, instance: Instance) -> bool:
    return machines.manager.status(str(instance)).state in (RunState.RUNNING, RunState.STARTING)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
