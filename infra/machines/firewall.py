"""The firewall of a machine: a ruleset of nftables that opens what the flow picture draws, and its unit. Pure.

It has a table of its own, `inet vigil`, and leaves all others alone. What the machine itself connects to is not
restricted. Forwards of a NAT network of VirtualBox come from two addresses: the network's gateway (`.1`), and `.2`,
which its engine puts in place of the host's 127.0.0.1 (`loopback mappings` of `VBoxManage natnetwork list`).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from infra.machines.flows import Flow, flows_to, port_of
from infra.machines.inventory import Firewall, ForwardName, Inventory
from infra.machines.programs import Software
from streaming.settings import Settings

FILE = "firewall.nft"
"""In /etc/vigil."""
UNIT = "vigil-firewall.service"

LOGGED_A_MINUTE, LOGGED_AT_ONCE = 6, 10
"""Drops in the kernel's log: some 9,000 lines a day at most."""
PINGS_A_SECOND = 10


def kind(inventory: Inventory, machine: str, settings: Settings) -> Firewall:
    """Whether a machine has one: the inventory's word, or else the settings'."""
    return inventory.machines[machine].firewall or Firewall(settings.machines_firewall)


def ruleset(inventory: Inventory, machine: str, software: Software) -> str:
    """What `nft -f` loads on a machine, in one transaction in place of what Vigil loaded before."""
    rules = [
        line for flow in flows_to(inventory, machine, software) for line in _accepts(flow, inventory, machine, software)
    ]
    lines = [
        'iif "lo" accept',
        "ct state established,related accept",
        'ct state invalid counter drop comment "of no connection"',
        f'icmp type echo-request limit rate {PINGS_A_SECOND}/second accept comment "ping"',
        "ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept "
        'comment "neighbours"',
        # A machine of VirtualBox has a fixed address.
        *([] if _behind_forwards(inventory, machine) else ['udp sport 67 udp dport 68 accept comment "dhcp"']),
        *rules,
        'meta pkttype { broadcast, multicast } counter drop comment "not to this machine"',
        f'limit rate {LOGGED_A_MINUTE}/minute burst {LOGGED_AT_ONCE} packets log prefix "vigil-firewall: "',
        'counter comment "closed"',
    ]
    body = "\n".join(f"\t\t{line}" for line in lines)
    return (
        f"# Written by Vigil for {machine}; what stands here is docs/machines-network.md's.\n"
        "table inet vigil\ndelete table inet vigil\n"
        "table inet vigil {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n"
        f"{body}\n\t}}\n}}\n"
    )


def _accepts(flow: Flow, inventory: Inventory, machine: str, software: Software) -> Iterable[str]:
    ports = f"tcp dport {{ {', '.join(map(str, port_of(flow, inventory, machine)))} }}"
    others = sorted(one.address for name, one in inventory.machines.items() if name != machine)
    asking = flow.sources(inventory, machine, software)
    comment = f'counter accept comment "{flow.name}"'
    if flow.forward is None:
        return [f"{ports} {_from(asking)} {comment}"] if asking else []
    if not _behind_forwards(inventory, machine):
        # The host comes with an address that the inventory does not know.
        return [f"{ports} {comment}"]
    if flow.forward is ForwardName.SSH:
        # Whatever address a hypervisor gives them: to be shut out here would need the machine's console.
        return [f"{ports} ip saddr != {_set(others)} {comment}" if others else f"{ports} {comment}"]
    return [f"{ports} {_from([*_gateway(inventory), *asking])} {comment}"]


def _behind_forwards(inventory: Inventory, machine: str) -> bool:
    return ForwardName.SSH in inventory.machines[machine].forwards


def _gateway(inventory: Inventory) -> list[IPv4Address]:
    taken = {machine.address for machine in inventory.machines.values()}
    return [one for one in (inventory.network[1], inventory.network[2]) if one not in taken]


def _from(addresses: Iterable[IPv4Address]) -> str:
    return f"ip saddr {_set(sorted(addresses))}"


def _set(addresses: Iterable[IPv4Address]) -> str:
    return f"{{ {', '.join(map(str, addresses))} }}"


_RULES = "/var/lib/vigil-firewall/rules.nft"
_HARDENED = (
    *("NoNewPrivileges", "PrivateDevices", "PrivateMounts", "ProtectHome", "ProtectClock", "ProtectHostname"),
    *("ProtectControlGroups", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "RemoveIPC"),
    *("RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute"),
)


def unit() -> str:
    """Loads what was confirmed last, before the network is there; to stop it takes Vigil's table away.

    At boot it waits for systemd-tmpfiles-setup: beside that, systemd 252 sometimes finds no place for the unit's own
    mounts ("Failed to set up mount namespacing"), and the machine would be left without a firewall. What fails all the
    same is tried again.

    The one unit of Vigil's that runs as root, with the right to configure the network and no other. A machine takes
    exactly this text (`EXACT` in `vigil_admin.py`).
    """
    lines = [
        "[Unit]",
        "Description=Vigil: firewall",
        "DefaultDependencies=no",
        "Wants=network-pre.target",
        "Before=network-pre.target shutdown.target",
        "Conflicts=shutdown.target",
        "After=local-fs.target systemd-tmpfiles-setup.service",
        f"ConditionPathExists={_RULES}",
        "StartLimitIntervalSec=60",
        "StartLimitBurst=10",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        "Restart=on-failure",
        "RestartSec=1",
        f"ExecStart=/usr/sbin/nft -f {_RULES}",
        f"ExecReload=/usr/sbin/nft -f {_RULES}",
        "ExecStop=-/usr/sbin/nft delete table inet vigil",
        *(f"{directive}=yes" for directive in _HARDENED),
        "UMask=0077",
        "ProtectSystem=strict",
        "ProtectProc=invisible",
        "CapabilityBoundingSet=CAP_NET_ADMIN",
        "RestrictAddressFamilies=AF_NETLINK AF_UNIX",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
        "IPAddressDeny=any",
        "SyslogIdentifier=vigil-firewall",
        "",
        "[Install]",
        "WantedBy=sysinit.target",
    ]
    return "\n".join(lines) + "\n"
