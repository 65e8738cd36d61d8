"""The two machines of a deployment, booted and reached, without any software: for what needs no server."""

from __future__ import annotations

import base64
import json
import re
import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.machines import rollout, vigil_admin, vigil_firewall, vigil_install
from infra.machines.inventory import Inventory, parse
from infra.machines.keys import ensure_key, key_file
from infra.machines.sudo_commands import sudoers
from infra.machines.target import Machines
from streaming.settings import Settings
from tests.support.inventories import two_machines
from tests.support.virtualbox import boot, host
from tests.support.virtualbox.boot import BootMachine, BootNetwork, Rule
from tests.support.virtualbox.seeds import write_seed

BOOT_WITHIN_S = 180.0
TRIAL_S = 8
"""How long rules of the firewall are on trial there: 45 s are too long for a test that waits for their end."""


def user_data(key: str) -> str:
    """As of a deployment's seed, but that the operator may do all as root: tests break machines so."""
    content = {"/etc/sudoers.d/vigil-operator": (sudoers(), "0440")}
    content["/etc/sudoers.d/zz-test"] = ("vigil-operator ALL=(root) NOPASSWD: ALL\n", "0440")
    for program in (vigil_admin, vigil_install, vigil_firewall):
        text = Path(str(program.__file__)).read_text(encoding="utf-8")
        text = re.sub(r"^CONFIRM_WITHIN_S = \d+$", f"CONFIRM_WITHIN_S = {TRIAL_S}", text, flags=re.MULTILINE)
        name = program.__name__.rpartition(".")[2].replace("_", "-")
        content[f"/usr/local/sbin/{name}"] = (text, "0755")
    users = [
        {"name": "vigil-operator", "shell": "/bin/bash", "lock_passwd": True, "ssh_authorized_keys": [key]},
        {"name": "vigil", "system": True, "shell": "/usr/sbin/nologin", "homedir": "/var/lib/vigil"},
    ]
    files = [
        {"path": path, "permissions": mode, "encoding": "b64", "content": base64.b64encode(text.encode()).decode()}
        for path, (text, mode) in content.items()
    ]
    said = {"manage_etc_hosts": True, "ssh_genkeytypes": ["ed25519"], "users": users, "write_files": files}
    return "#cloud-config\n" + json.dumps(said)


@dataclass
class Bare:
    """The machines, and how to break them."""

    machines: Machines

    def root(self, machine: str, script: str, timeout_s: float = 30.0) -> str:
        """Runs a shell's script as root."""
        command = ["/usr/bin/sudo", "-n", "--", "sh", "-c", script]
        return self.machines.connections.check(machine, command, timeout_s=timeout_s)

    @contextmanager
    def listening(self, machine: str, ports: list[int]) -> Iterator[None]:
        """Something takes connections at ports of all addresses of a machine, and closes them."""
        self.root(
            machine, f"systemd-run -q --unit=listening -p Type=notify python3 -c {shlex.quote(LISTENER)} {_line(ports)}"
        )
        try:
            yield
        finally:
            self.root(machine, "systemctl stop listening")

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Every unit that a deployment has made runs, with a stand-in for its program: Kafka and elasticsearch-proxy
        do handshakes at their ports, with the keys that they were given, and nothing else."""
        for name in self.machines.inventory.machines:
            address = str(self.machines.inventory.machines[name].address)
            script = STAND_IN.replace("ADDRESS", address)
            units = "$(cd /etc/systemd/system; ls vigil-*.service | grep -v firewall)"
            self.root(
                name,
                "mkdir -p /opt/vigil/venv\n"
                f"cat >/usr/local/lib/stand-in.py <<'END'\n{script}\nEND\n"
                f"for unit in {units}; do mkdir -p /etc/systemd/system/$unit.d\n"
                f"cat >/etc/systemd/system/$unit.d/stand-in.conf <<END\n{DROP_IN}END\ndone\n"
                f"systemctl daemon-reload; systemctl start {units}",
            )
        try:
            yield
        finally:
            for name in self.machines.inventory.machines:
                self.root(name, "systemctl stop 'vigil-*.service' --no-pager; systemctl start vigil-firewall; true")


def _line(ports: list[int]) -> str:
    return " ".join(map(str, ports))


LISTENER = """
import os, selectors, socket, sys
found = selectors.DefaultSelector()
for port in sys.argv[1:]:
    found.register(socket.create_server(("0.0.0.0", int(port))), 1)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
    told.connect(os.environ["NOTIFY_SOCKET"])
    told.send(b"READY=1")
