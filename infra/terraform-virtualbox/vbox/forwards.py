"""The port forwards of one machine, on the deployment's network."""

from __future__ import annotations

from vbox import facts, ports
from vbox.errors import Refused, VboxError
from vbox.facts import Forward, Network
from vbox.manage import Manage, Say
from vbox.network import check, mark, unmark
from vbox.owner import forwards_key, owns_network


def up(manage: Manage, owner: str, network: str, machine: str, wanted: tuple[Forward, ...], say: Say) -> None:
    """Makes exactly the wanted forwards of a machine; those that are there as wanted stay.

    Raises:
        Refused: a forward of that name is another's, or its host port is in use.
        ManageFailed: none that this call made is left then.
    """
    all_ = facts.networks(manage)
    found = all_.get(network)
    if found is None:
        raise VboxError(f"there is no NAT network {network!r}", remedy="Apply again with -replace for the network")
    key = forwards_key(network, machine)
    marked = set(check(manage, owner, found).get(key, "").split())
    have = {rule.name: rule for rule in found.forwards}
    _refuse_foreign(network, have, marked, wanted)
    fresh = [rule for rule in wanted if have.get(rule.name) != rule]
    stale = [rule for rule in have.values() if str(rule) in marked and rule not in wanted]
    if fresh:
        _refuse_used(all_, found, fresh, stale)
    if not fresh and not stale:
        say(f"forwards of {machine!r} are there")
        return
    say(
        f"forwarding to {machine!r}: {', '.join(f'{rule.host_port} to {rule.guest_port}' for rule in wanted) or 'none'}"
    )
    try:
        mark(manage, key, " ".join(sorted(marked | {str(rule) for rule in wanted})))
        _change(manage, network, stale, fresh)
        if marked - {str(rule) for rule in wanted}:
            mark(manage, key, " ".join(sorted(map(str, wanted))))
    except VboxError:
        with manage.cleaning():
            _half_made(manage, network, fresh, key)
        raise


def down(manage: Manage, owner: str, network: str, machine: str, say: Say) -> None:
    """Removes the forwards that were made for a machine; others, and what somebody changed since, stay."""
    extra = facts.extra_data(manage, "global")
    key = forwards_key(network, machine)
    marked = set(extra.get(key, "").split())
    if not marked:
        return
    found = facts.networks(manage).get(network)
    if found is not None and owns_network(owner, found, extra):
        ours = [rule for rule in found.forwards if str(rule) in marked]
        say(f"removing the forwards of {machine!r}")
        _change(manage, network, ours, [])
    unmark(manage, key)


def _refuse_foreign(network: str, have: dict[str, Forward], marked: set[str], wanted: tuple[Forward, ...]) -> None:
    for rule in wanted:
        there = have.get(rule.name)
        if there is not None and str(there) not in marked:
            raise Refused(
                f"NAT network {network!r} has a forward {rule.name!r} ({there}) that this deployment did not make; "
                "it was not changed",
                remedy="Remove it yourself, then run this again: "
                f"VBoxManage natnetwork modify --netname {network} --port-forward-4 delete {rule.name}",
            )


def _refuse_used(all_: dict[str, Network], found: Network, fresh: list[Forward], stale: list[Forward]) -> None:
    others = [network for network in all_.values() if network.name != found.name]
    rest = tuple(rule for rule in found.forwards if rule not in stale)
    others.append(Network(found.name, found.cidr, found.ipv6_prefix, rest))
    # A port that a stale rule of ours holds is free once that is gone.
    freed = {rule.host_port for rule in stale}
    used = ports.taken([rule.host_port for rule in fresh if rule.host_port not in freed], others)
    if used:
        raise Refused(
            f"host ports are in use: {ports.said(used)}",
            remedy="End what uses them, or choose others by the variable port_bases",
        )


def _change(manage: Manage, network: str, stale: list[Forward], fresh: list[Forward]) -> None:
    removed = [part for rule in stale for part in ("--port-forward-4", "delete", rule.name)]
    added = [part for rule in fresh for part in ("--port-forward-4", str(rule))]
    if removed or added:
        manage(
            *("natnetwork", "modify", "--netname", network, *removed, *added),
            doing=f"changing the forwards of NAT network {network!r}",
        )


def _half_made(manage: Manage, network: str, fresh: list[Forward], key: str) -> None:
    try:
        found = facts.networks(manage).get(network)
        there = [rule for rule in found.forwards if rule in fresh] if found else []
        _change(manage, network, there, [])
        left = [rule for rule in found.forwards if str(rule) in _marked(manage, key)] if found else []
        left = [rule for rule in left if rule not in there]
        if left:
            mark(manage, key, " ".join(sorted(map(str, left))))
        else:
            unmark(manage, key)
    except VboxError:
        return  # the first failure is the one to tell; what is marked is repaired by the next run


def _marked(manage: Manage, key: str) -> set[str]:
    return set(facts.extra_data(manage, "global").get(key, "").split())
