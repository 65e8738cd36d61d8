"""Machines that run: started and stopped, by the boot program where there is one."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.virtualbox import boot, media, model, natnetwork
from tests.support.virtualbox.boot import BootError
from tests.support.virtualbox.failures import Failed, com, syntax
from tests.support.virtualbox.model import Machine, State
from tests.support.virtualbox.options import parse

ON = frozenset({"running", "paused"})

DEAF = "VBOX_EMULATED_DEAF"
"""Set: machines without a boot program do not heed their power button."""
UNLOCKING = "VBOX_EMULATED_UNLOCKING"
"""So many calls find a machine still locked after it was powered off."""


def refreshed(machine: Machine, state: State) -> str:
    """The machine's state, asked of its boot program: guests shut down, and processes die."""
    if machine.state == "running" and os.environ.get(boot.VARIABLE):
        said = boot.call("state", model.boot_machine(state, machine))
        if said in ("poweroff", "aborted"):
            _went(state, machine, said)
    return machine.state


def startvm(state: State, arguments: list[str]) -> str:
    """`startvm NAME --type headless`."""
    parsed = parse(arguments, {"type": 1, "putenv": 1})
    if len(parsed.rest) != 1:
        raise syntax("at least one VM name or uuid required")
    machine = state.machine(parsed.rest[0])
    if refreshed(machine, state) in ON or machine.locked_calls:
        machine.locked_calls = max(0, machine.locked_calls - 1)
        raise com(
            f"The machine '{machine.name}' is already locked by a session (or being locked or unlocked)",
            "VBOX_E_INVALID_OBJECT_STATE",
        )
    for slots in machine.controllers.values():
        for slot in slots.values():
            media.opened(state, slot.file, "hdd" if slot.kind == "hdd" else "dvd", machine.uuid)
    network = state.networks.get(machine.network or "")
    if machine.network is not None and network is None:
        raise com(
            f"Failed to attach the network LUN: there is no NAT network '{machine.network}'",
            "VBOX_E_VM_ERROR",
            "ConsoleWrap",
            "IConsole",
        )
    if machine.uart:
        _begin_console(machine.uart)
    try:
        if network is not None and network.enabled:
            natnetwork.start(network)
        boot.call("start", model.boot_machine(state, machine))
    except BootError as error:
        machine.state = "aborted"
        raise com(
            f"The virtual machine '{machine.name}' has terminated unexpectedly during startup: {error}",
            "VBOX_E_VM_ERROR",
            "MachineWrap",
            "IMachine",
        ) from None
    machine.state = "running"
    name = parsed.rest[0]
    return f'Waiting for VM "{name}" to power on...\nVM "{name}" has been successfully started.\n'


def controlvm(state: State, arguments: list[str]) -> str:
    """`controlvm NAME acpipowerbutton|poweroff|savestate|pause|resume`."""
    if len(arguments) < 2:
        raise syntax("Not enough parameters")
    name, verb = arguments[0], arguments[1]
    machine = state.machine(name)
    if refreshed(machine, state) not in ON:
        raise Failed(f"Machine '{name}' is not currently running.")
    if verb == "acpipowerbutton":
        boot.call("acpi", model.boot_machine(state, machine))
        if not os.environ.get(boot.VARIABLE) and not os.environ.get(DEAF):
            _went(state, machine, "poweroff")
    elif verb == "poweroff":
        boot.call("poweroff", model.boot_machine(state, machine))
        _went(state, machine, "poweroff")
        machine.locked_calls = int(os.environ.get(UNLOCKING, "0"))
    elif verb == "savestate":
        boot.call("poweroff", model.boot_machine(state, machine))
        _went(state, machine, "saved")
    elif verb in ("pause", "resume"):
        machine.state = "paused" if verb == "pause" else "running"
    else:
        raise syntax(f"Invalid parameter '{verb}'")
    return ""


def _begin_console(file: str) -> None:
    try:
        Path(file).write_bytes(b"")
    except OSError:
        raise com(
            f"RawFile#0 failed to open the raw output file {file} (VERR_PATH_NOT_FOUND)",
            "VBOX_E_VM_ERROR",
            "ConsoleWrap",
            "IConsole",
        ) from None


def _went(state: State, machine: Machine, now: str) -> None:
    machine.state = now
    network = state.networks.get(machine.network or "")
    if network is not None and not state.on(network.name):
        natnetwork.stop(network)