while True:
    for key, _ in found.select():
        key.fileobj.accept()[0].close()
"""

STAND_IN = """
import os, socket, ssl, sys, threading
def serve(port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["CREDENTIALS_DIRECTORY"] + "/keystore")
    listening = socket.create_server(("ADDRESS", port))
    while True:
        connection, _ = listening.accept()
        connection.settimeout(2)
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError:
            connection.close()
ports = {"vigil-kafka.service": (9092, 9093, 9094, 9095), "vigil-elasticsearch-proxy.service": (9243,)}
for port in ports.get(sys.argv[1], ()):
    threading.Thread(target=serve, args=(port,)).start()
if sys.argv[1] not in ports:
    threading.Event().wait()
"""

DROP_IN = """[Service]
Type=exec
WatchdogSec=0
ExecStart=
ExecStart=/usr/bin/python3 /usr/local/lib/stand-in.py $unit
"""


def network_of(inventory: Inventory) -> BootNetwork:
    """With the forwards that the inventory has."""
    rules = [
        Rule(f"{name}-{forward}", "tcp", "127.0.0.1", leads.host_port, str(machine.address), leads.guest_port)
        for name, machine in inventory.machines.items()
        for forward, leads in machine.forwards.items()
    ]
    return BootNetwork("vigil", str(inventory.network), rules)


def start(inventory: Inventory, name: str, folder: Path, key: str) -> None:
    """Boots a machine of an inventory; its console is `folder/NAME/serial.log`."""
    machine, own = inventory.machines[name], folder / name
    own.mkdir(exist_ok=True)
    assert machine.mac
    write_seed(own / "seed.iso", name, str(machine.address), machine.mac, key, user_data(key))
    (own / "disk.vdi").touch()
    files = (str(own), str(own / "disk.vdi"), str(own / "seed.iso"))
    about = BootMachine(
        name, str(uuid.uuid4()), *files, machine.mac, 2048, 1, str(own / "serial.log"), network_of(inventory)
    )
    boot.call("start", about)


@contextmanager
def bare_machines(folder: Path) -> Iterator[Bare]:
    """Both up, on an emulated host of their own, with this thread in the host's network. Skips where that cannot be."""
    tree = two_machines()
    machines = tree["machines"]
    assert isinstance(machines, dict)
    for name, one in machines.items():
        one["serial"] = str(folder / name / "serial.log")
    inventory = parse(tree, "test")
    made = Machines(Settings(home=folder / "home"), inventory, folder / "state")
    key = ensure_key(key_file(made.folder), "test")
    try:
        with host.emulated_host() as emulated, pytest.MonkeyPatch.context() as patch:
            for variable, value in emulated.environment.items():
                patch.setenv(variable, value)
            with emulated.inside():
                boot.call("forwards", network_of(inventory))
                for name in inventory.machines:
                    start(inventory, name, folder, key)
                for name in inventory.machines:
                    rollout.pin_host_key(made, name, BOOT_WITHIN_S)
                    rollout.await_reachable(made, name, BOOT_WITHIN_S)
                    rollout.await_first_boot(made, name, BOOT_WITHIN_S)
                try:
                    yield Bare(made)
                finally:
                    made.close()
    except host.HostUnavailable as error:
        pytest.skip(str(error))
