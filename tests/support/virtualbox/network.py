"""An emulated NAT network: a namespace with a bridge to which the machines are plugged, and the port forwards.

As with VirtualBox, the host reaches machines by port forwards alone, which lead from its own namespace into this one.
Nothing leads out of it: what is sent elsewhere is answered with "network unreachable".
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import zlib
from collections.abc import Sequence

from tests.support.virtualbox import namespaces
from tests.support.virtualbox.boot import Rule

BRIDGE = "nat"
NIC = "enp0s3"
"""What the first network card of a VirtualBox machine is called in Debian."""

_CHUNK = 1 << 18
"""Bytes a relay reads at once: as much as Linux's receive buffers usually hold."""


def namespace_of(host: str, name: str) -> str:
    """Of the NAT network of that name on an emulated host."""
    return f"{host}.{zlib.crc32(name.encode()):08x}"


class NatNetwork:
    """One of an emulated host."""

    def __init__(self, host: str, name: str, cidr: str) -> None:
        """Makes it.

        Raises:
            ValueError: `cidr` is no network.
            NetworkError: it could not be made.
        """
        self.cidr = ipaddress.IPv4Network(cidr)
        self.namespace = namespace_of(host, name)
        self._plugged = 0
        self._relay = _Relay(host, self.namespace)
        namespaces.make(self.namespace)
        namespaces.ip("-n", self.namespace, "link", "add", BRIDGE, "type", "bridge")
        gateway = f"{self.cidr[1]}/{self.cidr.prefixlen}"
        namespaces.ip("-n", self.namespace, "address", "add", gateway, "dev", BRIDGE)
        namespaces.ip("-n", self.namespace, "link", "set", BRIDGE, "up")
        with namespaces.inside(self.namespace), open("/proc/sys/net/ipv4/ip_forward", "w") as switch:  # noqa: PTH123
            switch.write("1")  # so that the gateway refuses what has no route, instead of losing it

    def plug(self, machine: str, mac: str) -> None:
        """Gives the namespace `machine`, which must be there, a network card on this network.

        Raises:
            NetworkError: it could not be made.
        """
        self._plugged += 1
        port = f"port{self._plugged}"
        card = ["type", "veth", "peer", "name", NIC, "address", mac, "netns", machine]
        namespaces.ip("-n", self.namespace, "link", "add", port, "master", BRIDGE, *card)
        namespaces.ip("-n", self.namespace, "link", "set", port, "up")

    def forward(self, rules: Sequence[Rule]) -> None:
        """Makes exactly these port forwards. Connections over those that go stay.

        Raises:
            OSError: one cannot be listened at; the others are made.
        """
        self._relay.forward(rules)

    def close(self) -> None:
        """Takes it away, with all that is open over it."""
        self._relay.close()
        namespaces.remove(self.namespace)


class _Relay:
    """Port forwards as VirtualBox's NAT has them: a connection is taken at once, whether or not the machine is there,
    and reset when the machine does not take it."""

    def __init__(self, host: str, network: str) -> None:
        self._host = host
        self._network = network
        self._listening: dict[Rule, socket.socket] = {}
        self._tasks: dict[Rule, asyncio.Task[None]] = {}
        self._open: set[asyncio.Task[None]] = set()

    def forward(self, rules: Sequence[Rule]) -> None:
        for rule in self._listening.keys() - set(rules):
            self._tasks.pop(rule).cancel()
            self._listening.pop(rule).close()
        failed: OSError | None = None
        for rule in rules:
            if rule in self._listening or rule.protocol != "tcp":
                continue
            try:
                with namespaces.inside(self._host):
                    listener = socket.create_server((rule.host_address or "127.0.0.1", rule.host_port), backlog=64)
            except OSError as error:
                failed = OSError(error.errno, f"forward {rule.name}: port {rule.host_port}: {error.strerror}")
                continue
            listener.setblocking(False)
            self._listening[rule] = listener
            self._tasks[rule] = asyncio.create_task(self._accept(rule, listener))
        if failed:
            raise failed

    def close(self) -> None:
        self.forward(())
        for task in self._open:
            task.cancel()

    async def _accept(self, rule: Rule, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listener)
            task = loop.create_task(self._connect(rule, client))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _connect(self, rule: Rule, client: socket.socket) -> None:
        with namespaces.inside(self._network):
            guest = socket.socket()
        with client, guest:
            guest.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(guest, (rule.guest_address, rule.guest_port))
                for side in (client, guest):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                async with asyncio.TaskGroup() as both:
                    both.create_task(_copy(client, guest))
                    both.create_task(_copy(guest, client))
            except* OSError:
                for side in (client, guest):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset at close


async def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until the source says that it has sent all, which the target is then told."""
    loop = asyncio.get_running_loop()
    buffer = memoryview(bytearray(_CHUNK))
    while length := await loop.sock_recv_into(source, buffer):
        await loop.sock_sendall(target, buffer[:length])
    target.shutdown(socket.SHUT_WR)
