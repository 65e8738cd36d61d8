"""Machines: made, set up, shown and removed."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.virtualbox import boot, media, model, power
from tests.support.virtualbox.failures import Failed, com, syntax
from tests.support.virtualbox.model import Attachment, Machine, State
from tests.support.virtualbox.options import parse, yes

_OSTYPES = {
    "Debian_64": "Debian (64-bit)",
    "Debian12_64": "Debian 12 Bookworm (64-bit)",
    "Ubuntu_64": "Ubuntu (64-bit)",
}

# Options of modifyvm with how many values follow; [N] takes the number of an adapter or a port.
_MODIFY = {
    **dict.fromkeys(("name", "memory", "cpus", "firmware", "ioapic", "rtcuseutc", "rtc-use-utc", "ostype"), 1),
    **dict.fromkeys(("boot1", "boot2", "boot3", "boot4", "graphicscontroller", "vram", "description", "vrde"), 1),
    **dict.fromkeys(("audio-driver", "audio-enabled", "usb", "paravirtprovider", "hwvirtex", "nestedpaging"), 1),
    **{f"{name}{n}": 1 for n in range(1, 9) for name in ("nic", "nictype", "nat-network", "natnetwork", "macaddress")},
    **{f"{name}{n}": 1 for n in range(1, 9) for name in ("nic-type", "mac-address", "cableconnected")},
    **{f"{name}{n}": 2 for n in range(1, 5) for name in ("uart", "uartmode", "uart-mode")},
}
_SWITCHES = frozenset({"ioapic", "rtcuseutc", "rtc-use-utc", "audio-enabled", "hwvirtex", "nestedpaging"})
_SAME = {"natnetwork": "nat-network", "nic-type": "nictype", "mac-address": "macaddress", "uart-mode": "uartmode"}


def createvm(state: State, arguments: list[str]) -> str:
    """`createvm --name N --ostype T --basefolder F [--uuid U] --register`."""
    parsed = parse(arguments, {"name": 1, "ostype": 1, "basefolder": 1, "uuid": 1, "register": 0, "default": 0})
    name = parsed.get("name")
    if name is None:
        raise syntax("Parameter --name is required")
    if parsed.get("register") is None:
        raise syntax("the emulator registers every machine: --register is missing")
    ostype = parsed.get("ostype") or "Other"
    if ostype not in _OSTYPES:
        raise Failed("Unknown or invalid guest OS type given.")
    machine = Machine(name, parsed.get("uuid") or media.new_uuid(), ostype, f"{parsed.get('basefolder')}/{name}")
    if Path(machine.cfg).exists():
        raise com(
            f"Machine settings file '{machine.cfg}' already exists", "VBOX_E_FILE_ERROR", "MachineWrap", "IMachine"
        )
    for other in state.machines.values():
        if other.uuid == machine.uuid or other.name == name:
            raise com(
                f"Registered machine with UUID {{{other.uuid}}} ('{other.cfg}') already exists",
                "VBOX_E_INVALID_OBJECT_STATE",
                "VirtualBoxWrap",
                "IVirtualBox",
            )
    Path(machine.folder).mkdir(parents=True, exist_ok=True)
    Path(machine.cfg).write_text("<VirtualBox/>\n", encoding="utf-8")
    state.machines[machine.uuid] = machine
    return (
        f"Virtual machine '{name}' is created and registered.\nUUID: {machine.uuid}\nSettings file: '{machine.cfg}'\n"
    )


def modifyvm(state: State, arguments: list[str]) -> str:
    """`modifyvm NAME OPTIONS`: only while it is off."""
    if not arguments:
        raise syntax("Not enough parameters")
    machine = _unlocked(state, arguments[0])
    parsed = parse(arguments[1:], _MODIFY)
    if parsed.rest:
        raise syntax(f"Invalid parameter '{parsed.rest[0]}'")
    for option, value in parsed.options:
        _checked(option, value)
        base = option.rstrip("0123456789")
        machine.settings[_SAME.get(base, base) + option[len(base) :]] = value
    return ""


def _checked(option: str, value: str) -> None:
    base = option.rstrip("0123456789")
    if option in _SWITCHES:
        yes(value)
    if base == "nic" and value not in ("none", "null", "nat", "bridged", "intnet", "hostonly", "generic", "natnetwork"):
        raise Failed(f"Invalid type '{value}' specfied for NIC {option[3:]}")
    if base in ("macaddress", "mac-address") and value != "auto" and not re.fullmatch(r"[0-9A-Fa-f]{12}", value):
        raise com("Invalid MAC address format", "NS_ERROR_INVALID_ARG", "NetworkAdapterWrap", "INetworkAdapter")
    if option in ("memory", "cpus") and not value.isdigit():
        raise syntax(f"Invalid parameter '{value}'")


def storagectl(state: State, arguments: list[str]) -> str:
    """`storagectl NAME --name C --add sata`."""
    machine = _unlocked(state, arguments[0] if arguments else "")
    parsed = parse(
        arguments[1:],
        {"name": 1, "add": 1, "portcount": 1, "controller": 1, "bootable": 1, "hostiocache": 1, "remove": 0},
    )
    name = parsed.get("name")
    if name is None:
        raise syntax("Storage controller name not specified\n")
    if name in machine.controllers:
        raise com(
            f"Storage controller named '{name}' already exists", "VBOX_E_OBJECT_IN_USE", "SessionMachine", "IMachine"
        )
    machine.controllers[name] = {}
    return ""


def storageattach(state: State, arguments: list[str]) -> str:
    """`storageattach NAME --storagectl C --port P --device D --type T --medium FILE`."""
    machine = _unlocked(state, arguments[0] if arguments else "")
    parsed = parse(
        arguments[1:], {"storagectl": 1, "port": 1, "device": 1, "type": 1, "medium": 1, "mtype": 1, "nonrotational": 1}
    )
    name, medium, kind = parsed.get("storagectl") or "", parsed.get("medium"), parsed.get("type")
    if name not in machine.controllers:
        raise Failed(f"Could not find a controller named '{name}'\n")
    if kind not in ("hdd", "dvddrive"):
        raise syntax(f"Invalid --type argument '{kind}'")
    slot = f"{parsed.get('port') or 0}-{parsed.get('device') or 0}"
    if medium in (None, "none", "emptydrive"):
        machine.controllers[name].pop(slot, None)
        return ""
    found = media.opened(state, str(medium), "hdd" if kind == "hdd" else "dvd", machine.uuid)
    found.machine = machine.uuid
    if kind == "hdd" and (users := [user for user in state.users(found.file) if user is not machine]):
        raise com(
            f"Medium '{found.file}' is already attached to machine '{users[0].name}'",
            "VBOX_E_OBJECT_IN_USE",
            "SessionMachine",
            "IMachine",
        )
    machine.controllers[name][slot] = Attachment(kind, found.file)
    return ""


def unregistervm(state: State, arguments: list[str]) -> str:
    """`unregistervm NAME [--delete]`: disks go with it, images stay."""
    parsed = parse(arguments, {"delete": 0, "delete-all": 0})
    if len(parsed.rest) != 1:
        raise syntax("VM name required" if not parsed.rest else f"Invalid parameter '{parsed.rest[1]}'")
    machine = state.machine(parsed.rest[0])
    if power.refreshed(machine, state) in power.ON or machine.locked_calls:
        machine.locked_calls = max(0, machine.locked_calls - 1)
        raise com(f"Cannot unregister the machine '{machine.name}' while it is locked", "VBOX_E_INVALID_OBJECT_STATE")
    disks = [slot.file for slots in machine.controllers.values() for slot in slots.values() if slot.kind == "hdd"]
    del state.machines[machine.uuid]
    state.media = [medium for medium in state.media if medium.machine != machine.uuid and medium.file not in disks]
    if parsed.get("delete") is not None or parsed.get("delete-all") is not None:
        boot.call("delete", model.boot_machine(state, machine))
        for disk in disks:
            Path(disk).unlink(missing_ok=True)
        Path(machine.cfg).unlink(missing_ok=True)
        if Path(machine.folder).is_dir() and not any(Path(machine.folder).iterdir()):
            Path(machine.folder).rmdir()
    return ""


def discardstate(state: State, arguments: list[str]) -> str:
    """`discardstate NAME`."""
    machine = state.machine(arguments[0] if arguments else "")
    if machine.state != "saved":
        raise com(
            f"Cannot discard the saved state as machine '{machine.name}' is not in the Saved or Aborted-Saved state",
            "VBOX_E_INVALID_VM_STATE",
        )
    machine.state = "poweroff"
    return ""


def showvminfo(state: State, arguments: list[str]) -> str:
    """`showvminfo NAME --machinereadable`."""
    parsed = parse(arguments, {"machinereadable": 0, "details": 0})
    if len(parsed.rest) != 1:
        raise syntax("VM name or UUID required")
    if parsed.get("machinereadable") is None:
        raise syntax("the emulator shows machines with --machinereadable alone")
    machine = state.machine(parsed.rest[0])
    power.refreshed(machine, state)
    lines = [
        f'name="{machine.name}"',
        'groups="/"',
        f'ostype="{_OSTYPES[machine.ostype]}"',
        f'UUID="{machine.uuid}"',
        f'CfgFile="{machine.cfg}"',
        f"memory={machine.settings.get('memory', '128')}",
        f"cpus={machine.settings.get('cpus', '1')}",
        f'VMState="{machine.state}"',
        'VMStateChangeTime="2026-01-01T00:00:00.000000000"',
        *_storage(machine),
        *_adapter(machine),
        *([f'uart1="{machine.settings["uart1"].replace(" ", ",").lower()}"'] if "uart1" in machine.settings else []),
        *([f'uartmode1="file,{machine.uart}"'] if machine.uart else []),
    ]
    return "\n".join(lines) + "\n"


def _storage(machine: Machine) -> list[str]:
    lines = []
    for at, (name, slots) in enumerate(machine.controllers.items()):
        lines.append(f'storagecontrollername{at}="{name}"')
        lines += [f'"{name}-{slot}"="{attached.file}"' for slot, attached in sorted(slots.items())]
    return lines


def _adapter(machine: Machine) -> list[str]:
    lines = [f'nat-network1="{machine.network}"'] if machine.network else []
    if "macaddress1" in machine.settings:
        lines.append(f'macaddress1="{machine.settings["macaddress1"].upper()}"')
    return [*lines, f'nic1="{machine.settings.get("nic1", "nat")}"', 'nic2="none"']


def _unlocked(state: State, name: str) -> Machine:
    """The machine, which must be off for what is asked."""
    machine = state.machine(name)
    if power.refreshed(machine, state) in power.ON or machine.locked_calls:
        machine.locked_calls = max(0, machine.locked_calls - 1)
        raise com(
            f"The machine '{machine.name}' is already locked for a session (or being unlocked)",
            "VBOX_E_INVALID_OBJECT_STATE",
        )
    return machine
