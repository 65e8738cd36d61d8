"""A real machine: software installed, units run by its own systemd, found with their states and reasons."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from infra.machines import vigil_admin, vigil_install
from infra.machines.administration import Administration, Installed, Wanted
from infra.machines.environment import environment_file
from infra.machines.host_keys import host_keys, pin
from infra.machines.inventory import Inventory, parse
from infra.machines.keys import ensure_key
from infra.machines.programs import BROKERS_FILE, Software
from infra.machines.ssh import Connections, servers
from infra.machines.sudo_commands import sudo, sudoers
from infra.machines.systemd import SystemdManager
from infra.machines.units import Given, units
from infra.machines.unreachable import CommandFailed
from infra.service_manager import RunState, ServiceStatus
from tests.support.inventories import machine as described
from tests.support.machine_software import write_software
from tests.support.platform import wait_until
from tests.support.virtualbox import boot, host
from tests.support.virtualbox.boot import BootMachine, BootNetwork, Rule
from tests.support.virtualbox.seeds import write_seed

# A machine boots within 10 s of a processor; the first that is ever started has the base image made.
pytestmark = pytest.mark.timeout(900)

PATIENCE_S = 120.0
SERVICES = ("indexer", "templates", "manager", "heartbeat-monitor")
SECRET = "hunter2-hunter2"
SETTING = """a b"c'd$HOME\\e`f#%n;"""


def user_data(key: str) -> str:
    """What a deployment's seed says, as far as it is needed here."""
    programs = {
        "/usr/local/sbin/vigil-admin": (vigil_admin.__file__, "0755"),
        "/usr/local/sbin/vigil-install": (vigil_install.__file__, "0755"),
    }
    content = {path: (Path(source).read_bytes(), mode) for path, (source, mode) in programs.items()}
    content["/etc/sudoers.d/vigil-operator"] = (sudoers().encode(), "0440")
    return "#cloud-config\n" + json.dumps(
        {
            "manage_etc_hosts": True,
            "ssh_genkeytypes": ["ed25519"],
            "users": [
                {"name": "vigil-operator", "shell": "/bin/bash", "lock_passwd": True, "ssh_authorized_keys": [key]},
                {"name": "vigil", "system": True, "shell": "/usr/sbin/nologin", "homedir": "/var/lib/vigil"},
            ],
            "write_files": [
                {"path": path, "permissions": mode, "encoding": "b64", "content": base64.b64encode(raw).decode()}
                for path, (raw, mode) in content.items()
            ],
        }
    )


