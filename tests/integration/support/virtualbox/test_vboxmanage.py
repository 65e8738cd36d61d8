"""The emulated VBoxManage keeps the rules of the real one: exit codes, messages, states, the media registry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.virtualbox import boot, harness
from tests.support.virtualbox.harness import EXECUTABLE, Emulated
from tests.support.virtualbox.main import Answer


@pytest.fixture
def vbox(tmp_path: Path) -> Emulated:
    """An emulated VirtualBox with a network and a machine `m` that is off."""
    made = Emulated(tmp_path / "virtualbox")
    harness.image(tmp_path, "vmdk")
    (tmp_path / "seed.iso").write_bytes(b"seed")
    for command in (
        "natnetwork add --netname net --network 10.77.0.0/24 --enable --dhcp off",
        "natnetwork modify --netname net --port-forward-4 ssh:tcp:[127.0.0.1]:2211:[10.77.0.11]:22",
        f"createvm --name m --ostype Debian_64 --basefolder {tmp_path} --register",
        f"clonemedium disk {tmp_path}/small.vmdk {tmp_path}/m/disk.vdi --format VDI",
        "storagectl m --name SATA --add sata --portcount 2",
        f"storageattach m --storagectl SATA --port 0 --device 0 --type hdd --medium {tmp_path}/m/disk.vdi",
        f"storageattach m --storagectl SATA --port 1 --device 0 --type dvddrive --medium {tmp_path}/seed.iso",
        f"modifyvm m --memory 512 --cpus 2 --uart1 0x3F8 4 --uartmode1 file {tmp_path}/serial.log",
        "modifyvm m --nic1 natnetwork --nat-network1 net --nictype1 virtio --macaddress1 0800276572AB",
    ):
        assert call(made, command).status == 0, command
    return made


def call(vbox: Emulated, command: str) -> Answer:
    """One call, as typed."""
    return vbox.run(*command.split())


@pytest.mark.parametrize(
    ("command", "status", "said", "code"),
    [
        ("natnetwork list absent", 0, "", ""),
        ("natnetwork add --netname net --network 10.1.0.0/24", 2, "NATNetwork server already exists", ""),
        ("natnetwork add --netname n --network 10.1.0.0/24 --ipv6-prefix fe80::/64", 2, "is not unicast", "NS_ERROR"),
        ("natnetwork modify --netname absent --enable", 2, "NATNetwork server does not exist", ""),
        ("natnetwork modify --netname net --port-forward-4 delete absent", 2, "Code NS_ERROR_INVALID_ARG", ""),
        ("natnetwork modify --netname net --port-forward-4 ssh:tcp:[]:1:[10.77.0.12]:22", 2, "this name already", ""),
        ("natnetwork modify --netname net --port-forward-4 b:tcp:[127.0.0.1]:2211:[10.77.0.12]:22", 2, "host port", ""),
        ("natnetwork modify --netname net --port-forward-4 nonsense", 2, "Invalid port-forward rule nonsense", ""),
        ("natnetwork add --netname n --network 10.1.0.0/24 --colour red", 2, "Unknown option: --colour", ""),
        (
            "startvm absent",
            1,
            "Could not find a registered machine named 'absent'",
            "VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)",
        ),
        (
            "createvm --name m --ostype Debian_64 --basefolder {folder} --register",
            1,
            "already exists",
            "VBOX_E_FILE_ERROR",
        ),
        ("createvm --name n --ostype Beos --register", 1, "Unknown or invalid guest OS type given.", ""),
        ("modifyvm m --colour red", 2, "Unknown option: --colour", ""),
        ("modifyvm m --nic1 wireless", 1, "Invalid type 'wireless'", ""),
        ("modifyvm m --macaddress1 08:00:27:65:72:ab", 1, "Invalid MAC address format", "NS_ERROR_INVALID_ARG"),
        (
            "storageattach m --storagectl IDE --port 0 --type hdd --medium none",
            1,
            "Could not find a controller named 'IDE'",
            "",
        ),
        ("controlvm m poweroff", 1, "Machine 'm' is not currently running.", ""),
        ("clonemedium disk {folder}/small.vmdk {folder}/m/disk.vdi", 1, "Failed to clone medium", "VBOX_E_FILE_ERROR"),
        ("clonemedium disk {folder}/absent.vmdk {folder}/b.vdi", 1, "VERR_FILE_NOT_FOUND", "VBOX_E_FILE_ERROR"),
        (
            "closemedium disk {folder}/m/disk.vdi",
            1,
            "still attached to 1 virtual machines",
            "VBOX_E_OBJECT_IN_USE (0x80bb000c)",
        ),
        ("modifymedium disk {folder}/m/disk.vdi --resize 0", 1, "Failed to resize medium", "VBOX_E_NOT_SUPPORTED"),
        ("teleport m", 2, "Invalid command 'teleport'", ""),
    ],
)
def test_what_is_refused(command: str, status: int, said: str, code: str, vbox: Emulated, tmp_path: Path) -> None:
    before = vbox.state
    answer = call(vbox, command.format(folder=tmp_path))
    assert answer.status == status
    assert said in answer.err
    assert code in answer.err
    assert not status or answer.err.startswith("VBoxManage: error: ")
    if "add --netname n " not in command:  # what cannot be set up stays behind, as in the real one
        assert vbox.state.machines == before.machines
        assert vbox.state.networks == before.networks


def test_a_machine_that_runs_is_locked(vbox: Emulated) -> None:
    assert 'VM "m" has been successfully started.' in call(vbox, "startvm m --type headless").out
    for command, said in (
        ("startvm m --type headless", "is already locked by a session (or being locked or unlocked)"),
        ("modifyvm m --memory 1024", "is already locked for a session (or being unlocked)"),
        ("unregistervm m --delete", "Cannot unregister the machine 'm' while it is locked"),
    ):
        answer = call(vbox, command)
        assert (answer.status, said in answer.err) == (1, True)
        assert "VBOX_E_INVALID_OBJECT_STATE (0x80bb0007)" in answer.err
    assert call(vbox, "natnetwork modify --netname net --network 10.1.0.0/24").status == 2
    call(vbox, "controlvm m savestate")
    assert 'VMState="saved"' in call(vbox, "showvminfo m --machinereadable").out
    call(vbox, "discardstate m")
    assert 'VMState="poweroff"' in call(vbox, "showvminfo m --machinereadable").out


def test_the_end_of_a_machine(vbox: Emulated, tmp_path: Path) -> None:
    assert call(vbox, "unregistervm m --delete").status == 0
    assert not (tmp_path / "m").exists()
    assert (tmp_path / "seed.iso").exists()
    # What cloning registered stays.
    assert [medium.file for medium in vbox.state.media] == [str(tmp_path / "small.vmdk")]
    assert call(vbox, f"closemedium disk {tmp_path}/small.vmdk").status == 0
    assert vbox.state.media == []


def test_extra_data(vbox: Emulated) -> None:
    assert call(vbox, "getextradata m vigil/owner").out == "No value set!\n"
    call(vbox, "setextradata m vigil/owner me")
    call(vbox, "setextradata global vigil/natnetwork/net me")
    assert call(vbox, "getextradata m vigil/owner").out == "Value: me\n"
    assert call(vbox, "getextradata global enumerate").out == "Key: vigil/natnetwork/net, Value: me\n"
    call(vbox, "setextradata m vigil/owner")
    assert call(vbox, "getextradata m enumerate").out == ""


BOOT = """
import json, sys
from pathlib import Path
command, file = sys.argv[1:]
about = json.loads(Path(file).read_text())
here = Path(__file__).parent
with (here / "asked").open("a") as asked:
    asked.write(json.dumps([command, about]) + chr(10))
