"""Services of two machines over a real SSH server, with stand-ins for sudo and systemd behind it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.machines.ssh import Connections
from infra.machines.sudo_commands import allowed
from infra.machines.systemd import SystemdManager
from infra.machines.unreachable import MachineUnavailable, Server, Trouble
from infra.service_manager import RunState, ServiceManager
from streaming.errors import Unavailable
from tests.support import fake_systemd
from tests.support.inventories import inventory
from tests.support.sshd import QUICK, Sshd, sshd


@dataclass
class Machine:
    """One machine's folder of the stand-in."""

    server: Sshd
    folder: Path

    def reset(self, units: list[str]) -> None:
        for file in self.folder.glob("*.journal"):
            file.unlink()
        (self.folder / "calls").write_text("")
        self.write({unit: dict(fake_systemd.EMPTY) for unit in units})

    def write(self, units: dict[str, dict[str, str]]) -> None:
        (self.folder / "units.json").write_text(json.dumps(units))

    def units(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads((self.folder / "units.json").read_text())
        return found

    def change(self, unit: str, **properties: str) -> None:
        units = self.units()
        units[unit].update(properties)
        self.write(units)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    with ExitStack() as stack:
        found = {}
        for name in inventory().machines:
            folder, state = tmp_path_factory.mktemp(f"sshd-{name}"), tmp_path_factory.mktemp(f"systemd-{name}")
            (state / "allowed.json").write_text(json.dumps(allowed()))
            forced = [sys.executable, "-I", "-S", fake_systemd.__file__, str(state)]
            found[name] = Machine(stack.enter_context(sshd(folder, forced)), state)
        # One client's key for both, as a deployment has it.
        first, second = found.values()
        second.server.folder.joinpath("authorized_keys").write_bytes(
            first.server.folder.joinpath("authorized_keys").read_bytes()
        )
        with first.server.known_hosts.open("a") as pinned:
            pinned.write(second.server.known_hosts.read_text())
        yield found


@pytest.fixture
def machines(servers: dict[str, Machine]) -> dict[str, Machine]:
    for name, machine in servers.items():
        machine.reset([instance.unit for instance in inventory().instances(name)])
    return servers


@pytest.fixture
def manager(machines: dict[str, Machine]) -> Iterator[SystemdManager]:
    first = next(iter(machines.values())).server
    reached = {
        name: Server(name, "127.0.0.1", machine.server.port, machine.server.server.user)
        for name, machine in machines.items()
    }
    with Connections(reached, first.key_file, first.known_hosts, QUICK) as connections:
        yield SystemdManager(inventory(), connections)


def test_it_is_a_service_manager_and_starts_stops_and_restarts(
    manager: SystemdManager, machines: dict[str, Machine]
) -> None:
    port: ServiceManager = manager
    assert port.status("indexer").state is RunState.STOPPED
    port.start("indexer")
    found = port.status("indexer")
    assert (found.name, found.state, found.pid, found.started_ms) == ("indexer", RunState.RUNNING, 321, 1795702819000)
    port.start("indexer")
    assert machines["producer"].units()["vigil-indexer.service"]["starts"] == "1"
    port.restart("indexer")
    assert machines["producer"].units()["vigil-indexer.service"]["starts"] == "2"
    port.stop("indexer")
    port.stop("indexer")
    assert port.status("indexer").state is RunState.STOPPED
    with pytest.raises(KeyError):
        port.status("nonsense")
    with pytest.raises(KeyError):
        port.start("indexer@consumer")


def test_a_service_on_several_machines_is_as_well_as_its_worst(
    manager: SystemdManager, machines: dict[str, Machine]
) -> None:
    manager.start("kafka")
    found = manager.status("kafka")
    assert (found.state, found.detail) == (RunState.RUNNING, "")
    manager.stop("kafka@consumer")
    found = manager.status("kafka")
    assert (found.state, found.detail) == (RunState.STOPPED, "consumer: stopped")
    assert manager.status("kafka@producer").state is RunState.RUNNING
    manager.start("kafka")
    assert manager.status("kafka").state is RunState.RUNNING
    # Only where it did not run.
    assert {m: machines[m].units()["vigil-kafka.service"]["starts"] for m in machines} == {
        "producer": "1",
        "consumer": "2",
    }


def test_a_standby_is_of_the_same_name_and_has_a_unit_of_its_own(
    manager: SystemdManager, machines: dict[str, Machine]
) -> None:
    manager.start("manager")
    assert machines["producer"].units()["vigil-manager-standby.service"]["ActiveState"] == "active"
    assert machines["consumer"].units()["vigil-manager.service"]["ActiveState"] == "active"


def test_all_services_come_in_start_order_by_one_question_to_a_machine(
    manager: SystemdManager, machines: dict[str, Machine]
) -> None:
    manager.start("order")
    for machine in machines.values():
        (machine.folder / "calls").write_text("")
    found = manager.all()
    assert [status.name for status in found] == list(manager.services)
    assert {status.name for status in found if status.state is RunState.RUNNING} == {"order"}
    assert [len(machine.calls()) for machine in machines.values()] == [1, 1]


def test_what_ended_says_why_with_its_last_words(manager: SystemdManager, machines: dict[str, Machine]) -> None:
    producer = machines["producer"]
    producer.change(
        "vigil-indexer.service", ActiveState="failed", SubState="failed", Result="exit-code", ExecMainStatus="78"
    )
    stamp = "2026-11-26T14:20:19+0000 producer"
    (producer.folder / "vigil-indexer.service.journal").write_text(
        f'{stamp} vigil-indexer[7]: {{"message": "stopping", "log_level": "INFO"}}\n'
        f"{stamp} vigil-indexer[7]: vigil.toml:3: kafka_port: \x1b[2Jno port\n"
        f"{stamp} systemd[1]: vigil-indexer.service: Main process exited, code=exited, status=78/CONFIG\n"
    )
    found = manager.status("indexer")
    assert found.state is RunState.FAILED
    assert found.detail == "it ended with status 78: INFO stopping | vigil.toml:3: kafka_port:  [2Jno port"
    assert manager.logs("indexer", 1) == [
        "2026-11-26T14:20:19+0000 vigil-indexer.service: Main process exited, code=exited, status=78/CONFIG"
    ]


def test_logs_of_several_machines_name_them(manager: SystemdManager, machines: dict[str, Machine]) -> None:
    for name, machine in machines.items():
        lines = [f"2026-11-26T14:20:{n:02}+0000 {name} vigil-kafka[7]: line {n}" for n in range(60)]
        (machine.folder / "vigil-kafka.service.journal").write_text("\n".join(lines) + "\n")
    assert manager.logs("kafka", 2) == [
        "producer: 2026-11-26T14:20:58+0000 line 58",
        "producer: 2026-11-26T14:20:59+0000 line 59",
        "consumer: 2026-11-26T14:20:58+0000 line 58",
        "consumer: 2026-11-26T14:20:59+0000 line 59",
    ]
    assert len(manager.logs("kafka@producer", 50)) == 50
    assert manager.logs("kafka@producer", 0) == []


def test_one_that_waits_for_its_next_attempt_is_started_at_once(
    manager: SystemdManager, machines: dict[str, Machine]
) -> None:
    producer = machines["producer"]
    producer.change(
        "vigil-indexer.service",
        ActiveState="activating", SubState="auto-restart", Result="exit-code", ExecMainStatus="69", NRestarts="2",
    )  # fmt: skip
    found = manager.status("indexer")
    assert (found.state, found.detail) == (
        RunState.STARTING,
        "tried again soon, for the 3rd time; it ended with status 69",
    )
    manager.start("indexer")
    assert manager.status("indexer").state is RunState.RUNNING


def test_one_that_was_given_up_is_tried_anew(manager: SystemdManager, machines: dict[str, Machine]) -> None:
    machines["producer"].change(
        "vigil-indexer.service", ActiveState="failed", Result="start-limit-hit", StartLimitHit="yes"
    )
    assert "too often" in manager.status("indexer").detail
    manager.start("indexer")
    assert manager.status("indexer").state is RunState.RUNNING


def test_a_stop_that_another_units_start_has_canceled_is_asked_for_again(
    manager: SystemdManager, machines: dict[str, Machine]
) -> None:
    manager.start("kafka")
    machines["producer"].change("vigil-kafka.service", CanceledStops="2")
    manager.stop("kafka@producer")
    assert manager.status("kafka@producer").state is RunState.STOPPED
    machines["producer"].change("vigil-kafka.service", CanceledStops="99")
    with pytest.raises(Unavailable, match=r"kafka@producer: systemd refuses to stop it: Job for .* canceled"):
        manager.stop("kafka@producer")


def test_a_unit_that_is_not_there_is_told_with_the_remedy(
    manager: SystemdManager, machines: dict[str, Machine]
) -> None:
    machines["producer"].write({})
    found = manager.status("indexer")
    assert found.state is RunState.FAILED
    assert "vigil-indexer.service is not installed; deploy" in found.detail
    with pytest.raises(Unavailable, match=r"indexer@producer: systemd refuses to start it: .* not found"):
        manager.start("indexer")


def test_sudo_allows_each_command_that_is_used_and_no_other(
    manager: SystemdManager, machines: dict[str, Machine]
) -> None:
    """The stand-in's list is that of the machines; here the unit is one that they do not have."""
    connections = manager._connections
    done = connections.run("producer", ["/usr/bin/sudo", "-n", "--", "/usr/bin/systemctl", "stop", "ssh.service"])
    assert done.status == 1
    assert "password is required" in done.said


def test_a_machine_that_is_away_is_an_error_of_its_services_alone(
    manager: SystemdManager, machines: dict[str, Machine]
) -> None:
    consumer = machines["consumer"].server
    consumer.stop()
    try:
        assert manager.status("indexer").state is RunState.STOPPED
        for ask in (lambda: manager.status("kafka"), manager.all, lambda: manager.start("matcher")):
            with pytest.raises(Unavailable, match=r"machine consumer at 127\.0\.0\.1"):
                ask()
        # What could be done was done.
        assert machines["producer"].units()["vigil-matcher-standby.service"]["ActiveState"] == "active"
        seen = {str(one.instance): one.status for one in manager.survey()}
        away = seen["kafka@consumer"]
        assert isinstance(away, MachineUnavailable)
        assert away.trouble is Trouble.REFUSED
        here = seen["kafka@producer"]
        assert not isinstance(here, MachineUnavailable)
        assert here.state is RunState.STOPPED
    finally:
        consumer.start()
    assert manager.status("kafka").state is RunState.STOPPED
