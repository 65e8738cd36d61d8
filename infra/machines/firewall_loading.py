"""Loads the firewall that a machine was given, so that nobody is cut off: it is on trial until a new SSH connection
confirms it. The machine's half is `vigil_firewall.py`."""

from __future__ import annotations

import logging
from typing import TypeVar

import msgspec

from infra.machines import firewall
from infra.machines.inventory import Firewall
from infra.machines.link import Retries
from infra.machines.ssh import Connections, servers
from infra.machines.sudo_commands import FirewallVerb, firewall_command, sudo
from infra.machines.target import Machines
from infra.machines.unreachable import CommandFailed, MachineUnavailable, plain
from streaming.decoding import decode
from streaming.errors import Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

ONCE_MORE = Retries(attempts=2, first_wait_s=0.5)
"""What is shut out is told after 10.5 s, well within a trial."""


class Applied(msgspec.Struct, frozen=True):
    """What `vigil-firewall apply` answers. `trial`: rules were loaded that have to be confirmed within `within_s`."""

    nftables: bool
    trial: bool = False
    within_s: float = 0.0


class FirewallStatus(msgspec.Struct, frozen=True):
    """What `vigil-firewall status` answers. `wanted`: the deployment wrote rules; `as_wanted`: those are loaded;
    `dropped`: packets since they were; `rules`: as nftables lists them."""

    nftables: bool
    wanted: bool = False
    loaded: bool = False
    as_wanted: bool = False
    trial: bool = False
    dropped: int = 0
    rules: str = ""


def load_firewall(machines: Machines, name: str) -> bool:
    """Makes the loaded rules of a machine those that it was given; True: others, or none, were loaded before.

    Raises:
        Unavailable: the machine cannot be reached, refuses the rules, or has no nftables and should have; or the new
            rules let no new connection in, so that the machine is going back to those before.
    """
    kind = firewall.kind(machines.inventory, name, machines.settings)
    if kind is Firewall.NONE:  # the unit was removed, and took its table along
        return False
    answer = _ask(machines.connections, name, FirewallVerb.APPLY, Applied)
    if not answer.nftables:
        missing = f"{name} has no nftables, so nothing is closed there but what listens on loopback"
        if kind is Firewall.REQUIRED:
            raise Unavailable(
                f"{missing}. Install the package nftables on it, or let it go without: `firewall: optional` in the "
                "inventory, VIGIL_MACHINES_FIREWALL=optional"
            )
        log.warning("%s; install the package nftables on it, and deploy again", missing)
        return False
    if not answer.trial:
        return False
    with Connections(servers(machines.inventory), machines.key, machines.known_hosts, ONCE_MORE) as another:
        try:
            _ask(another, name, FirewallVerb.CONFIRM, dict[str, bool])
        except MachineUnavailable as error:
            raise Unavailable(
                f"{name} lets no new connection in with the new firewall; it goes back to what was before within "
                f"{answer.within_s:.0f} s ({error})"
            ) from error
    return True


def firewall_status(connections: Connections, name: str) -> FirewallStatus:
    """What is loaded on a machine.

    Raises:
        Unavailable: the machine cannot be reached, or refuses.
    """
    return _ask(connections, name, FirewallVerb.STATUS, FirewallStatus)


def _ask(connections: Connections, name: str, verb: FirewallVerb, kind: type[T]) -> T:
    command = sudo(firewall_command(verb))
    try:
        answer = connections.check(name, command, repeatable=verb is FirewallVerb.STATUS)
        return decode(answer, kind)
    except CommandFailed as error:
        raise Unavailable(f"{name}: its firewall: {error.said or error}") from error
    except msgspec.DecodeError as error:
        raise Unavailable(f"{name}: vigil-firewall gives an answer that is not understood: {plain(str(error))}") from (
            error
        )
