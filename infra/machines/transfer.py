"""Files to a machine: only what differs by sha256, and each whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import asyncssh

from infra.machines.link import Link
from infra.machines.unreachable import CommandFailed, plain
from streaming.errors import ConfigError

SUMS_WITHIN_S = 300.0
"""A disk that reads 20 MB a second gets through 6 GB."""
SUM_BYTES = 64 * 1024 * 1024
"""Of the answer: 600,000 files of 100 characters."""

PART = ".vigil-part"
"""End of a draft's name. A draft that a broken upload left behind is removed by the next upload of a folder."""


async def upload(link: Link, files: Mapping[str, Path], into: str, only_these: bool) -> list[str]:
    """Brings files (by their path within `into`, an absolute folder of the machine) up to date; returns which changed.

    A file is executable there if it is here. With `only_these`, other files in the folder are removed, and count as
    changed.

    Raises:
        MachineUnavailable: no connection, or it broke. What was finished by then is there whole.
        CommandFailed: the machine refuses it: no permission, no room.
        ConfigError: a file here cannot be read.
    """
    here = {name: await asyncio.to_thread(_sum, path) for name, path in files.items()}
    there = await _sums(link, into, None if only_these or len(files) > 1 else next(iter(files), None))
    different = [name for name, digest in here.items() if there.get(name) != digest]
    drafts = [name for name in there if name.endswith(PART)]
    surplus = sorted(set(there) - set(here) - set(drafts)) if only_these else []
    if not different and not surplus and not drafts:
        return []
    async with link.sftp() as sftp:
        try:
            for folder in dict.fromkeys(posixpath.dirname(posixpath.join(into, name)) for name in different):
                await sftp.makedirs(folder, exist_ok=True)
            for name in different:
                await _put(sftp, files[name], posixpath.join(into, name))
            for name in [*surplus, *drafts]:
                with suppress(asyncssh.SFTPNoSuchFile):
                    await sftp.remove(posixpath.join(into, name))
        except asyncssh.SFTPError as error:
            if isinstance(error, asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection):
                raise
            raise CommandFailed(link.server.machine, f"upload to {into}", error.code, plain(error.reason)) from error
    return [*different, *surplus]


async def _put(sftp: asyncssh.SFTPClient, source: Path, target: str) -> None:
    folder, name = posixpath.split(target)
    draft = posixpath.join(folder, f".{name}.{secrets.token_hex(4)}{PART}")
    executable = await asyncio.to_thread(lambda: bool(source.stat().st_mode & 0o100))
    try:
        await sftp.put(source, draft)
        await sftp.chmod(draft, 0o755 if executable else 0o644)
        await sftp.posix_rename(draft, target)
    except ConnectionError:
        raise
    except (asyncssh.SFTPError, OSError) as error:
        with suppress(asyncssh.SFTPError):
            await sftp.remove(draft)
        if isinstance(error, OSError):
            raise ConfigError(f"cannot be read ({error.strerror})", file=source) from error
        raise


def files_of(folder: Path) -> dict[str, Path]:
    """Every file of a folder by its path within it.

    Raises:
        ConfigError: it is no folder, or holds something else than files and folders.
    """
    if not folder.is_dir():
        raise ConfigError("is no folder", file=folder)
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ConfigError("is neither a file nor a folder, and cannot be uploaded", file=path)
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path
    return found


def _sum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", file=path) from error


async def _sums(link: Link, folder: str, only: str | None) -> dict[str, str]:
    """sha256 of every file in a folder of the machine, or of one of them; what is not there is left out."""
    sums = ["sha256sum", "--zero", "--"]
    command = (
        [*sums, posixpath.join(folder, only)] if only else ["find", folder, "-type", "f", "-exec", *sums, "{}", "+"]
    )
    done = await link.run(command, b"", SUMS_WITHIN_S, SUM_BYTES, repeatable=True)
    return dict(_named(done.text.split("\0"), folder))


def _named(entries: Iterable[str], folder: str) -> Iterable[tuple[str, str]]:
    for entry in entries:
        digest, _, name = entry.partition("  ")
        if name:
            yield posixpath.relpath(name, folder), digest
