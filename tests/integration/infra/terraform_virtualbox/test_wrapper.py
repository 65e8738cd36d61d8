"""The wrapper over an emulated VirtualBox: made, made again, changed by hand, removed."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from vbox import machine
from vbox.errors import Interrupted, ManageFailed, VboxError
from vbox.owner import machine_uuid

from tests.integration.infra.terraform_virtualbox.conftest import Deployment
from tests.support.virtualbox import harness
from tests.support.virtualbox.harness import Emulated


def test_everything_is_made_and_removed(deployment: Deployment, manage: Emulated) -> None:
    deployment.up()
    state = manage.state
    found = {made.name: made for made in state.machines.values()}
    assert sorted(found) == ["vigil-consumer", "vigil-producer"]
    producer = found["vigil-producer"]
    assert producer.uuid == machine_uuid(deployment.owner, "vigil-producer")
    assert (producer.state, producer.network) == ("running", "vigil")
    assert producer.extra == {"vigil/owner": deployment.owner, "vigil/made": "0123456789abcdef"}
    assert producer.settings["macaddress1"] == "08002700000B"
    assert producer.uart == str(deployment.state_dir / "machines/producer/serial.log")
    assert (deployment.state_dir / "machines/producer/seed.iso").stat().st_mode & 0o777 == 0o600
    network = state.networks["vigil"]
    assert (network.cidr, network.dhcp, network.ipv6) == ("10.77.0.0/24", False, False)
    assert {rule.host_address for rule in network.rules.values()} == {"127.0.0.1"}
    assert len(network.rules) == 4
    # Only the disks of machines and their seeds: what cloning registered is taken out again.
    assert len(state.media) == 4
    deployment.down()
    manage.assert_empty()
    assert deployment.files() == []


def test_again_changes_nothing(deployment: Deployment, manage: Emulated) -> None:
    deployment.up()
    before = manage.state
    manage.forget_calls()
    deployment.up()
    assert manage.state == before
    changing = {"natnetwork add", "natnetwork modify", "createvm", "modifyvm", "startvm", "setextradata", "clonemedium"}
    assert not [call for call in manage.calls if call[0] in changing or " ".join(call[:2]) in changing]
    deployment.down()
    deployment.down()
    manage.assert_empty()


@pytest.mark.parametrize("kind", ["vmdk", "vdi", "raw", "ova", "tar.xz"])
def test_images_of_each_kind(kind: str, deployment: Deployment, manage: Emulated, tmp_path: Path) -> None:
    deployment.source = _image(tmp_path, kind)
    deployment.image_up()
    assert len([name for name in deployment.files() if name.endswith(".vdi")]) == 1
    assert manage.state.media == []
    manage.forget_calls()
    deployment.image_up()
    assert not [call for call in manage.calls if call[0] in ("clonemedium", "convertfromraw")]
    # Somebody wrote into it: it is made anew.
    disk = next(deployment.state_dir.glob("images/*.vdi"))
    disk.write_bytes(disk.read_bytes() + b"more")
    deployment.image_up()
    assert [call[0] for call in manage.calls if call[0] in ("clonemedium", "convertfromraw")]
    deployment.image_down()
    assert not (deployment.state_dir / "images").exists()
    manage.assert_empty()


def _image(folder: Path, kind: str) -> Path:
    if kind not in ("ova", "tar.xz"):
        return harness.image(folder / "images", kind)
    inside = harness.image(folder / "images", "vmdk" if kind == "ova" else "raw")
    file = folder / f"small.{kind}"
    with tarfile.open(file, "w:xz" if kind == "tar.xz" else "w:") as archive:
        archive.add(inside, inside.name)
    return file


def test_a_wrong_sum_is_told_and_nothing_is_made(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()
    spec = deployment.spec(image={"source": str(deployment.source), "checksum": f"sha256:{'0' * 64}"})
    with pytest.raises(VboxError, match=r"the sha256 sum of .* is [0-9a-f]{64}, not 0{64}"):
        machine.up(manage, spec, manage.say)
    assert manage.state.machines == {}
    assert manage.state.media == []


def test_qcow2_is_refused(deployment: Deployment, tmp_path: Path) -> None:
    deployment.source = harness.image(tmp_path / "images", "qcow2")
    with pytest.raises(VboxError, match="qcow2"):
        deployment.image_up()
    assert not list(deployment.state_dir.rglob("*.vdi"))


def test_a_machine_that_is_off_is_started(deployment: Deployment, manage: Emulated) -> None:
    deployment.up()
    console = deployment.state_dir / "machines/producer/serial.log"
    console.write_text("the last boot\n")
    manage.run("controlvm", "vigil-producer", "poweroff")
    machine.start(manage, deployment.spec(), manage.say)
    assert manage.run("list", "runningvms").out.count("vigil-") == 2
    assert (console.parent / "serial.log.1").read_text() == "the last boot\n"
    manage.forget_calls()
    machine.start(manage, deployment.spec(), manage.say)
    assert "startvm" not in [call[0] for call in manage.calls]
    machine.stop(manage, deployment.spec(), manage.say)
    assert "vigil-producer" not in manage.run("list", "runningvms").out


def test_a_machine_that_does_not_heed_its_button(
    deployment: Deployment, manage: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.up()
    monkeypatch.setenv("VBOX_EMULATED_DEAF", "1")
    monkeypatch.setenv("VBOX_EMULATED_UNLOCKING", "2")
    spec = deployment.spec(machine={"stop_timeout_s": 1})
    machine.down(manage, spec, manage.say)
    words = [call[2] for call in manage.calls if call[0] == "controlvm"]
    assert words == ["acpipowerbutton", "poweroff"]
    # Twice it was still locked.
    assert len([call for call in manage.calls if call[0] == "unregistervm"]) == 3
    assert "did not shut down within 1 s" in "\n".join(manage.said)
    assert sorted(made.name for made in manage.state.machines.values()) == ["vigil-consumer"]


@pytest.mark.parametrize("verb", ["savestate", "pause"])
def test_a_machine_in_another_state_is_removed_too(verb: str, deployment: Deployment, manage: Emulated) -> None:
    deployment.up()
    manage.run("controlvm", "vigil-producer", verb)
    deployment.down()
    manage.assert_empty()


def test_a_half_made_machine_is_made_anew_and_its_console_kept(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()
    deployment.forwards_up()
    manage.fail(pattern="setextradata .* vigil/made", message="The object is not ready")
    with pytest.raises(ManageFailed, match=r"marking machine 'vigil-producer' as made failed: The object is not ready"):
        deployment.machine_up()
    assert manage.state.machines == {}
    assert manage.state.media == []
    console = deployment.state_dir / "machines/producer/serial.log"
    assert console.exists()
    console.write_text("what it said\n")
    deployment.machine_up()
    assert (console.parent / "serial.log.1").read_text() == "what it said\n"


def test_what_was_asked_for_changed_while_nobody_looked(deployment: Deployment, manage: Emulated) -> None:
    """The fingerprint differs: an apply that was killed, then another with more memory."""
    deployment.up()
    deployment.machine_up(memory_mb=2048, fingerprint="fedcba9876543210")
    state = manage.state
    producer = state.machine("vigil-producer")
    assert producer.settings["memory"] == "2048"
    assert len(state.machines) == 2
    assert len(state.media) == 4


def test_a_network_that_was_removed_by_hand(deployment: Deployment, manage: Emulated) -> None:
    deployment.up()
    manage.run("natnetwork", "remove", "--netname", "vigil")
    with pytest.raises(VboxError, match="there is no NAT network 'vigil'"):
        deployment.forwards_up()
    deployment.network_up()
    deployment.forwards_up()
    network = manage.state.networks["vigil"]
    assert network.started
    assert len(network.rules) == 2


def test_forwards_follow_what_is_asked_for(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()
    deployment.forwards_up()
    before = deployment.ports["producer-ssh"]
    deployment.ports["producer-ssh"], deployment.ports["consumer-ssh"] = deployment.ports["consumer-ssh"], before
    deployment.forwards_up()
    rules = manage.state.networks["vigil"].rules
    assert rules["vigil-producer-ssh"].host_port == deployment.ports["producer-ssh"]
    assert len(rules) == 2
    deployment.forwards_down()
    assert manage.state.networks["vigil"].rules == {}
    assert list(manage.state.extra) == ["vigil/natnetwork/vigil"]


def test_a_signal_ends_a_run_between_two_steps(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()

    def ask_in_the_middle(line: str) -> None:
        if line.startswith("cloning"):
            manage.asked.set()

    with pytest.raises(Interrupted):
        machine.up(manage, deployment.spec(), ask_in_the_middle)
    assert manage.state.machines == {}
    assert manage.state.media == []
    manage.asked.clear()
    deployment.machine_up()


def test_a_folder_that_was_not_made_here_is_left(deployment: Deployment, manage: Emulated) -> None:
    deployment.network_up()
    precious = deployment.state_dir / "machines/producer/vigil-producer/disk.vdi"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    with pytest.raises(VboxError, match="is not empty and was not made here"):
        deployment.machine_up()
    deployment.machine_down()
    deployment.network_down()
    assert precious.read_text() == "mine"


def test_half_made_machines_go_with_the_network(deployment: Deployment, manage: Emulated) -> None:
    """Terraform destroys what it knows to be half made without a call."""
    deployment.up()
    manage.run("setextradata", "vigil-producer", "vigil/made")
    deployment.machine_down("consumer")
    deployment.network_down()
    deployment.image_down()
    manage.assert_empty()
    assert deployment.files() == []


def test_a_network_stays_while_a_machine_of_ours_is_on_it(deployment: Deployment, manage: Emulated) -> None:
    """Terraform was killed before it wrote down that the machine was made."""
    deployment.up()
    before = manage.state
    with pytest.raises(VboxError, match="is still on NAT network 'vigil', and Terraform does not know of it"):
        deployment.network_down()
    assert manage.state == before
    deployment.sweep()
    manage.assert_empty()
    assert deployment.files() == []


def test_a_sweep_leaves_what_is_not_ours(deployment: Deployment, manage: Emulated) -> None:
    folder = deployment.state_dir.parent / "elsewhere"
    manage.run("natnetwork", "add", "--netname", "theirs", "--network", "10.1.0.0/24", "--enable")
    manage.run("createvm", "--name", "theirs", "--ostype", "Ubuntu_64", "--basefolder", str(folder), "--register")
    before = manage.state
    deployment.sweep()
    assert manage.state == before
    deployment.up()
    deployment.sweep()
    assert manage.state == before


def test_an_old_virtualbox_is_refused(
    deployment: Deployment, manage: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    warning = "WARNING: The vboxdrv kernel module is not loaded.\n"
    monkeypatch.setattr("tests.support.virtualbox.main.VERSION", f"{warning}6.1.50r161033")
    with pytest.raises(VboxError, match=r"this is VirtualBox 6\.1\.50r161033"):
        deployment.network_up()
    monkeypatch.setattr("tests.support.virtualbox.main.VERSION", f"{warning}7.2.0r170228")
    deployment.network_up()


def test_the_network_goes_without_the_machines_that_are_whole(deployment: Deployment, manage: Emulated) -> None:
    """As when it was removed by hand, and Terraform makes it anew: its end is called before."""
    deployment.up()
    manage.run("natnetwork", "remove", "--netname", "vigil")
    deployment.network_down()
    assert len(manage.state.machines) == 2
    deployment.network_up()
    for name in ("producer", "consumer"):
        deployment.forwards_down(name)
        deployment.forwards_up(name)
    assert len(manage.state.networks["vigil"].rules) == 4
