"""Disks and images: `clonemedium`, `convertfromraw`, `modifymedium`, `closemedium` and their lists.

A disk of the emulator is a file that begins with a VDI's header and holds the bytes of the image it was made from.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.virtualbox.failures import Failed, com, syntax
from tests.support.virtualbox.model import Medium, State
from tests.support.virtualbox.options import parse

VDI_HEAD = b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe"
VMDK_HEAD = b"KDMV\x01\0\0\0"
_BAR = "0%...10%...20%...30%...40%...50%...60%...70%...80%...90%...100%\n"


def new_uuid() -> str:
    """As VirtualBox makes them."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def opened(state: State, file: str, kind: str = "hdd", machine: str | None = None) -> Medium:
    """Opens a medium by UUID or path, and registers it."""
    path = str(Path(file).absolute())
    found = state.medium(file, kind) or state.medium(path, kind)
    if found is not None:
        return found
    if not Path(path).is_file():
        raise com(
            f"Could not find file for the medium '{path}' (VERR_FILE_NOT_FOUND)",
            "VBOX_E_FILE_ERROR",
            "MediumWrap",
            "IMedium",
        )
    form = _form(Path(path)) if kind == "hdd" else "RAW"
    megabytes = max(1, Path(path).stat().st_size >> 20)
    medium = Medium(new_uuid(), path, kind, form, megabytes, machine)
    state.media.append(medium)
    return medium


def clonemedium(state: State, arguments: list[str]) -> str:
    """`clonemedium [disk] SOURCE TARGET [--format F]`: both are registered afterwards."""
    parsed = parse(arguments, {"format": 1, "variant": 1, "existing": 0, "resize": 1})
    rest = [word for word in parsed.rest if word != "disk"]
    if not rest:
        raise syntax("Mandatory UUID or input file parameter missing")
    if len(rest) < 2:
        raise syntax("Mandatory output file parameter missing")
    if len(rest) > 2:
        raise syntax(f"Invalid parameter '{rest[2]}'")
    source, target = opened(state, rest[0]), Path(rest[1]).absolute()
    if state.medium(str(target), "hdd") or target.exists() or not target.parent.is_dir():
        reason = "VERR_ALREADY_EXISTS" if target.exists() else "VERR_PATH_NOT_FOUND"
        raise Failed(
            "Failed to clone medium",
            f"Could not create the clone medium '{target}' ({reason})",
            "Details: code VBOX_E_FILE_ERROR (0x80bb0004), component MediumWrap, interface IMedium",
        )
    _write(Path(source.file), target)
    form = parsed.get("format") or source.form
    medium = Medium(new_uuid(), str(target), "hdd", form, source.megabytes)
    state.media.append(medium)
    return f"Clone medium created in format '{form}'. UUID: {medium.uuid}\n"


def convertfromraw(state: State, arguments: list[str]) -> str:
    """`convertfromraw SOURCE TARGET [--format F]`: nothing is registered."""
    del state
    parsed = parse(arguments, {"format": 1, "variant": 1, "uuid": 1})
    if len(parsed.rest) != 2:
        raise syntax("Incorrect number of parameters")
    source, target = Path(parsed.rest[0]), Path(parsed.rest[1])
    if not source.is_file():
        raise Failed(f'Cannot open file "{source}": VERR_FILE_NOT_FOUND')
    if target.exists():
        raise Failed(
            f'VD: error VERR_ALREADY_EXISTS creating image "{target}"',
            f'Cannot create the disk image "{target}": VERR_ALREADY_EXISTS',
        )
    _write(source, target)
    return ""


def modifymedium(state: State, arguments: list[str]) -> str:
    """`modifymedium [disk] FILE --resize MB`."""
    parsed = parse(arguments, {"resize": 1, "resizebyte": 1, "type": 1, "move": 1, "compact": 0})
    rest = [word for word in parsed.rest if word != "disk"]
    if len(rest) != 1 or not parsed.options:
        raise syntax("Not enough parameters" if not rest else "No operation specified")
    medium = opened(state, rest[0])
    megabytes = parsed.get("resize")
    if megabytes is not None:
        if int(megabytes) < medium.megabytes:
            raise Failed(
                "Failed to resize medium",
                f"Resizing to new size {int(megabytes) << 20} is not yet supported for medium '{medium.file}'",
                "Details: code VBOX_E_NOT_SUPPORTED (0x80bb0009), component MediumWrap, interface IMedium",
            )
        medium.megabytes = int(megabytes)
    return ""


def closemedium(state: State, arguments: list[str]) -> str:
    """`closemedium [disk|dvd] UUID|FILE [--delete]`."""
    parsed = parse(arguments, {"delete": 0})
    rest = [word for word in parsed.rest if word not in ("disk", "dvd", "floppy")]
    if len(rest) != 1:
        raise syntax("Medium not specified" if not rest else f"Invalid parameter '{rest[1]}'")
    medium = opened(state, rest[0], "dvd" if "dvd" in parsed.rest else "hdd")
    if users := state.users(medium.file):
        raise com(
            f"Medium '{medium.file}' cannot be closed because it is still attached to {len(users)} virtual machines",
            "VBOX_E_OBJECT_IN_USE",
            "MediumWrap",
            "IMedium",
        )
    state.media.remove(medium)
    if parsed.get("delete") is not None:
        Path(medium.file).unlink()
    return ""


def listed(state: State, kind: str) -> str:
    """`list hdds` and `list dvds`."""
    return "".join(
        f"UUID:           {medium.uuid}\n"
        + ("Parent UUID:    base\nState:          created\nType:           normal (base)\n" if kind == "hdd" else "")
        + f"Location:       {medium.file}\nStorage format: {medium.form}\n"
        + (f"Capacity:       {medium.megabytes} MBytes\nEncryption:     disabled\n" if kind == "hdd" else "")
        + "\n"
        for medium in state.media
        if medium.kind == kind
    )


def progress(command: str) -> str:
    """What a command that copies writes to standard error."""
    return _BAR if command in ("clonemedium", "modifymedium") else ""


def _form(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(VDI_HEAD):
        return "VDI"
    if head.startswith(VMDK_HEAD[:4]):
        return "VMDK"
    raise com(
        f"Could not get the storage format of the medium '{path}' (VERR_NOT_SUPPORTED)",
        "VBOX_E_IPRT_ERROR",
        "MediumWrap",
        "IMedium",
    )


def _write(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        head = read.read(len(VDI_HEAD))
        write.write(VDI_HEAD)
        if head != VDI_HEAD:
            write.write(head)
        while chunk := read.read(1 << 20):
            write.write(chunk)
