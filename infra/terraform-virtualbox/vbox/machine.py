"""One machine: made, started, stopped, removed. What is half made is removed before it is made anew."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from vbox import console, facts, image, network, seed
from vbox.errors import ManageFailed, Refused, VboxError
from vbox.manage import LONG_S, SHORT_S, Manage, Say
from vbox.owner import MADE, OWNER, machine_uuid, owns_machine
from vbox.spec import MachineSpec, Spec

CONTROLLER = "SATA"
_MARK = ".vigil-machine"
"""File in a machine's folder: it was made here, so what is in it may be removed."""
_UNLOCK_S = 30.0
"""After a power-off VirtualBox keeps a machine locked for a moment, and says so."""
_LOOK_S = 0.3


def up(manage: Manage, spec: Spec, say: Say) -> None:
    """Makes the machine and starts it; one that is wholly made as asked for stays, and is started if it is off.

    Raises:
        Refused: a machine of that name, or its folder, is another's.
        VboxError: nothing of the machine is left then but its serial console.
    """
    wanted = spec.machine
    folder = spec.folder(wanted.name)
    uuid = _own(manage, spec.owner, wanted.vm_name)
    if uuid is not None and facts.extra_data(manage, uuid).get(MADE) == wanted.fingerprint:
        say(f"machine {wanted.vm_name!r} is there")
        start(manage, spec, say)
        return
    found = facts.networks(manage).get(spec.network.name)
    if found is None:
        raise VboxError(f"there is no NAT network {spec.network.name!r}", remedy="Apply the network first")
    network.check(manage, spec.owner, found)
    base = image.ensure(manage, spec.state_dir, spec.image, say)
    fresh = _claim(folder)
    if uuid is not None or not fresh:
        _remove(manage, spec, uuid, wanted.stop_timeout_s, say)
    say(f"making machine {wanted.vm_name!r}: {wanted.cpus} CPUs, {wanted.memory_mb} MB, disk of {wanted.disk_gb} GB")
    try:
        _make(manage, spec, wanted, base, say)
    except (VboxError, OSError) as error:
        with manage.cleaning():
            say(f"removing what was made of {wanted.vm_name!r}")
            _give_up(manage, spec, base)
        if isinstance(error, OSError):
            raise VboxError(f"machine {wanted.vm_name!r} cannot be made: {error}") from error
        raise


def down(manage: Manage, spec: Spec, say: Say) -> None:
    """Removes the machine with its disk, seed and console; nothing where there is none, or it is another's."""
    name, vm_name, timeout_s = spec.existing
    folder = spec.folder(name)
    try:
        uuid = _own(manage, spec.owner, vm_name)
    except Refused as error:
        say(f"{error}")
        uuid = None
        if (folder / vm_name).exists():  # it is that machine's: it changed hands
            return
    if uuid is not None:
        say(f"removing machine {vm_name!r}")
    _remove(manage, spec, uuid, timeout_s, say)
    if (folder / _MARK).exists():
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            raise VboxError(f"the folder {folder} cannot be removed whole", remedy="Look at what keeps it")


def sweep(manage: Manage, spec: Spec, say: Say, *, whole: bool = False) -> None:
    """Removes what runs that were killed left half made, and folders of machines that are no more.

    Where Terraform destroys what it knows to be half made, it calls nothing that would remove it. `whole`: removes
    machines that are wholly made as well.
    """
    found = facts.machines(manage)
    for vm_name, uuid in list(found.items()):
        if uuid != machine_uuid(spec.owner, vm_name):
            continue
        extra = facts.extra_data(manage, uuid)
        if owns_machine(spec.owner, vm_name, uuid, extra.get(OWNER)) and (whole or MADE not in extra):
            say(f"removing machine {vm_name!r}, which Terraform did not")
            _off(manage, vm_name, uuid, 0, say)
            _unregister(manage, vm_name, uuid)
            del found[vm_name]
    for mark in spec.state_dir.glob(f"machines/*/{_MARK}"):
        folder = mark.parent
        if not any((folder / vm_name).exists() for vm_name in found):
            _close_below(manage, folder)
            shutil.rmtree(folder, ignore_errors=True)


