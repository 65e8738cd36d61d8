"""The process of an emulated host on which its networks and machines hang: they end when it ends, however it ends.

Started by `host.Host` as `hypervisor.py HOST BASE_IMAGE`, which holds its standard input: at the end of that it turns
everything off, removes it and ends. Meanwhile it does what `boot_nspawn.py` tells it over a socket, one thing at a
time.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import traceback
from pathlib import Path

import msgspec

from streaming.decoding import decode
from tests.support.virtualbox import base_image, boot_nspawn, cgroups, namespaces
from tests.support.virtualbox.boot import BootMachine, BootNetwork
from tests.support.virtualbox.machine import BootFailed, Machine, forget_disk
from tests.support.virtualbox.namespaces import NetworkError
from tests.support.virtualbox.network import NatNetwork


class Request(msgspec.Struct):
    """What `boot_nspawn.py` was called with."""

    command: str
    about: msgspec.Raw


class Hypervisor:
    """Networks by name and machines by uuid, of one emulated host."""

    def __init__(self, host: str, base: Path) -> None:
        self._host = host
        self._base = base
        self._networks: dict[str, NatNetwork] = {}
        self._machines: dict[str, Machine] = {}
        self._turn = asyncio.Lock()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of one connection."""
        try:
            request = decode(await reader.readline(), Request)
            async with self._turn:
                reply = {"output": await self._do(request.command, request.about), "error": ""}
        except (BootFailed, NetworkError, OSError, ValueError) as error:  # of msgspec too
            traceback.print_exc()
            reply = {"output": "", "error": " ".join(str(error).split()) or type(error).__name__}
        writer.write(msgspec.json.encode(reply))
        writer.close()

    async def close(self) -> None:
        """Turns everything off."""
        async with self._turn:
            for machine in self._machines.values():
                await machine.power_off()
            for network in self._networks.values():
                network.close()

    async def _do(self, command: str, raw: msgspec.Raw) -> str:
        if command == "forwards":
            about = decode(raw, BootNetwork)
            self._network(about).forward(about.forwards)
            return ""
        wanted = decode(raw, BootMachine)
        machine = self._machines.get(wanted.uuid)
        match command:
            case "start":
                if machine is None or machine.state != "running":
                    await self._new(wanted).start(self._network(wanted.network) if wanted.network else None)
            case "state":
                return machine.state if machine else "poweroff"
            case "acpi" if machine:
                machine.press_power_button()
            case "poweroff" if machine:
                await machine.power_off()
            case "delete":
                if machine:
                    await machine.power_off()
                if wanted.disk:
                    forget_disk(Path(wanted.disk))
            case "acpi" | "poweroff":
                pass  # one that is off
            case _:
                raise ValueError(f"no command {command}")
        return ""

    def _new(self, about: BootMachine) -> Machine:
        folder = boot_nspawn.RUNTIME / self._host / about.uuid
        machine = self._machines[about.uuid] = Machine(self._host, about, folder, self._base)
        return machine

    def _network(self, about: BootNetwork) -> NatNetwork:
        network = self._networks.get(about.name)
        if network and str(network.cidr) != about.cidr:
            network.close()
            network = None
        if not network:
            network = self._networks[about.name] = NatNetwork(self._host, about.name, about.cidr)
        return network


def remove_traces(host: str) -> None:
    """What a dead hypervisor left: names, since everything else ended with it."""
    cgroups.remove(host)
    for name in namespaces.named(host):
        namespaces.remove(name)
    shutil.rmtree(boot_nspawn.RUNTIME / host, ignore_errors=True)


async def _serve(host: str, base: Path) -> None:
    hypervisor = Hypervisor(host, base)
    place = boot_nspawn.RUNTIME / host / boot_nspawn.SOCKET
    server = await asyncio.start_unix_server(hypervisor.answer, place)
    ended = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), sys.stdin)
    print("ready", flush=True)
    await ended.read()
    server.close()
    await hypervisor.close()


def main() -> None:
    """See the module."""
    host, base = sys.argv[1], Path(sys.argv[2])
    try:
        with base_image.in_use(base):
            asyncio.run(_serve(host, base))
    finally:
        remove_traces(host)


if __name__ == "__main__":
    main()
