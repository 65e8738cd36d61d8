"""The steps of a deployment that bring machines to what they are to have, each on all of them side by side.

Every step is idempotent; one that failed is tried again from its beginning, and what was done already is found done.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from infra.machines import rollout
from infra.machines.known import Origin
from infra.machines.programs import Software
from infra.machines.repairing import prepare
from infra.machines.rollout import Report, Rolled
from infra.machines.software import Guest, ensure_software
from infra.machines.target import Machines
from streaming import decoding
from streaming.errors import Unavailable, VigilError

T = TypeVar("T")

CONSOLE_WITHIN_S = 300.0
"""Host keys are shown at the end of the first boot: a minute or two in VirtualBox."""
REACHABLE_WITHIN_S = 180.0
FIRST_BOOT_WITHIN_S = 900.0
"""cloud-init installs nothing in the way `upload`; some packages from a mirror in the other."""

_ASK_GUEST = (
    "import json,platform,sys; "
    "print(json.dumps({'python': list(sys.version_info[:2]), 'architecture': platform.machine()}))"
)


def reach(machines: Machines, origin: Origin, report: Report) -> None:
    """Pins the host keys of machines that Terraform made, then waits until a command runs on each.

    Raises:
        Unavailable: not in time; the text names the machines and why.
    """

    def one(name: str) -> None:
        if origin is Origin.VIRTUALBOX:
            rollout.pin_host_key(machines, name, CONSOLE_WITHIN_S)
        rollout.await_reachable(machines, name, REACHABLE_WITHIN_S)
        address = machines.inventory.machines[name].ssh_address
        report(f"{name} is reachable at {address.host}:{address.port}")

    _on_each(machines, one)


def await_first_boot(machines: Machines, report: Report) -> None:
    """Waits until cloud-init is done on each.

    Raises:
        Unavailable: it has failed, or is not done in time; the text has its own words.
    """

    def one(name: str) -> None:
        rollout.await_first_boot(machines, name, FIRST_BOOT_WITHIN_S)
        report(f"{name}: cloud-init is done")

    _on_each(machines, one)


def install(machines: Machines, report: Report) -> None:
    """Makes the software for the machines' Python and architecture, and brings it to each, with the packages of other
    makers where software comes so.

    Raises:
        Unavailable: a package index or a machine cannot be reached, or refuses.
    """
    guests = _on_each(machines, lambda name: _guest(machines, name))
    folders = {guest: ensure_software(machines.settings, guest, report) for guest in set(guests.values())}

    def one(name: str) -> None:
        changed = rollout.install(machines, name, folders[guests[name]])
        if machines.software is Software.PACKAGES:
            changed += rollout.install_packages(machines, name)
        report(f"{name}: software {'is as it was' if not changed else 'was brought: ' + ', '.join(changed)}")

    _on_each(machines, one)


def configure(machines: Machines, report: Report) -> dict[str, Rolled]:
    """Secrets, certificates, configuration, firewall and units of each; restarts what runs and reads what was changed.
    Where Kafka's cluster was lost with a machine, everything is stopped before, and another cluster is made.

    Raises:
        Unavailable: a machine cannot be reached, or refuses.
    """
    prepare(machines, report)
    machines.deployed()  # what is secret is made once, before several threads ask for it

    def one(name: str) -> Rolled:
        rolled = rollout.configure(machines, name)
        report(f"{name}: {_told(rolled)}")
        return rolled

    return _on_each(machines, one)


def _told(rolled: Rolled) -> str:
    if not rolled.changed:
        return "nothing is changed"
    shown = ", ".join(rolled.changed[:8]) + (f" and {len(rolled.changed) - 8} more" if len(rolled.changed) > 8 else "")
    return f"changed: {shown}; restarted: {', '.join(rolled.restarted) or 'nothing'}"


class _Asked(msgspec.Struct):
    python: tuple[int, int]
    architecture: str


def _guest(machines: Machines, name: str) -> Guest:
    answer = machines.connections.check(name, ["python3", "-c", _ASK_GUEST], repeatable=True)
    try:
        found = decoding.decode(answer, _Asked)
    except msgspec.DecodeError:
        raise Unavailable(f"{name}: its python3 answers {answer[:200]!r} when it is asked for its version") from None
    return Guest(found.python, found.architecture)


def _on_each(machines: Machines, do: Callable[[str], T]) -> dict[str, T]:
    """Does it on all machines at once, each to its end; the first error is raised, with those of the others.

    Raises:
        VigilError: as `do`; the text of all that failed.
    """
    names = tuple(machines.inventory.machines)
    with ThreadPoolExecutor(len(names)) as pool:
        running = {name: pool.submit(do, name) for name in names}
    failed = {name: error for name, one in running.items() if (error := one.exception()) is not None}
    for error in failed.values():
        if len(failed) == 1 or not isinstance(error, VigilError):
            raise error
    if failed:
        raise Unavailable("; ".join(f"{name}: {error}" for name, error in failed.items()))
    return {name: one.result() for name, one in running.items()}
