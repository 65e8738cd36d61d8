"""Whose a machine or a network is. What this deployment did not make is never touched.

A machine is this deployment's if its UUID is the one that follows from owner and name (it is given at creation, so
there is no moment at which a machine of ours could be mistaken), and its extra data `vigil/owner` is not another's. A
NAT network has neither UUID nor extra data. VirtualBox's own extra data names its owner, and the network itself carries
a fingerprint: its IPv6 prefix (IPv6 is off), which follows from owner and name too. A network that somebody made anew
under the same name has another.
"""

from __future__ import annotations

import hashlib
import ipaddress
import uuid

from vbox.facts import Network

OWNER = "vigil/owner"
"""Extra data of a machine: its owner."""
MADE = "vigil/made"
"""Extra data of a machine that is wholly made and has been started once: the fingerprint of what was asked for."""
GLOBAL = "vigil/natnetwork/"
"""VirtualBox's own extra data: `vigil/natnetwork/NAME` is a network's owner, `…/forwards/MACHINE` a machine's rules."""

_NAMESPACE = uuid.UUID("6f5c0f4e-4a55-5a0c-9d0e-7c7f1d0b9a31")


def machine_uuid(owner: str, name: str) -> str:
    """The UUID of this owner's machine of a name."""
    return str(uuid.uuid5(_NAMESPACE, f"{owner}\n{name}"))


def fingerprint(owner: str, name: str) -> str:
    """The IPv6 prefix of this owner's network of a name: 56 bits of a hash below fd00::/8, as VirtualBox writes it."""
    digest = hashlib.sha256(f"{owner}\n{name}".encode()).digest()
    return str(ipaddress.IPv6Network((b"\xfd" + digest[:7] + bytes(8), 64)))


def network_key(name: str) -> str:
    """Where a network's owner is written."""
    return f"{GLOBAL}{name}"


def forwards_key(network: str, machine: str) -> str:
    """Where the rules of a machine are written that were made for it, separated by blanks."""
    return f"{GLOBAL}{network}/forwards/{machine}"


def owns_machine(owner: str, name: str, uuid_: str, marker: str | None) -> bool:
    """Whether a machine is this owner's; `marker` is its extra data OWNER, None where it has none yet."""
    return uuid_.lower() == machine_uuid(owner, name) and marker in (None, owner)


def owns_network(owner: str, network: Network, extra: dict[str, str]) -> bool:
    """Whether a network is this owner's; `extra` is VirtualBox's own extra data."""
    return extra.get(network_key(network.name)) == owner and _same(
        network.ipv6_prefix, fingerprint(owner, network.name)
    )


def _same(prefix: str, other: str) -> bool:
    try:
        return ipaddress.IPv6Network(prefix) == ipaddress.IPv6Network(other)
    except ValueError:
        return False
