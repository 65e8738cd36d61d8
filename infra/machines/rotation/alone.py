"""One at a time changes the secrets of a deployment."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streaming.errors import Unavailable


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the right to change the secrets of the deployment whose folder this is; the kernel takes it back when this
    process ends, however it ends.

    Raises:
        Unavailable: another process has it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "rotation.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                f"the secrets of {folder.name} are being changed by another process; wait for it to end"
            ) from None
        yield
