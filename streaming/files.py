"""Small files that are there whole or not at all, whoever is killed while writing them."""

from __future__ import annotations

import os
from pathlib import Path

from streaming.errors import ConfigError


def write_whole(file: Path, content: bytes, *, remedy: str = "Is the disk full?", folder_mode: int = 0o777) -> None:
    """Replaces a file, and makes its folder if it is missing: a reader sees what was there before or all of what is
    there now. What a power loss leaves is not promised.

    Raises:
        ConfigError: it cannot be written; `remedy` says what to look at.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=folder_mode)
        draft.write_bytes(content)
        draft.replace(file)
    except OSError as error:
        raise ConfigError(f"cannot be written ({error.strerror})", file=file, remedy=remedy) from error


def write_private(file: Path, content: bytes, *, mode: int = 0o600, synced: bool = False) -> None:
    """Replaces a file whole, which at no moment has another mode than this one: by default its owner alone may read it.

    With `synced` it survives a power loss once this returns: for what others may know by then.
    """
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        if synced:
            out.flush()
            os.fsync(descriptor)
    fresh.replace(file)
