"""What an image file is, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from vbox.errors import VboxError

QCOW2 = (
    "Use another file of the same image (Debian publishes .raw and .tar.xz beside it, Ubuntu .vmdk and .ova), "
    "or convert it: qemu-img convert -O raw IMAGE.qcow2 IMAGE.raw, with the sum of IMAGE.raw"
)


def kind_of(file: Path, declared: str) -> str:
    """`vmdk`, `vdi`, `raw`, `ova` or `tar.xz`.

    Raises:
        VboxError: it is qcow2, something else than declared, or cannot be read.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(512)
    except OSError as error:
        raise VboxError(f"the image {file} cannot be read ({error.strerror})") from error
    found = _sniffed(head)
    if found == "qcow2":
        raise VboxError(f"the image {file.name} is qcow2, which VirtualBox cannot read whole", remedy=QCOW2)
    if declared not in ("auto", found):
        raise VboxError(f"the image {file.name} is {found}, not {declared}", remedy="Set image.format to what it is")
    return found


def _sniffed(head: bytes) -> str:
    if head.startswith(b"QFI\xfb"):
        return "qcow2"
    if head.startswith((b"KDMV", b"COWD", b"# Disk DescriptorFile")):
        return "vmdk"
    if head[64:68] == b"\x7f\x10\xda\xbe":
        return "vdi"
    if head.startswith(b"\xfd7zXZ\0"):
        return "tar.xz"
    if head[257:262] == b"ustar":
        return "ova"
    return "raw"