def start(manage: Manage, spec: Spec, say: Say) -> None:
    """Starts a machine of this deployment if it is off.

    Raises:
        VboxError: there is none.
    """
    name, vm_name, _ = spec.existing
    uuid = _existing(manage, spec.owner, vm_name)
    now = facts.state(manage, uuid)
    if now in facts.RUNNING:
        return
    if now != "saved":
        console.rotate(spec.folder(name))
    say(f"starting machine {vm_name!r}, which was {now}")
    _start(manage, vm_name, uuid)


def stop(manage: Manage, spec: Spec, say: Say) -> None:
    """Stops a machine of this deployment: by its power button, and after a time by its plug.

    Raises:
        VboxError: there is none.
    """
    _, vm_name, timeout_s = spec.existing
    uuid = _existing(manage, spec.owner, vm_name)
    _off(manage, vm_name, uuid, timeout_s, say)


def _own(manage: Manage, owner: str, vm_name: str) -> str | None:
    """The UUID of this owner's machine; None: there is none of that name. Refused: it is another's."""
    found = facts.machines(manage)
    uuid = found.get(vm_name)
    if uuid is None:
        # VirtualBox lists a machine whose file it cannot read without its name.
        ours = machine_uuid(owner, vm_name)
        return ours if ours in found.values() else None
    marker = facts.extra_data(manage, uuid).get(OWNER)
    if owns_machine(owner, vm_name, uuid, marker):
        return uuid
    whose = f"belongs to {marker!r}" if marker not in (None, owner) else "was not made by this deployment"
    raise Refused(
        f"machine {vm_name!r} exists and {whose}; it was not changed",
        remedy="Give this deployment another name, or rename or remove that machine yourself",
    )


def _existing(manage: Manage, owner: str, vm_name: str) -> str:
    uuid = _own(manage, owner, vm_name)
    if uuid is None:
        raise VboxError(f"there is no machine {vm_name!r}", remedy="Apply again with -replace for it")
    return uuid


def _claim(folder: Path) -> bool:
    """Makes a machine's folder, or takes it if it was made here; whether it is new.

    What else is in a folder is not ours to remove.
    """
    mark = folder / _MARK
    fresh = not folder.exists()
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise Refused(f"the folder {folder} is not empty and was not made here", remedy="Move what is in it")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark.touch()
    return fresh


def _make(manage: Manage, spec: Spec, wanted: MachineSpec, base: Path, say: Say) -> None:
    folder = spec.folder(wanted.name)
    vm, uuid = wanted.vm_name, machine_uuid(spec.owner, wanted.vm_name)
    disk, iso, serial = folder / vm / "disk.vdi", folder / "seed.iso", console.rotate(folder)
    seed.write(iso, spec.seed)
    manage(
        *("createvm", "--name", vm, "--ostype", wanted.os_type, "--basefolder", str(folder)),
        *("--uuid", uuid, "--register"),
        doing=f"making machine {vm!r}",
    )
    manage("setextradata", uuid, OWNER, spec.owner, doing=f"marking machine {vm!r}")
    say(f"cloning the disk of {vm!r}")
    doing = f"cloning the disk of {vm!r}"
    manage("clonemedium", "disk", str(base), str(disk), "--format", "VDI", doing=doing, timeout_s=LONG_S)
    image.release(manage, base)
    megabytes = str(wanted.disk_gb * 1024)
    manage("modifymedium", "disk", str(disk), "--resize", megabytes, doing=f"growing the disk of {vm!r}")
    doing = f"attaching the disk and the seed of {vm!r}"
    manage("storagectl", uuid, "--name", CONTROLLER, "--add", "sata", "--portcount", "2", doing=doing)
    attach = ("storageattach", uuid, "--storagectl", CONTROLLER, "--device", "0")
    manage(*attach, "--port", "0", "--type", "hdd", "--medium", str(disk), doing=doing)
    manage(*attach, "--port", "1", "--type", "dvddrive", "--medium", str(iso), doing=doing)
    manage(
        *("modifyvm", uuid, "--cpus", str(wanted.cpus), "--memory", str(wanted.memory_mb)),
        *("--ioapic", "on", "--rtcuseutc", "on", "--boot1", "disk", "--boot2", "none"),
        *("--nic1", "natnetwork", "--nat-network1", spec.network.name, "--nictype1", "virtio"),
        *("--macaddress1", wanted.mac.replace(":", "").upper()),
        *("--uart1", "0x3F8", "4", "--uartmode1", "file", str(serial)),
        doing=f"setting up machine {vm!r}",
    )
    say(f"starting machine {vm!r}")
    _start(manage, vm, uuid)
    manage("setextradata", uuid, MADE, wanted.fingerprint, doing=f"marking machine {vm!r} as made")


