"""One run at a time in a state folder, also after one that was killed while VBoxManage worked for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vbox.errors import VboxError

PATIENCE_S = 3600.0
"""For another run: it may be fetching an image, and machines wait for each other by this lock too."""
_LOOK_S = 0.2


class Child:
    """The call of VBoxManage that is under way, in a file, so that a later run can wait for it.

    A run that was killed leaves its call behind, which goes on: until it ends, what is there may still change.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextmanager
    def running(self, pid: int) -> Iterator[None]:
        """Entered while the call runs."""
        self._file.write_text(f"{pid} {_started(pid)}\n", encoding="ascii")
        try:
            yield
        finally:
            self._file.unlink(missing_ok=True)

    def wait(self, say: Callable[[str], None], patience_s: float = PATIENCE_S) -> None:
        """Waits for the call that a killed run left behind, if one did.

        Raises:
            VboxError: it does not end.
        """
        try:
            pid, started = self._file.read_text(encoding="ascii").split()
        except (OSError, ValueError):
            return
        end = time.monotonic() + patience_s
        said = False
        while _started(int(pid)) == started != _GONE:
            if not said:
                say(f"waiting for VBoxManage (process {pid}), which a run that was killed left behind")
                said = True
            if time.monotonic() > end:
                raise VboxError(
                    f"VBoxManage (process {pid}) of an earlier run does not end", remedy="Look at it, and end it"
                )
            time.sleep(_LOOK_S)
        self._file.unlink(missing_ok=True)


_GONE = "-"


def _started(pid: int) -> str:
    """When a process began, in clock ticks since boot; `-`: no such process, one that has ended, or no /proc here."""
    with contextlib.suppress(OSError, IndexError):
        # The command's name is in parentheses and may hold anything; the fields after it are plain (proc(5)).
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if fields[0] != "Z":
            return fields[19]
    return _GONE


@contextmanager
def locked(state_dir: Path, say: Callable[[str], None], patience_s: float = PATIENCE_S) -> Iterator[Child]:
    """Holds the lock of a state folder, which is made if need be; gives what records the calls of VBoxManage.

    Raises:
        VboxError: another run keeps it, or the folder cannot be written.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(state_dir / "vbox.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise VboxError(f"the state folder {state_dir} cannot be used ({error.strerror})") from error
    try:
        _take(descriptor, state_dir, say, patience_s)
        child = Child(state_dir / "vbox.child")
        child.wait(say)
        yield child
    finally:
        os.close(descriptor)


def _take(descriptor: int, state_dir: Path, say: Callable[[str], None], patience_s: float) -> None:
    end = time.monotonic() + patience_s
    said = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        if not said:
            say(f"waiting for another run in {state_dir}")
            said = True
        if time.monotonic() > end:
            raise VboxError(f"another run keeps the lock of {state_dir}", remedy="Wait for it, or end it")
        time.sleep(_LOOK_S)