if command == "state":
    print((here / "state").read_text())
if command == "start":
    if (here / "broken").exists():
        sys.exit("no room on the moon")
    (here / "state").write_text("running")
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A boot program that keeps what it is asked for; its folder."""
    folder = tmp_path / "boot"
    folder.mkdir()
    (folder / "boot.py").write_text(BOOT)
    monkeypatch.setenv(boot.VARIABLE, str(folder / "boot.py"))
    return folder


def asked(folder: Path) -> list[tuple[str, dict[str, object]]]:
    """What it was asked for."""
    return [tuple(json.loads(line)) for line in (folder / "asked").read_text().splitlines()]


def test_what_a_boot_program_is_told(vbox: Emulated, program: Path, tmp_path: Path) -> None:
    call(vbox, "startvm m --type headless")
    (first, network), (second, machine) = asked(program)
    rule = {
        "name": "ssh",
        "protocol": "tcp",
        "host_address": "127.0.0.1",
        "host_port": 2211,
        "guest_address": "10.77.0.11",
        "guest_port": 22,
    }
    assert (first, network) == ("forwards", {"name": "net", "cidr": "10.77.0.0/24", "forwards": [rule]})
    assert second == "start"
    assert machine == {
        "name": "m",
        "uuid": vbox.state.machine("m").uuid,
        "folder": str(tmp_path / "m"),
        "disk": str(tmp_path / "m/disk.vdi"),
        "seed": str(tmp_path / "seed.iso"),
        "mac": "08:00:27:65:72:ab",
        "memory_mb": 512,
        "cpus": 2,
        "uart": str(tmp_path / "serial.log"),
        "network": network,
    }
    call(vbox, "natnetwork modify --netname net --port-forward-4 delete ssh")
    call(vbox, "controlvm m poweroff")
    call(vbox, "unregistervm m --delete")
    commands = [command for command, _ in asked(program) if command != "state"]
    assert commands == ["forwards", "start", "forwards", "poweroff", "forwards", "delete"]


@pytest.mark.parametrize("ended", ["poweroff", "aborted"])
def test_a_machine_whose_process_ended(ended: str, vbox: Emulated, program: Path) -> None:
    call(vbox, "startvm m --type headless")
    assert 'VMState="running"' in call(vbox, "showvminfo m --machinereadable").out
    (program / "state").write_text(ended)
    assert call(vbox, "list runningvms").out == ""
    assert f'VMState="{ended}"' in call(vbox, "showvminfo m --machinereadable").out
    assert asked(program)[-1] == ("forwards", {"name": "net", "cidr": "10.77.0.0/24", "forwards": []})
    assert call(vbox, "startvm m --type headless").status == 0


def test_a_machine_that_does_not_boot(vbox: Emulated, program: Path) -> None:
    (program / "broken").touch()
    answer = call(vbox, "startvm m --type headless")
    assert answer.status == 1
    assert "has terminated unexpectedly during startup: no room on the moon" in answer.err
    assert 'VMState="aborted"' in call(vbox, "showvminfo m --machinereadable").out


def test_failures_on_order(vbox: Emulated) -> None:
    vbox.forget_calls()
    vbox.fail(nth=2, message="The disk is full", code="VBOX_E_FILE_ERROR")
    assert call(vbox, "setextradata m a 1").status == 0
    answer = call(vbox, "setextradata m b 1")
    assert (answer.status, answer.err.splitlines()[0]) == (1, "VBoxManage: error: The disk is full")
    assert "VBOX_E_FILE_ERROR (0x80bb0004)" in answer.err
    assert call(vbox, "setextradata m b 1").status == 0
    vbox.forget_calls()
    vbox.fail(pattern="setextradata m c", times=2, after=True)
    assert [call(vbox, "setextradata m c 1").status for _ in range(3)] == [1, 1, 0]
    assert vbox.state.machine("m").extra == {"a": "1", "b": "1", "c": "1"}


def test_the_executable_says_the_same(vbox: Emulated) -> None:
    with harness.serving() as socket:
        for served in ({}, {"VBOX_EMULATED_SOCKET": socket}):
            environment = {"PATH": "/usr/bin:/bin", **vbox.environment(), **served}
            for command in ("list vms", "startvm absent", "natnetwork list"):
                ran = subprocess.run(
                    [str(EXECUTABLE), *command.split()], env=environment, capture_output=True, text=True, check=False
                )
                assert Answer(ran.returncode, ran.stdout, ran.stderr) == call(vbox, command)


def test_it_needs_the_standard_library_alone() -> None:
    code = "import sys; sys.path.insert(0, '.'); import tests.support.virtualbox.main"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, cwd=Path(__file__).parents[4])