def _give_up(manage: Manage, spec: Spec, base: Path) -> None:
    """Removes a half-made machine but for its console. What cannot be removed now, the next run removes."""
    wanted = spec.machine
    ours = machine_uuid(spec.owner, wanted.vm_name)
    try:
        there = ours if ours in facts.machines(manage).values() else None
        # Nothing in it is worth a clean shutdown.
        _remove(manage, spec, there, 0, lambda _: None)
        image.forget(manage, base)
        folder = spec.folder(wanted.name)
        if not any(folder.glob(f"{console.NAME}*")):
            shutil.rmtree(folder, ignore_errors=True)
    except VboxError:
        return


def _remove(manage: Manage, spec: Spec, uuid: str | None, timeout_s: int, say: Say) -> None:
    """Removes a machine of ours, if there is one, and what an earlier one left in its folder but for its consoles."""
    name, vm_name, _ = spec.existing
    folder = spec.folder(name)
    if uuid is not None:
        _off(manage, vm_name, uuid, timeout_s, say)
        _unregister(manage, vm_name, uuid)
    _close_below(manage, folder)
    if (folder / _MARK).exists():
        (folder / "seed.iso").unlink(missing_ok=True)
        shutil.rmtree(folder / vm_name, ignore_errors=True)


def _unregister(manage: Manage, vm_name: str, uuid: str) -> None:
    _patiently(manage, lambda: manage("unregistervm", uuid, "--delete", doing=f"removing machine {vm_name!r}"))


def _close_below(manage: Manage, folder: Path) -> None:
    for kind, word in (("hdds", "disk"), ("dvds", "dvd")):
        for medium in facts.below(facts.media(manage, kind), folder):
            manage("closemedium", word, medium.uuid, doing=f"closing {medium.location}")


def _start(manage: Manage, vm_name: str, uuid: str) -> None:
    _patiently(
        manage,
        lambda: manage(
            "startvm", uuid, "--type", "headless", doing=f"starting machine {vm_name!r}", timeout_s=SHORT_S * 2
        ),
    )


def _off(manage: Manage, vm_name: str, uuid: str, timeout_s: int, say: Say) -> None:
    now = facts.state(manage, uuid)
    if now == "saved":
        manage("discardstate", uuid, doing=f"discarding the saved state of {vm_name!r}")
    if now not in facts.RUNNING:
        return
    doing = f"stopping machine {vm_name!r}"
    if now == "running" and timeout_s:
        say(f"shutting down machine {vm_name!r}")
        manage("controlvm", uuid, "acpipowerbutton", doing=doing)
        if _ended(manage, uuid, timeout_s):
            return
        say(f"machine {vm_name!r} did not shut down within {timeout_s} s; powering it off")
    try:
        manage("controlvm", uuid, "poweroff", doing=doing)
    except ManageFailed:
        # It may have shut down in this very moment.
        if facts.state(manage, uuid) in facts.RUNNING:
            raise
    if not _ended(manage, uuid, _UNLOCK_S):
        raise VboxError(f"machine {vm_name!r} is still {facts.state(manage, uuid)} after it was powered off")


def _ended(manage: Manage, uuid: str, timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while facts.state(manage, uuid) in facts.RUNNING:
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_S)
    return True


def _patiently(manage: Manage, call: Callable[[], object]) -> None:
    """Calls again while VirtualBox still keeps the machine locked."""
    end = time.monotonic() + _UNLOCK_S
    while True:
        try:
            call()
            return
        except ManageFailed as error:
            if error.code != "VBOX_E_INVALID_OBJECT_STATE" or "lock" not in error.reason or time.monotonic() > end:
                raise
        manage.check()
        time.sleep(_LOOK_S)