@dataclass
class Lab:
    inventory: Inventory
    connections: Connections
    software: Path

    @property
    def administration(self) -> Administration:
        return Administration(self.connections)

    @property
    def manager(self) -> SystemdManager:
        return SystemdManager(self.inventory, self.connections)

    def wanted(self) -> Wanted:
        secrets = {"indexer.kafka_password": SECRET}
        given = Given(Software.UPLOAD, frozenset(secrets))
        made = units(self.inventory, "all", given)
        # A watchdog that this test need not wait a minute for.
        kept = {
            name: text.replace("WatchdogSec=60", "WatchdogSec=2")
            for name, text in made.items()
            if name == "vigil.target" or name.removeprefix("vigil-").removesuffix(".service") in SERVICES
        }
        files = {"vigil.env": environment_file({"VIGIL_TOPIC_PREFIX": SETTING}), BROKERS_FILE: ""}
        return Wanted(files, secrets, kept)

    def until(self, name: str, state: RunState) -> ServiceStatus:
        """Its status once it is that."""

        def look() -> ServiceStatus | None:
            found = self.manager.status(name)
            return found if found.state is state else None

        found = wait_until(look, PATIENCE_S, f"{name} {state}")
        assert found is not None
        return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A machine that was booted from a seed, reached by its pinned key."""
    try:
        with host.emulated_host() as emulated, pytest.MonkeyPatch.context() as patch:
            for name, value in emulated.environment.items():
                patch.setenv(name, value)
            with emulated.inside():
                yield from _booted(tmp_path_factory.mktemp("machine"))
    except host.HostUnavailable as error:
        pytest.skip(str(error))


def _booted(folder: Path) -> Iterator[Lab]:
    every = ["controller", "broker", "elasticsearch", "indexing", "alerting", "collecting", "services"]
    tree = {"deployment": "vigil", "network": "10.77.0.0/24", "machines": {"all": described(11, every)}}
    inventory = parse(tree, "test")
    key = ensure_key(folder / "id_ed25519", "test")
    mac = "08:00:27:00:00:11"
    write_seed(folder / "seed.iso", "all", "10.77.0.11", mac, key, user_data(key))
    (folder / "disk.vdi").touch()
    network = BootNetwork("vigil", "10.77.0.0/24", [Rule("ssh", "tcp", "127.0.0.1", 2211, "10.77.0.11", 22)])
    files = (str(folder), str(folder / "disk.vdi"), str(folder / "seed.iso"))
    about = BootMachine("all", str(uuid.uuid4()), *files, mac, 2048, 1, str(folder / "serial.log"), network)
    boot.call("forwards", network)
    boot.call("start", about)
    keys = wait_until(
        lambda: host_keys((folder / "serial.log").read_text(errors="replace")), PATIENCE_S, "host keys on the console"
    )
    pin(folder / "known_hosts", {("127.0.0.1", 2211): keys})
    write_software(folder / "software")
    with Connections(servers(inventory), folder / "id_ed25519", folder / "known_hosts") as connections:
        done = connections.run("all", ["cloud-init", "status", "--wait"], timeout_s=PATIENCE_S, repeatable=True)
        assert done.status == 0, done.text
        yield Lab(inventory, connections, folder / "software")


def test_a_machine_from_its_software_to_its_end(lab: Lab) -> None:
    """One test, since each step stands on the one before."""
    installs_software_once(lab)
    configures_once(lab)
    runs_a_worker_with_what_it_needs_and_no_more(lab)
    starts_what_ended_again(lab)
    leaves_what_no_attempt_mends(lab)
    ends_what_hangs(lab)
    refuses_what_is_not_listed(lab)
    replaces_what_changed(lab)
    leaves_nothing_but_state(lab)


def installs_software_once(lab: Lab) -> None:
    first = lab.administration.install("all", lab.software)
    assert first.changed == ("venv", "jars")
    assert lab.administration.install("all", lab.software) == Installed(first.release, ())
    look = ["stat", "-L", "-c", "%U %a", "/opt/vigil/venv/bin", "/opt/vigil/venv/pyvenv.cfg", "/opt/vigil/jars/one.jar"]
    assert lab.connections.check("all", look).split("\n")[:3] == ["root 755", "root 644", "root 644"]


def configures_once(lab: Lab) -> None:
    assert lab.manager.version("all") >= 252
    assert len(lab.administration.configure("all", lab.wanted()).changed) == 4 + len(SERVICES)
    assert not lab.administration.compare("all", lab.wanted())
    assert not lab.administration.configure("all", lab.wanted())


def runs_a_worker_with_what_it_needs_and_no_more(lab: Lab) -> None:
    assert lab.manager.status("indexer").state is RunState.STOPPED
    lab.manager.start("indexer")
    found = lab.until("indexer", RunState.RUNNING)
    assert found.pid
    assert found.started_ms
    said = [line.partition(" ")[2] for line in lab.manager.logs("indexer", 100)]
    begin = said.index("user True home /var/lib/vigil/indexer")
    assert said[begin + 1 : begin + 7] == [
        f"secret {len(SECRET)} setting {SETTING}",
        "state works",
        "program refused",
        "configuration refused",
        "credentials refused",
        "others refused",
    ]
    lab.manager.restart("indexer")
    assert lab.until("indexer", RunState.RUNNING).pid != found.pid
    lab.manager.stop("indexer")
    assert lab.manager.status("indexer").state is RunState.STOPPED
    assert any(line.endswith(" stopped") for line in lab.manager.logs("indexer", 10))


def starts_what_ended_again(lab: Lab) -> None:
    lab.manager.start("heartbeat-monitor")
    found = lab.until("heartbeat-monitor", RunState.RUNNING)
    assert found.detail == ""
    assert any("about to be killed" in line for line in lab.manager.logs("heartbeat-monitor", 50))


def leaves_what_no_attempt_mends(lab: Lab) -> None:
    lab.manager.start("templates")
    found = lab.until("templates", RunState.FAILED)
    assert found.detail == "it ended with status 78: vigil: vigil.toml:3: kafka_port: is no port"
    # A start tries it anew, and it fails anew.
    lab.manager.start("templates")
    assert lab.until("templates", RunState.FAILED).detail == found.detail
    lab.manager.stop("templates")


def ends_what_hangs(lab: Lab) -> None:
    lab.manager.start("manager")
    # Ended by the watchdog, it is started again, and then it is well.
    wait_until(
        lambda: any("Watchdog timeout" in line for line in lab.manager.logs("manager", 50)), PATIENCE_S, "the watchdog"
    )
    assert lab.until("manager", RunState.RUNNING).pid


def refuses_what_is_not_listed(lab: Lab) -> None:
    for command in (["/bin/sh"], ["/usr/bin/systemctl", "stop", "ssh.service"], ["/usr/local/sbin/vigil-install", "x"]):
        with pytest.raises(CommandFailed, match="password is required"):
            lab.connections.check("all", sudo(command))
    with pytest.raises(CommandFailed, match="Permission denied"):
        lab.connections.check("all", ["cat", "/etc/vigil/credentials/indexer.kafka_password"])


def replaces_what_changed(lab: Lab) -> None:
    wanted = lab.wanted()
    fewer = {name: text for name, text in wanted.units.items() if "heartbeat" not in name}
    changed = replace(wanted, secrets={"indexer.kafka_password": "another"}, units=fewer)
    found = lab.administration.compare("all", changed)
    assert found.changed == ("credentials/indexer.kafka_password",)
    assert found.surplus == ("units/vigil-heartbeat-monitor.service",)
    assert lab.administration.configure("all", changed) == found
    missing = lab.manager.status("heartbeat-monitor")
    assert missing.state is RunState.FAILED
    assert "is not installed" in missing.detail


def leaves_nothing_but_state(lab: Lab) -> None:
    lab.administration.uninstall("all")
    left = lab.connections.check("all", ["ls", "/opt", "/etc/systemd/system", "/var/lib/vigil"])
    assert "vigil-" not in left
    assert "indexer" in left
