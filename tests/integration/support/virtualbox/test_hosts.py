"""Whatever ends an emulated host, nothing of it is left: no process, mount, network card, namespace, cgroup, folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from streaming.settings import CHECKOUT
from tests.support.platform import wait_until
from tests.support.virtualbox import boot, boot_nspawn, cgroups, host, namespaces
from tests.support.virtualbox.boot import BootMachine, BootNetwork
from tests.support.virtualbox.host import Host

pytestmark = pytest.mark.timeout(900)  # the first that is ever started has the base image made


@pytest.fixture
def ending() -> Iterator[tuple[Host, ExitStack]]:
    """A host, and what ends it as it should."""
    with ExitStack() as stack:
        try:
            up = stack.enter_context(host.emulated_host())
        except host.HostUnavailable as error:
            pytest.skip(str(error))
        yield up, stack


def booting(folder: Path) -> BootMachine:
    """A machine that was started with its disk in `folder`; it has no seed."""
    (folder / "disk.vdi").touch()
    network = BootNetwork("vigil", "10.77.0.0/24")
    uart = str(folder / "serial.log")
    return BootMachine(
        "m", str(uuid.uuid4()), str(folder), str(folder / "disk.vdi"), None, "08:00:27:00:00:11", 256, 1, uart, network
    )


def ask(on: Host, command: str, machine: BootMachine) -> str:
    """As the emulated VBoxManage does."""
    with pytest.MonkeyPatch.context() as patch, on.inside():
        for name, value in on.environment.items():
            patch.setenv(name, value)
        return boot.call(command, machine)


def start(on: Host, machine: BootMachine) -> list[int]:
    """Starts it; the processes of it so far."""
    ask(on, "start", machine)
    return processes(on.name)


def processes(name: str) -> list[int]:
    """Of all machines of a host."""
    groups = {group for top in cgroups.left(name) for group in top.rglob("cgroup.procs")}
    return sorted({int(pid) for group in groups for pid in group.read_text().split()})


def left(name: str) -> list[str]:
    """Traces of a host."""
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if name in line]
    folder = boot_nspawn.RUNTIME / name
    return [
        *map(str, cgroups.left(name)),
        *namespaces.named(name),
        *mounts,
        *([str(folder)] if folder.exists() else []),
    ]


def alive(pids: list[int]) -> list[int]:
    """Those that still run. Orphans that init has yet to reap do not; a number is used again after some thousand."""
    return [pid for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_an_orderly_end(ending: tuple[Host, ExitStack], tmp_path: Path) -> None:
    up, end = ending
    pids = start(up, booting(tmp_path))
    assert pids
    assert left(up.name)
    end.close()
    assert alive(pids) == []
    assert left(up.name) == []


def test_a_killed_hypervisor_takes_the_machines_along_and_the_next_host_removes_the_names(
    ending: tuple[Host, ExitStack], tmp_path: Path
) -> None:
    up, _ = ending
    pids = start(up, booting(tmp_path))
    up.kill()
    wait_until(lambda: not alive(pids), 30, "the end of all processes")
    assert left(up.name)
    with host.emulated_host():
        assert left(up.name) == []


def test_a_killed_test_run(ending: tuple[Host, ExitStack], tmp_path: Path) -> None:
    about = tmp_path / "about.json"
    about.write_text(json.dumps(asdict(booting(tmp_path))))
    script = (
        f'echo $PPID; "{sys.executable}" "$VBOX_EMULATED_BOOT" start {about} && ip netns identify && exec sleep 600'
    )
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.virtualbox.host", "sh", "-c", script],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout
        owner, name = int(run.stdout.readline()), run.stdout.readline().strip()
        pids = processes(name)
        assert pids
        os.kill(owner, signal.SIGKILL)
        wait_until(lambda: not alive(pids) and not left(name), 30, "the end of everything")


def test_the_power_button_ends_a_machine_in_order_and_its_disk_takes_along_what_it_wrote(
    ending: tuple[Host, ExitStack], tmp_path: Path
) -> None:
    up, _ = ending
    machine = booting(tmp_path)
    start(up, machine)
    console = tmp_path / "serial.log"
    wait_until(lambda: "login:" in console.read_text(errors="replace"), 90, "the end of the boot")
    ask(up, "acpi", machine)
    wait_until(lambda: ask(up, "state", machine) == "poweroff", 90, "an orderly end")
    assert "Reached target poweroff.target" in console.read_text(errors="replace")
    assert [kept.name for kept in tmp_path.glob("disk*") if kept.is_dir()] == ["disk.vdi.layer"]
    ask(up, "delete", machine)
    assert [kept.name for kept in tmp_path.glob("disk*")] == ["disk.vdi"]


def test_a_machine_whose_processes_die_is_aborted_and_starts_again(
    ending: tuple[Host, ExitStack], tmp_path: Path
) -> None:
    up, _ = ending
    machine = booting(tmp_path)
    for pid in start(up, machine):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: ask(up, "state", machine) == "aborted", 30, "that it is seen")
    assert start(up, machine)
    assert ask(up, "state", machine) == "running"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "disk.vdi.layer").write_text("a file"), "disk.vdi.layer"),
        (lambda folder: (folder / "serial.log").mkdir(), "serial.log"),
    ],
)
def test_a_machine_that_cannot_start_says_why_and_leaves_nothing(
    ending: tuple[Host, ExitStack], tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    up, _ = ending
    spoil(tmp_path)
    with pytest.raises(boot.BootError, match=says):
        start(up, booting(tmp_path))
    assert processes(up.name) == []
    assert len([name for name in namespaces.named(up.name) if "." in name]) == 1  # the NAT network's


def test_outside_of_an_emulated_host_nothing_is_booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(boot.VARIABLE, str(Path(boot_nspawn.__file__)))
    with pytest.raises(boot.BootError, match="not the network namespace of an emulated host"):
        boot.call("start", booting(tmp_path))
