"""The NAT network of a deployment."""

from __future__ import annotations

import ipaddress

from vbox import facts, ports
from vbox.errors import Refused, VboxError
from vbox.facts import Network
from vbox.manage import Manage, Say
from vbox.owner import GLOBAL, fingerprint, forwards_key, machine_uuid, network_key, owns_network
from vbox.spec import NetworkSpec


def up(manage: Manage, owner: str, wanted: NetworkSpec, say: Say) -> None:
    """Makes the network; nothing where it is there as wanted.

    Raises:
        Refused: a network of that name is another's, or a host port of the deployment is in use.
        ManageFailed: nothing is left then.
    """
    facts.require_version(manage)
    all_ = facts.networks(manage)
    found = all_.get(wanted.name)
    if found is not None:
        check(manage, owner, found)
        if ipaddress.IPv4Network(found.cidr) == ipaddress.IPv4Network(wanted.cidr):
            say(f"NAT network {wanted.name!r} is there")
            return
        down(manage, owner, wanted.name, say)
        del all_[wanted.name]
    if used := ports.taken(wanted.ports, all_.values()):
        raise Refused(
            f"host ports are in use: {ports.said(used)}",
            remedy="End what uses them, or choose others by the variable port_bases; nothing was made",
        )
    say(f"making NAT network {wanted.name!r}, {wanted.cidr}")
    try:
        mark(manage, network_key(wanted.name), owner)
        manage(
            *("natnetwork", "add", "--netname", wanted.name, "--network", wanted.cidr, "--enable", "--dhcp", "off"),
            *("--ipv6", "off", "--ipv6-prefix", fingerprint(owner, wanted.name)),
            doing=f"making NAT network {wanted.name!r}",
        )
        _rejoin(manage, wanted.name, say)
    except VboxError:
        with manage.cleaning():
            _half_made(manage, wanted.name, had=set(all_))
        raise


def down(manage: Manage, owner: str, name: str, say: Say) -> None:
    """Removes the network with its forwards; nothing where there is none, or where one of that name is another's.

    Raises:
        Refused: it has forwards that this deployment did not make, or there are machines on it.
    """
    found = facts.networks(manage).get(name)
    extra = facts.extra_data(manage, "global")
    if found is not None and not owns_network(owner, found, extra):
        say(f"NAT network {name!r} is not this deployment's, and stays as it is")
        found = None
        if extra.get(network_key(name)) != owner:
            return
    if found is not None:
        _foreign_forwards(found, extra)
        _refuse_used(manage, owner, name)
        say(f"removing NAT network {name!r}")
        manage("natnetwork", "remove", "--netname", name, doing=f"removing NAT network {name!r}")
    for key in sorted(extra, reverse=True):
        if key == network_key(name) or key.startswith(forwards_key(name, "")):
            unmark(manage, key)


def check(manage: Manage, owner: str, found: Network) -> dict[str, str]:
    """Raises Refused where a network is another's; gives VirtualBox's own extra data, which says whose it is."""
    extra = facts.extra_data(manage, "global")
    if owns_network(owner, found, extra):
        return extra
    of = extra.get(network_key(found.name))
    whose = f"belongs to {of!r}" if of not in (None, owner) else "was not made by this deployment"
    raise Refused(
        f"NAT network {found.name!r} ({found.cidr}) exists and {whose}; it was not changed",
        remedy="Give this deployment another name, or remove that network yourself: "
        f"VBoxManage natnetwork remove --netname {found.name}",
    )


def mark(manage: Manage, key: str, value: str) -> None:
    """Sets VirtualBox's own extra data."""
    manage("setextradata", "global", key, value, doing=f"marking {key.removeprefix(GLOBAL)}")


def unmark(manage: Manage, key: str) -> None:
    """Removes VirtualBox's own extra data."""
    manage("setextradata", "global", key, doing=f"removing the mark of {key.removeprefix(GLOBAL)}")


def _half_made(manage: Manage, name: str, had: set[str]) -> None:
    # It was absent a moment ago and this run holds the lock: what is there now came from the call that failed.
    try:
        if name in facts.networks(manage) and name not in had:
            manage("natnetwork", "remove", "--netname", name, doing=f"removing NAT network {name!r}")
        unmark(manage, network_key(name))
    except VboxError:
        return  # the first failure is the one to tell; the next run sees the mark


def _rejoin(manage: Manage, name: str, say: Say) -> None:
    # Machines that ran while somebody removed the network start nothing again by themselves.
    for machine, uuid in facts.running(manage).items():
        if name in attached(facts.info(manage, uuid)):
            say(f"starting NAT network {name!r} for {machine!r}, which runs")
            manage("natnetwork", "start", "--netname", name, doing=f"starting NAT network {name!r}")
            return


def attached(info: dict[str, str]) -> set[str]:
    """The NAT networks that a machine's adapters are on."""
    return {
        info.get(f"nat-network{key[3:]}", "")
        for key, value in info.items()
        if value == "natnetwork" and key.startswith("nic") and key[3:].isdigit()
    }


def _foreign_forwards(network: Network, extra: dict[str, str]) -> None:
    marked = {
        rule for key, value in extra.items() if key.startswith(forwards_key(network.name, "")) for rule in value.split()
    }
    for rule in network.forwards:
        if str(rule) not in marked:
            raise Refused(
                f"NAT network {network.name!r} has the forward {rule.name!r}, which this deployment did not make",
                remedy="Remove it yourself, then run this again: "
                f"VBoxManage natnetwork modify --netname {network.name} --port-forward-4 delete {rule.name}",
            )


def _refuse_used(manage: Manage, owner: str, name: str) -> None:
    for machine, uuid in facts.machines(manage).items():
        if name not in attached(facts.info(manage, uuid)):
            continue
        if uuid != machine_uuid(owner, machine):
            raise Refused(
                f"machine {machine!r}, which this deployment did not make, is on NAT network {name!r}",
                remedy="Take it off that network, then run this again",
            )
        raise Refused(
            f"machine {machine!r} is still on NAT network {name!r}, and Terraform does not know of it",
            remedy="Apply again, which takes it over, and destroy then; or remove everything: python vbox sweep",
        )
