"""Whether host ports are free, asked before anything is made."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from vbox.facts import Network

LOOPBACK = "127.0.0.1"


def taken(ports: Iterable[int], networks: Iterable[Network], ours: str | None = None) -> dict[int, str]:
    """Which ports are not free, and who has them.

    Args:
        ports: of the loopback.
        networks: all NAT networks: a forward keeps its port also while its network is down.
        ours: the network whose own forwards do not count.
    """
    ruled = {
        rule.host_port: (network.name, f"forward {rule.name!r} of NAT network {network.name!r}")
        for network in networks
        for rule in network.forwards
    }
    found = {}
    for port in dict.fromkeys(ports):
        network, who = ruled.get(port, ("", ""))
        if network and network == ours:
            continue
        if who:
            found[port] = who
        elif reason := _bound(port):
            found[port] = reason
    return found


def said(found: dict[int, str]) -> str:
    """One line of what `taken` found."""
    return ", ".join(f"{LOOPBACK}:{port} ({who})" for port, who in sorted(found.items()))


def _bound(port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As a server would: connections that wait for their end do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return "a process of this host" if error.errno == errno.EADDRINUSE else str(error.strerror)
    return ""
