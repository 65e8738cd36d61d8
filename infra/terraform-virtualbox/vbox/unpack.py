"""The disk inside an archive."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from vbox.errors import VboxError

_CHUNK = 1024 * 1024
_LARGEST = 2 * 1024**4
"""A disk that says to be larger is no cloud image: 2 TB, the most that the variable disk_gb takes."""
_ARCHIVED = {"ova": (".vmdk", "vmdk"), "tar.xz": (".raw", "raw")}
"""Kind of an archive to the ending of the disk inside it, and that disk's kind."""


def unpacked(archive: Path, kind: str, target: Path, check: Callable[[], None]) -> str:
    """Writes the one disk of an archive to `target`, and gives that disk's kind. No other member is written anywhere.

    Raises:
        VboxError: it is damaged, has no disk or several, or there is no room.
    """
    ending, inside = _ARCHIVED[kind]
    try:
        with tarfile.open(archive, "r:xz" if kind == "tar.xz" else "r:") as opened:
            disks = [member for member in opened if PurePosixPath(member.name).suffix.lower() == ending]
            if len(disks) != 1 or not disks[0].isfile():
                raise VboxError(f"{archive.name} has {len(disks)} disks {ending}, not one")
            if disks[0].size > _LARGEST:
                raise VboxError(f"the disk in {archive.name} has {disks[0].size} bytes, which is too much")
            source = opened.extractfile(disks[0])
            if source is None:
                raise VboxError(f"the disk in {archive.name} is no file")
            with source, target.open("wb") as file:
                while chunk := source.read(_CHUNK):
                    check()
                    if chunk.count(0) == len(chunk):  # mostly unused: leave holes
                        file.seek(len(chunk), 1)
                    else:
                        file.write(chunk)
                file.truncate(disks[0].size)
    except (tarfile.TarError, EOFError) as error:
        raise VboxError(f"{archive.name} is damaged", reason=str(error)) from error
    except OSError as error:
        raise VboxError(f"the disk in {archive.name} cannot be unpacked ({error.strerror or error})") from error
    return inside
