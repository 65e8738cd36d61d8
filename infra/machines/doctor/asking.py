"""Asks a deployment all that the doctor wants to know; what goes wrong is an answer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from infra.machines import firewall
from infra.machines.doctor import inside, servers
from infra.machines.doctor.facts import Facts, Inside, Login, OfMachine, Unit, VirtualMachine, Way
from infra.machines.firewall_loading import FirewallStatus, firewall_status
from infra.machines.flows import flows_to
from infra.machines.inventory import Firewall
from infra.machines.link import Retries
from infra.machines.placement import Instance
from infra.machines.programs import Software
from infra.machines.ssh import Connections
from infra.machines.ssh import servers as ssh_servers
from infra.machines.systemctl import read, show_command
from infra.machines.systemd import SystemdManager
from infra.machines.target import Machines
from infra.machines.unreachable import MachineUnavailable, Trouble, plain
from streaming.decoding import decode
from streaming.errors import ConfigError, Unavailable, VigilError

CONNECT_S = 5.0
ONCE_MORE = Retries(attempts=2, first_wait_s=0.5)
INSIDE_WITHIN_S = 40.0
"""cloud-init's answer takes a second, at most 10; connections to other machines 3; a busy machine some more."""
VBOXMANAGE_S = 60.0
"""VirtualBox's service starts at the first call."""


def ask(machines: Machines, software: Software, *, virtual: bool) -> Facts:
    """Everything, machine by machine at once. Takes some seconds; with much that gives no answer, half a minute.

    Args:
        virtual: the machines are VirtualBox's.

    Raises:
        ConfigError: the deployment's own secrets cannot be read.
    """
    inventory = machines.inventory
    names = list(inventory.machines)
    with Connections(ssh_servers(inventory), machines.key, machines.known_hosts, ONCE_MORE) as connections:
        asking = _Asking(machines, software, connections, SystemdManager(inventory, connections, software))
        with ThreadPoolExecutor(len(names)) as pool:
            found = dict(zip(names, pool.map(lambda name: asking.machine(name, virtual=virtual), names), strict=True))
        instances = tuple(one for name in names for one in asking.manager.instances(name))
    shells = Facts(
        inventory,
        software,
        {name: firewall.kind(inventory, name, machines.settings) is not Firewall.NONE for name in names},
        found,
        instances=instances,
    )
    return servers.asked(machines, shells)


class _Asking:
    def __init__(
        self, machines: Machines, software: Software, connections: Connections, manager: SystemdManager
    ) -> None:
        self._machines, self._software, self._connections = machines, software, connections
        self.manager = manager

    def machine(self, name: str, *, virtual: bool) -> OfMachine:
        """One machine, as far in as we come."""
        box = virtual_machine(f"{self._machines.inventory.deployment}-{name}") if virtual else None
        if box is not None and not box.error and box.state != "running":
            return OfMachine(box)
        address = self._machines.inventory.machines[name].ssh_address
        door = connect(address.host, address.port)
        if door is not Way.OPEN:
            return OfMachine(box, door)
        login = self._login(name)
        if login.trouble is not None:
            return OfMachine(box, door, login)
        return self._within(name, OfMachine(box, door, login))

    def _login(self, name: str) -> Login:
        try:
            self._connections.run(name, ["true"], repeatable=True)
        except MachineUnavailable as error:
            return Login(error.trouble, error.reason, str(error).rpartition(f"{error.reason}. ")[2])
        except ConfigError as error:
            trouble = Trouble.HOST_KEY if error.file == self._machines.known_hosts else Trouble.AUTHENTICATION
            return Login(trouble, f"cannot be tried: {error.reason} ({error.file})", error.remedy or "")
        return Login()

    def _within(self, name: str, so_far: OfMachine) -> OfMachine:
        asked_at = time.time()
        try:
            told: Inside | None = self._inside(name)
            error = ""
        except VigilError as failure:
            told, error = None, plain(str(failure), 300)
        answered_at = time.time()
        if told is None:
            return OfMachine(so_far.virtual, so_far.door, so_far.login, inside_error=error)
        rules, rules_error = self._firewall(name)
        return OfMachine(
            so_far.virtual,
            so_far.door,
            so_far.login,
            told,
            "",
            asked_at,
            answered_at,
            self._units(name),
            rules,
            rules_error,
        )

    def _inside(self, name: str) -> Inside:
        """Raises VigilError: it gives no answer."""
        text = Path(inside.__file__).read_bytes()
        command = ["python3", "-I", "-", *self._peers(name)]
        answer = self._connections.check(name, command, stdin=text, timeout_s=INSIDE_WITHIN_S, repeatable=True)
        try:
            return decode(answer, Inside)
        except msgspec.DecodeError as error:
            raise Unavailable(f"an answer that is not understood ({plain(str(error), 100)})") from error

    def _peers(self, name: str) -> list[str]:
        """What this machine connects to on others, by the picture of ports."""
        inventory = self._machines.inventory
        own = inventory.machines[name].address
        return [
            f"{other.address}:{flow.port}"
            for target, other in inventory.machines.items()
            for flow in flows_to(inventory, target, self._software)
            if target != name and own in flow.sources(inventory, target, self._software)
        ]

    def _firewall(self, name: str) -> tuple[FirewallStatus | None, str]:
        try:
            return firewall_status(self._connections, name), ""
        except VigilError as error:
            return None, plain(str(error), 300)

    def _units(self, name: str) -> Mapping[Instance, Unit] | None:
        placed = self.manager.instances(name)
        units = [one.unit for one in placed]
        try:
            shown = read(self._connections.check(name, show_command(units), repeatable=True), units)
            seen = self.manager.survey(placed)
        except VigilError:
            return None
        found = {}
        for one in seen:
            if isinstance(one.status, MachineUnavailable):
                return None
            restarts = shown[one.instance.unit]["NRestarts"]
            found[one.instance] = Unit(one.status, int(restarts) if restarts.isdigit() else 0)
        return found


def connect(host: str, port: int) -> Way:
    """Whether this host gets a connection."""
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except ConnectionRefusedError:
        return Way.REFUSED
    except ConnectionResetError:
        # Taken and closed at once, before we have noticed that it was taken; what is behind it tells the next link.
        return Way.OPEN
    except OSError:
        return Way.SILENT
    return Way.OPEN


def virtual_machine(name: str) -> VirtualMachine:
    """As VirtualBox has it, by VBoxManage."""
    program = os.environ.get("VIGIL_VBOXMANAGE") or shutil.which("VBoxManage")
    if program is None:
        return VirtualMachine(name, error="VBoxManage is not on the path, and VIGIL_VBOXMANAGE does not name it")
    try:
        done = subprocess.run(
            [program, "showvminfo", name, "--machinereadable"],
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "LANGUAGE": "C"},
            timeout=VBOXMANAGE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return VirtualMachine(name, error=plain(str(error), 200))
    if "Could not find a registered machine" in done.stderr:
        return VirtualMachine(name)
    states = [line.partition("=")[2].strip('"') for line in done.stdout.splitlines() if line.startswith("VMState=")]
    if done.returncode != 0 or not states:
        return VirtualMachine(name, error=plain(done.stderr, 200) or "VBoxManage gives no state")
    return VirtualMachine(name, states[0])
